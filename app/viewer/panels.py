"""The menu bar and the panel of controls: picture, camera, path, training."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from imgui_bundle import imgui

from noisewalk.app.flying.controls import FOV_RANGE, MAX_SPEED, MIN_SPEED
from noisewalk.app.flying.flight import ENDS, SECONDS_RANGE
from noisewalk.app.flying.messages import printable
from noisewalk.app.flying.view import ERRORS, EXPOSURE_RANGE, MODES, TONES
from noisewalk.app.flying.viewer import MAX_CROP, MAX_ITERATIONS, MAX_SPP, Viewer
from noisewalk.app.viewer.hands import TEXT_STEP, record
from noisewalk.app.viewer.session import draw_session
from noisewalk.app.viewer.sliders import LOGARITHMIC, bounded, slider, whole_slider
from noisewalk.app.viewer.tips import tip
from noisewalk.renderer.bundled import bundled_scenes

_OPEN = imgui.TreeNodeFlags_.default_open


def draw_menu(viewer: Viewer) -> bool:
    """Draws the main menu bar, with the state at its right. Returns whether the default layout is asked for."""
    arrange = False
    if not imgui.begin_main_menu_bar():
        return arrange
    if imgui.begin_menu("File"):
        _item("Open scene...", "Ctrl+O", lambda: viewer.carefully(viewer.ask.scene))
        if imgui.begin_menu("Bundled scenes"):
            for name in bundled_scenes():
                _item(name, "", partial(viewer.carefully, partial(viewer.open_scene, name)))
            imgui.end_menu()
        if imgui.begin_menu("Recent", bool(viewer.preferences.recent)):
            for scene in viewer.preferences.recent:
                _item(scene, "", partial(viewer.carefully, partial(viewer.open_scene, scene)))
            imgui.end_menu()
        imgui.separator()
        _item("Screenshot (PNG and EXR)", "F2", viewer.ask_screenshot)
        imgui.separator()
        _item("Quit", "Ctrl+Q", lambda: viewer.carefully(viewer.quit))
        imgui.end_menu()
    if imgui.begin_menu("Edit"):
        _item("Undo", "Ctrl+Z", viewer.undo)
        _item("Redo", "Ctrl+Shift+Z", viewer.redo)
        imgui.end_menu()
    if imgui.begin_menu("Path"):
        _item("Pause" if viewer.flight.playing else "Play", "Space", viewer.play)
        _item("Train along the path", "Shift+Space", lambda: viewer.play(every_frame=True))
        _item("Stop recording" if viewer.flight.recording else "Record my flight", "R", lambda: record(viewer))
        imgui.separator()
        _item("Load path...", "", lambda: viewer.carefully(viewer.ask.load_path))
        _item("Save path...", "Ctrl+S", viewer.ask.save_path)
        imgui.end_menu()
    if imgui.begin_menu("Training"):
        _item("Go on" if not viewer.knobs.train else "Pause", "T", lambda: viewer.train(not viewer.knobs.train))
        _item("Start the network afresh", "Shift+R", viewer.restart_network)
        imgui.separator()
        _item("Load weights...", "", viewer.ask.load_weights)
        _item("Export weights...", "Ctrl+E", viewer.ask.save_weights)
        imgui.end_menu()
    if imgui.begin_menu("View"):
        for key, (mode, name) in enumerate(MODES.items(), start=1):
            _item(name, str(key), partial(viewer.set_mode, mode), viewer.view.left == mode)
        imgui.separator()
        _item("Whole picture", "F", viewer.view.fit)
        smooth = viewer.view.smooth
        _item("Interpolate magnified pixels", "", lambda: setattr(viewer.view, "smooth", not smooth), smooth)
        imgui.separator()
        _item("Larger text", "Ctrl+=", lambda: viewer.enlarge(TEXT_STEP))
        _item("Smaller text", "Ctrl+-", lambda: viewer.enlarge(1 / TEXT_STEP))
        _item("Only the picture", "Tab", lambda: setattr(viewer, "panels_shown", False))
        arrange = imgui.menu_item_simple("Default layout")
        imgui.end_menu()
    if imgui.begin_menu("Help"):
        _item("Keys", "F1", lambda: setattr(viewer, "help_shown", True))
        imgui.end_menu()
    _state(viewer)
    imgui.end_main_menu_bar()
    return arrange


def draw_controls(title: str, viewer: Viewer) -> None:
    """Draws the window with all controls."""
    opened, _ = imgui.begin(title)
    if opened:
        imgui.push_item_width(imgui.get_content_region_avail().x * 0.58)
        for heading, draw in _SECTIONS.items():
            if imgui.collapsing_header(heading, _OPEN):
                draw(viewer)
                imgui.spacing()
        imgui.pop_item_width()
    imgui.end()


def _state(viewer: Viewer) -> None:
    scene, picture = viewer.scene, viewer.picture
    if scene is None:
        return
    words = [scene.name, f"{scene.width}x{scene.height}", f"2 x {viewer.knobs.spp} spp", scene.variant, scene.device]
    if picture is not None and viewer.engine.frame_ms:
        words.append(duration(viewer.engine.frame_ms) + " a frame")
    elif stages := viewer.engine.status.stages:
        words.append(f"{stages[-1].name}: {time.monotonic() - stages[-1].began:.0f} s")
    text = "   ".join(words)
    room = imgui.get_content_region_avail().x - imgui.calc_text_size(text).x - imgui.get_style().window_padding.x
    if room > 0:
        imgui.set_cursor_pos_x(imgui.get_cursor_pos_x() + room)
        imgui.text_disabled(text)


def _picture(viewer: Viewer) -> None:
    view = viewer.view
    view.left = _choice("shown", view.left, MODES)
    _, view.split_on = imgui.checkbox("split with", view.split_on)
    tip("split with")
    imgui.same_line()
    imgui.set_next_item_width(-1.0)
    if not view.split_on:
        imgui.begin_disabled()
    view.right = _choice("##right", view.right, MODES)
    if not view.split_on:
        imgui.end_disabled()
    view.exposure = slider("exposure", view.exposure, EXPOSURE_RANGE, "%+.1f stops")
    view.tone = _choice("tone map", view.tone, TONES)
    if view.left in ERRORS or (view.split_on and view.right in ERRORS):
        view.error_scale = slider("error scale", view.error_scale, (0.01, 1.0), "%.2f", LOGARITHMIC)
    imgui.text_disabled(f"zoom {100 * view.zoom:.0f} % of fit")
    imgui.same_line()
    if imgui.small_button("fit"):
        view.fit()
    imgui.same_line()
    if imgui.small_button("screenshot"):
        viewer.ask_screenshot()


def _camera(viewer: Viewer) -> None:
    scene, camera = viewer.scene, viewer.camera
    if scene is None:
        return
    if imgui.begin_combo("sensor", "go to ..." if len(scene.views) > 1 else next(iter(scene.views))):
        for name in scene.views:
            if imgui.selectable(name, False)[0]:
                viewer.go_to_view(name)
        imgui.end_combo()
    tip("sensor")
    fov = slider("field of view", camera.fov_y, FOV_RANGE, "%.1f deg")
    if fov != camera.fov_y:
        viewer.set_fov(fov)
    camera.speed = slider("speed", camera.speed, (MIN_SPEED, MAX_SPEED / 100), "%.3f", LOGARITHMIC)
    if imgui.button("reset camera"):
        viewer.reset_camera()
    imgui.same_line()
    imgui.text_disabled(f"{camera.units_per_second:.3g} units/s")


def _path(viewer: Viewer) -> None:
    flight, viewpoint = viewer.flight, viewer.camera.viewpoint
    if flight.path is None:
        return
    if imgui.button("pause" if flight.playing else "play"):
        viewer.play()
    imgui.same_line()
    imgui.begin_disabled(flight.playing)
    if imgui.button("train along"):
        viewer.play(every_frame=True)
    imgui.end_disabled()
    imgui.set_item_tooltip("flies the path so slowly that each of its frames is rendered, trained on and measured")
    imgui.same_line()
    if imgui.button(f"stop ({flight.recorded_keyframes})" if flight.recording else "record"):
        record(viewer)
    flight.at_end = _choice("at its end", flight.at_end, ENDS)
    frame = whole_slider("frame", flight.frame, (0, len(flight.path) - 1))
    if frame != flight.frame:
        viewer.scrub(frame)
    changed, seconds = imgui.input_float("seconds", flight.path.seconds, 1.0, 10.0, "%.1f")
    tip("seconds")
    if changed:
        flight.set_seconds(bounded(seconds, flight.path.seconds, SECONDS_RANGE))
    selected = "none" if flight.selected is None else f"{flight.selected + 1} of {flight.keyframes}"
    if imgui.begin_combo("keyframe", selected):
        for index in range(flight.keyframes):
            if imgui.selectable(f"{index + 1}", index == flight.selected)[0]:
                viewer.go_to_keyframe(index)
        imgui.end_combo()
    tip("keyframe")
    for label, action, needs_selection in (
        ("add", lambda: flight.add(viewpoint), False),
        ("replace", lambda: flight.replace(viewpoint), True),
        ("delete", flight.delete, True),
    ):
        imgui.begin_disabled(needs_selection and flight.selected is None)
        if imgui.button(label):
            action()
        imgui.end_disabled()
        imgui.same_line()
    if imgui.button("load..."):
        viewer.carefully(viewer.ask.load_path)
    imgui.same_line()
    if imgui.button("save*..." if flight.edited else "save..."):
        viewer.ask.save_path()


def _training(viewer: Viewer) -> None:
    knobs, picture = viewer.knobs, viewer.picture
    changed, on = imgui.checkbox("training", knobs.train)
    tip("training")
    if changed:
        viewer.train(on)
    imgui.same_line()
    if imgui.button("start afresh"):
        viewer.restart_network()
    _training_state(viewer)
    most = min(MAX_SPP, viewer.scene.max_spp) if viewer.scene else MAX_SPP
    viewer.knobs = replace(
        viewer.knobs,
        iterations=whole_slider("iterations", knobs.iterations, (0, MAX_ITERATIONS)),
        spp=whole_slider("spp", knobs.spp, (1, most), LOGARITHMIC),
        crop=whole_slider("crop", knobs.crop, (32, MAX_CROP)),
        learning_rate=slider("learning rate", knobs.learning_rate, (1e-6, 1e-1), "%.1e", LOGARITHMIC),
    )
    if picture is not None:
        imgui.text_disabled(f"{picture.steps} steps, {picture.skipped_pairs} pairs skipped")
        if picture.skipped_steps:
            imgui.text_colored(imgui.ImVec4(1.0, 0.6, 0.4, 1.0), f"{picture.skipped_steps} steps were not finite")
    imgui.align_text_to_frame_padding()
    imgui.text("weights")
    imgui.same_line()
    if imgui.button("load...##weights"):
        viewer.ask.load_weights()
    imgui.same_line()
    if imgui.button("export..."):
        viewer.ask.save_weights()
    saved = viewer.scene.saved_weights if viewer.scene else None
    if saved is not None:
        imgui.same_line()
        if imgui.button("last time's"):
            viewer.load_weights(saved)
        imgui.set_item_tooltip("go on with what this scene's network had learned when it was left")


def _training_state(viewer: Viewer) -> None:
    """What is in hand after a pause; what can be done after a failure."""
    failure = viewer.engine.status.training_failure
    if failure:
        imgui.push_text_wrap_pos(0.0)
        imgui.text_colored(imgui.ImVec4(1.0, 0.6, 0.4, 1.0), failure)
        imgui.pop_text_wrap_pos()
        if imgui.button("restart training"):
            viewer.engine.restart_training()
    elif not viewer.knobs.train:
        imgui.text_disabled("pausing: one step is in hand" if viewer.engine.in_hand else "paused: nothing is in hand")


_SECTIONS: dict[str, Callable[[Viewer], None]] = {
    "Picture": _picture,
    "Camera": _camera,
    "Path": _path,
    "Training": _training,
    "Session": draw_session,
}


def duration(milliseconds: float) -> str:
    """Milliseconds as readable text."""
    return f"{milliseconds / 1e3:.1f} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"


def _choice(label: str, current: str, choices: dict[str, str]) -> str:
    names = list(choices)
    _, index = imgui.combo(label, names.index(current), list(choices.values()))
    tip(label)
    return names[index]


def _item(label: str, shortcut: str, action: Callable[[], object], selected: bool = False) -> None:
    if imgui.menu_item(printable(label), shortcut, selected)[0]:
        action()
