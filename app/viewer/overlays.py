"""What is drawn over the picture: captions, split handle, scale of the error, pixel values, cards, help."""

from __future__ import annotations

import itertools
import time

from imgui_bundle import imgui

from noisewalk.app.flying.messages import Picture, Stage
from noisewalk.app.flying.view import ERRORS, MODES, colors
from noisewalk.app.flying.viewer import Viewer
from noisewalk.app.layers import as_array
from noisewalk.app.viewer.display import Area
from noisewalk.app.viewer.popups import DIALOG_WIDTH, centre_window, draw_popups

KEYS = (
    ("W A S D", "fly forward, left, back, right"),
    ("Q  E", "fly down, up"),
    ("Shift", "four times as fast"),
    ("drag", "look around"),
    ("Alt + drag", "orbit around the point under the mouse; the middle button does the same"),
    ("wheel", "speed"),
    ("Ctrl + wheel", "zoom into the picture; right-drag moves it, F fits it"),
    ("Home", "back to the sensor's own view"),
    (
        "1 ... 9",
        "denoised, noisy average, one frame, reference, albedo, normal, error, its estimate, Open Image Denoise",
    ),
    ("X", "split on and off; drag the line"),
    ("[  ]", "exposure down, up"),
    ("Space", "play or pause the path; Shift + Space trains along it, frame by frame"),
    ("R", "record your own flight, or end it"),
    ("K", "add a keyframe here"),
    ("T", "pause training, or go on"),
    ("Shift + R", "start the network afresh"),
    ("F2", "screenshot: PNG and EXR"),
    ("Ctrl + O, S, E", "open a scene, save the path, export the weights"),
    ("Ctrl + Z", "undo a change of the path or of a knob; Ctrl + Shift + Z does it again"),
    ("Ctrl + =, -", "larger or smaller text"),
    ("Tab", "only the picture"),
    ("F1", "this help"),
    ("Ctrl + Q", "quit"),
)
_CARD = (
    imgui.WindowFlags_.no_decoration
    | imgui.WindowFlags_.always_auto_resize
    | imgui.WindowFlags_.no_saved_settings
    | imgui.WindowFlags_.no_docking
    | imgui.WindowFlags_.no_nav
    | imgui.WindowFlags_.no_move
)
_PASSIVE = _CARD | imgui.WindowFlags_.no_inputs | imgui.WindowFlags_.no_focus_on_appearing
HANDLE = 7.0  # half the width of what can be grabbed, at scale 1


def draw_overlays(viewer: Viewer, area: Area) -> None:
    """Draws everything over the picture, the most urgent last."""
    picture = viewer.picture
    if picture is not None:
        _captions(viewer, picture, area)
        _split(viewer, area)
        _error_scale(viewer, area)
        _pixel(viewer, picture, area)
    _start_card(viewer, area)
    _toasts(viewer, area)
    _failure(viewer)
    draw_popups(viewer)
    _help(viewer)


def over_split(viewer: Viewer, area: Area, x: float) -> bool:
    """Whether the split can be grabbed at x, in the window."""
    reach = HANDLE * imgui.get_style().font_scale_dpi
    return viewer.view.split_on and abs(x - (area.x + viewer.view.split * area.width)) < reach


def _captions(viewer: Viewer, picture: Picture, area: Area) -> None:
    view, pad = viewer.view, imgui.get_font_size() * 0.6
    draw = imgui.get_background_draw_list()
    sides = [(view.left, area.x + pad)]
    if view.split_on:
        sides.append((view.right, area.x + view.split * area.width + pad))
    draw.push_clip_rect(imgui.ImVec2(area.x, area.y), imgui.ImVec2(area.x + area.width, area.y + area.height))
    for mode, x in sides:
        text = MODES[mode]
        if mode in ("denoised", "noisy", "oidn"):
            text += f"  {picture.spp} spp"
        if mode in picture.decibels and viewer.is_current(picture):
            text += f"  {picture.psnr_text(mode)}"
        elif mode in ("denoised", "estimated_error") and picture.estimate and viewer.is_current(picture):
            text += f"  {picture.estimate}" if mode == "estimated_error" else f"  estimate {picture.estimate}"
        elif mode == "reference" and picture.noise_floor is not None:
            text += f"  {picture.reference_spp} spp"
        _label(draw, x, area.y + pad, text)
        if reason := viewer.missing(mode, picture):
            _label(draw, x, area.y + pad + 1.7 * imgui.get_font_size(), reason)
        elif mode == "denoised" and not picture.trained:
            _label(draw, x, area.y + pad + 1.7 * imgui.get_font_size(), "not trained yet: the noisy average")
    if viewer.flight.recording:
        text = f"recording: {viewer.flight.recorded_keyframes} keyframes, R ends it"
        _label(draw, area.x + area.width / 2 - imgui.calc_text_size(text).x / 2, area.y + pad, text)
    draw.pop_clip_rect()


def _label(draw: imgui.ImDrawList, x: float, y: float, text: str) -> None:
    size, pad = imgui.calc_text_size(text), imgui.get_font_size() * 0.3
    draw.add_rect_filled(
        imgui.ImVec2(x - pad, y - pad / 2),
        imgui.ImVec2(x + size.x + pad, y + size.y + pad / 2),
        imgui.IM_COL32(12, 13, 15, 190),
        pad,
    )
    draw.add_text(imgui.ImVec2(x, y), imgui.IM_COL32(235, 237, 240, 255), text)


def _split(viewer: Viewer, area: Area) -> None:
    if not viewer.view.split_on:
        return
    draw, scale = imgui.get_background_draw_list(), imgui.get_style().font_scale_dpi
    x, middle = area.x + viewer.view.split * area.width, area.y + area.height / 2
    top, bottom = imgui.ImVec2(x, area.y), imgui.ImVec2(x, area.y + area.height)
    draw.add_line(top, bottom, imgui.IM_COL32(0, 0, 0, 160), 3 * scale)
    draw.add_line(top, bottom, imgui.IM_COL32(240, 242, 245, 230), 1.2 * scale)
    draw.add_circle_filled(imgui.ImVec2(x, middle), HANDLE * scale, imgui.IM_COL32(240, 242, 245, 230))


def _error_scale(viewer: Viewer, area: Area) -> None:
    view = viewer.view
    modes = [mode for mode in (view.left, view.right if view.split_on else "") if mode in ERRORS]
    if not modes:
        return
    draw, line = imgui.get_background_draw_list(), imgui.get_font_size()
    width, height = min(12 * line, area.width * 0.5), 0.7 * line
    left, top = area.x + area.width - width - 2 * line, area.y + area.height - 2.6 * line
    steps = colors(33).astype(int)
    for i, (a, b) in enumerate(itertools.pairwise(steps.tolist())):
        x0, x1 = left + width * i / 32, left + width * (i + 1) / 32
        one, other = (imgui.IM_COL32(c[0], c[1], c[2], 255) for c in (a, b))
        draw.add_rect_filled_multi_color(imgui.ImVec2(x0, top), imgui.ImVec2(x1, top + height), one, other, other, one)
    for row, text in enumerate(dict.fromkeys(ERRORS[mode] for mode in reversed(modes))):
        _label(draw, left, top - (1.5 + 1.4 * row) * line, text)
    for fraction in (0.0, 0.5, 1.0):
        text = f"{fraction * view.error_scale:.2g}"
        _label(draw, left + fraction * width - imgui.calc_text_size(text).x / 2, top + height + 0.25 * line, text)


def _pixel(viewer: Viewer, picture: Picture, area: Area) -> None:
    """The pixel under the mouse, when zoomed in or asked for by Ctrl."""
    io = imgui.get_io()
    if io.want_capture_mouse or not (viewer.view.zoom > 1.0 or io.key_ctrl) or not viewer.is_current(picture):
        return
    u, v = area.to_picture(viewer.view, viewer.size, io.mouse_pos.x, io.mouse_pos.y)
    beyond_split = viewer.view.split_on and io.mouse_pos.x > area.x + viewer.view.split * area.width
    mode = viewer.view.right if beyond_split else viewer.view.left
    layer = picture.layers.get("denoised" if mode == "error" else mode)
    if layer is None or not (0 <= u < 1 and 0 <= v < 1):
        return
    row, column = int(v * layer.shape[0]), int(u * layer.shape[1])
    red, green, blue = as_array(layer[row : row + 1, column : column + 1])[0, 0]
    text = f"({column}, {row})   {red:.4g}  {green:.4g}  {blue:.4g}"
    line = imgui.get_font_size()
    _label(imgui.get_background_draw_list(), area.x + 0.6 * line, area.y + area.height - 1.8 * line, text)


def _start_card(viewer: Viewer, area: Area) -> None:
    status = viewer.engine.status
    if status.phase == "failed" or (viewer.picture is not None and status.phase != "opening"):
        return
    _centre(area)
    imgui.begin("##start", flags=_PASSIVE)
    imgui.push_font(None, 26.0)
    imgui.text("noisewalk")
    imgui.pop_font()
    for stage in status.stages or (Stage(status.note, time.monotonic()),):
        seconds = (stage.ended or time.monotonic()) - stage.began
        text = f"{stage.name}  {seconds:.1f} s"
        (imgui.text_disabled if stage.ended else imgui.text)(text)
    imgui.progress_bar(-float(imgui.get_time()), imgui.ImVec2(18 * imgui.get_font_size(), 0), "")
    imgui.text_disabled("F1 lists the keys")
    imgui.end()


def _toasts(viewer: Viewer, area: Area) -> None:
    if not viewer.toasts:
        return
    line = imgui.get_font_size()
    imgui.set_next_window_pos(imgui.ImVec2(area.x + area.width - line, area.y + line), pivot=imgui.ImVec2(1.0, 0.0))
    imgui.set_next_window_bg_alpha(0.88)
    imgui.begin("##toasts", flags=_PASSIVE)
    imgui.push_text_wrap_pos(min(26 * line, area.width * 0.7))
    for text, _ in viewer.toasts:
        imgui.text_unformatted(text)
    imgui.pop_text_wrap_pos()
    imgui.end()


def _failure(viewer: Viewer) -> None:
    """The card after a session has failed, with what can be done."""
    if viewer.engine.status.phase != "failed" or viewer.errors:
        return
    centre_window()
    imgui.begin("##failure", flags=_CARD)
    imgui.push_text_wrap_pos(DIALOG_WIDTH * imgui.get_style().font_scale_dpi)
    imgui.text("The session has stopped.")
    imgui.text_unformatted(viewer.engine.status.failure)
    imgui.pop_text_wrap_pos()
    if imgui.button("restart"):
        viewer.engine.restart()
    imgui.same_line()
    if imgui.button("open another scene..."):
        viewer.ask.scene()
    imgui.end()


def _help(viewer: Viewer) -> None:
    if not viewer.help_shown:
        return
    centre_window()
    imgui.set_next_window_focus()
    imgui.begin("##help", flags=_CARD)
    if imgui.begin_table("keys", 2, imgui.TableFlags_.sizing_fixed_fit):
        for keys, meaning in KEYS:
            imgui.table_next_row()
            imgui.table_next_column()
            imgui.text_colored(imgui.ImVec4(0.55, 0.78, 1.0, 1.0), keys)
            imgui.table_next_column()
            imgui.text_unformatted(meaning)
        imgui.end_table()
    imgui.text_disabled("F1 or Escape closes this")
    imgui.end()


def _centre(area: Area) -> None:
    middle = imgui.ImVec2(area.x + area.width / 2, area.y + area.height / 2)
    imgui.set_next_window_pos(middle, pivot=imgui.ImVec2(0.5, 0.5))
