"""Keys and mouse. What ImGui does not use goes to the viewer. The help overlay lists all keys."""

from __future__ import annotations

from collections.abc import Callable

from imgui_bundle import imgui

from noisewalk.app.flying.controls import MAX_CLICKS, Steering
from noisewalk.app.flying.view import MODES
from noisewalk.app.flying.viewer import Viewer
from noisewalk.app.viewer.display import Area
from noisewalk.app.viewer.overlays import over_split

Key = imgui.Key
EXPOSURE_STEP = 0.5
ZOOM_STEP = TEXT_STEP = 1.15
BUTTONS = (imgui.MouseButton_.left, imgui.MouseButton_.middle, imgui.MouseButton_.right)
MAX_TICK = 0.1  # seconds; after a slow frame the camera must not jump


class Hands:
    """Reads keys and mouse. It remembers the present drag from frame to frame."""

    def __init__(self) -> None:
        self._drag: str | None = None

    def read(self, viewer: Viewer, area: Area) -> Steering | None:
        """Acts on the viewer, and returns how to steer the camera. To be called once a frame, after ImGui's windows."""
        io = imgui.get_io()
        self._mouse(viewer, area, io)
        if imgui.is_key_pressed(Key.escape):
            imgui.internal.close_popups_except_modals()  # menus and lists
        if io.want_capture_keyboard or io.want_text_input:
            return None
        self._shortcuts(viewer, io)
        if io.key_ctrl:
            return None
        return Steering(
            right=_held(Key.d) - _held(Key.a),
            up=_held(Key.e) - _held(Key.q),
            forward=_held(Key.w) - _held(Key.s),
            fast=io.key_shift,
            seconds=min(io.delta_time, MAX_TICK),
        )

    def _mouse(self, viewer: Viewer, area: Area, io: imgui.IO) -> None:
        x, y = io.mouse_pos.x, io.mouse_pos.y
        if not io.want_capture_mouse:
            self._press(viewer, area, io)
            if io.mouse_wheel and io.key_ctrl:
                clicks = min(max(io.mouse_wheel, -MAX_CLICKS), MAX_CLICKS)
                area.zoom_at(viewer.view, viewer.size, x, y, ZOOM_STEP**clicks)
            elif io.mouse_wheel:
                viewer.camera.faster(io.mouse_wheel)
            if over_split(viewer, area, x):
                imgui.set_mouse_cursor(imgui.MouseCursor_.resize_ew)
        if not any(imgui.is_mouse_down(button) for button in BUTTONS):
            self._drag = None
        right, down = io.mouse_delta.x / area.height, io.mouse_delta.y / area.height
        if self._drag == "look":
            viewer.look(right, down)
        elif self._drag == "orbit":
            viewer.orbit(right, down)
        elif self._drag == "split":
            viewer.view.split = min(max((x - area.x) / area.width, 0.0), 1.0)
        elif self._drag == "pan":
            _, _, width, height = area.window(viewer.view, viewer.size)
            u, v = viewer.view.center
            center = (u - io.mouse_delta.x / area.width * width, v - io.mouse_delta.y / area.height * height)
            viewer.view.center = (min(max(center[0], 0.0), 1.0), min(max(center[1], 0.0), 1.0))

    def _press(self, viewer: Viewer, area: Area, io: imgui.IO) -> None:
        if imgui.is_mouse_clicked(imgui.MouseButton_.right):
            self._drag = "pan"
        elif imgui.is_mouse_clicked(imgui.MouseButton_.middle):
            self._begin_orbit(viewer, area, io)
        elif imgui.is_mouse_clicked(imgui.MouseButton_.left):
            if over_split(viewer, area, io.mouse_pos.x):
                self._drag = "split"
            elif io.key_alt:
                self._begin_orbit(viewer, area, io)
            else:
                self._drag = "look"

    def _begin_orbit(self, viewer: Viewer, area: Area, io: imgui.IO) -> None:
        self._drag = "orbit"
        viewer.begin_orbit(*area.to_picture(viewer.view, viewer.size, io.mouse_pos.x, io.mouse_pos.y))

    def _shortcuts(self, viewer: Viewer, io: imgui.IO) -> None:
        if io.key_ctrl:
            keys = {
                Key.o: lambda: viewer.carefully(viewer.ask.scene),
                Key.s: viewer.ask.save_path,
                Key.e: viewer.ask.save_weights,
                Key.q: lambda: viewer.carefully(viewer.quit),
                Key.z: viewer.redo if io.key_shift else viewer.undo,
                Key.y: viewer.redo,
                Key.equal: lambda: viewer.enlarge(TEXT_STEP),
                Key.minus: lambda: viewer.enlarge(1 / TEXT_STEP),
            }
        elif io.key_shift:
            keys = {Key.r: viewer.restart_network, Key.space: lambda: viewer.play(every_frame=True)}
        else:
            keys = {
                Key.r: lambda: record(viewer),
                Key.k: lambda: viewer.flight.add(viewer.camera.viewpoint),
                Key.space: viewer.play,
                Key.t: lambda: viewer.train(not viewer.knobs.train),
                Key.x: lambda: _toggle(viewer.view, "split_on"),
                Key.f: viewer.view.fit,
                Key.home: viewer.reset_camera,
                Key.left_bracket: lambda: viewer.expose(-EXPOSURE_STEP),
                Key.right_bracket: lambda: viewer.expose(EXPOSURE_STEP),
                Key.tab: lambda: _toggle(viewer, "panels_shown"),
                Key.f1: lambda: _toggle(viewer, "help_shown"),
                Key.f2: viewer.ask_screenshot,
                Key.escape: lambda: setattr(viewer, "help_shown", False),
            }
            for number, mode in enumerate(MODES, start=1):
                keys[Key(int(Key._0) + number)] = _mode_setter(viewer, mode)
        for key, action in keys.items():
            if imgui.is_key_pressed(key, repeat=key in (Key.left_bracket, Key.right_bracket)):
                action()


def record(viewer: Viewer) -> None:
    """Starts or ends a recording. The start asks first if an unsaved path would be replaced."""
    if viewer.flight.recording:
        viewer.record()
    else:
        viewer.carefully(viewer.record)


def _held(key: imgui.Key) -> float:
    return 1.0 if imgui.is_key_down(key) else 0.0


def _toggle(thing: object, name: str) -> None:
    setattr(thing, name, not getattr(thing, name))


def _mode_setter(viewer: Viewer, mode: str) -> Callable[[], None]:
    return lambda: viewer.set_mode(mode)
