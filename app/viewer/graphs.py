"""The live graphs: PSNR, milliseconds per stage, loss; and the current dB, large."""

from __future__ import annotations

import numpy as np
from imgui_bundle import imgui, implot

from noisewalk.app.flying.messages import Picture
from noisewalk.app.flying.series import STAGES, Curves
from noisewalk.app.flying.viewer import Viewer

DENOISED, NOISY, FLOOR = (0.42, 0.72, 1.0), (1.0, 0.66, 0.3), (0.55, 0.57, 0.6)
ESTIMATE = (0.62, 0.78, 0.92)
STAGE_COLORS = ((0.36, 0.6, 0.84), (0.47, 0.76, 0.56), (0.62, 0.64, 0.68), (0.9, 0.55, 0.4))
ESTIMATE_HINT = (
    "a bound of the denoised picture's PSNR, worked out from its two noisy halves without a reference;\n"
    "it holds in nine of ten views, and the truth is often some dB better"
)
LARGE = 27.0
MARKED = 200  # up to so many measured frames, each has a dot
NUMBERS_WIDTH = 204.0
_PLOT = implot.Flags_.no_legend | implot.Flags_.no_menus | implot.Flags_.no_box_select | implot.Flags_.no_mouse_text


def draw_graphs(title: str, viewer: Viewer) -> None:
    """The window with all graphs, side by side if there is room."""
    opened, _ = imgui.begin(title)
    if opened:
        scale = imgui.get_style().font_scale_dpi
        curves = viewer.engine.series.curves()
        if imgui.begin_child("numbers", imgui.ImVec2(NUMBERS_WIDTH * scale, 0)):
            _numbers(viewer, viewer.picture)
        imgui.end_child()
        imgui.same_line()
        room = imgui.get_content_region_avail()
        gap = imgui.get_style().item_spacing.x
        three = room.x > 640 * scale
        widths = (0.46, 0.29, 0.25) if three else (1.0, 0.0, 0.0)
        for draw, width in zip((_psnr, _stages, _loss), widths, strict=True):
            if width:
                draw(curves, imgui.ImVec2(max(40.0, width * room.x - gap), max(40.0, room.y)))
                imgui.same_line()
    imgui.end()


def _numbers(viewer: Viewer, picture: Picture | None) -> None:
    current = picture if picture and viewer.is_current(picture) else None
    decibels, estimate = (current.decibels, current.estimate) if current else ({}, None)
    for layer, label, color in (("denoised", "denoised", DENOISED), ("noisy", "noisy average", NOISY)):
        estimated = estimate is not None and layer == "denoised"
        value = current.psnr_text(layer) if current and layer in decibels else "- dB"
        if estimated and layer not in decibels:
            value, label, color = str(estimate), "denoised: an estimate", ESTIMATE
        imgui.push_font(None, LARGE)
        imgui.text_colored(imgui.ImVec4(*color, 1.0), value)
        imgui.pop_font()
        imgui.text_disabled(label)
        if estimated and layer in decibels:
            imgui.same_line()
            imgui.text_colored(imgui.ImVec4(*ESTIMATE, 1.0), f"estimate {estimate}")
        if estimated:
            imgui.set_item_tooltip(ESTIMATE_HINT)
    imgui.spacing()
    imgui.push_text_wrap_pos(0.0)
    imgui.text_unformatted(_reference_text(viewer, picture))
    imgui.pop_text_wrap_pos()


def _reference_text(viewer: Viewer, picture: Picture | None) -> str:
    if picture is None or viewer.scene is None:
        return ""
    if picture.noise_floor is not None and viewer.is_current(picture):
        noisier = picture.noise_floor < picture.decibels.get("denoised", 0.0)
        doubt = ": noisier than the picture" if noisier else ""
        return f"against {picture.reference_spp} spp, good to {picture.noise_floor:.1f} dB{doubt}"
    return viewer.unmeasured(picture)


def _psnr(curves: Curves, size: imgui.ImVec2) -> None:
    measured = np.isfinite(curves.denoised)
    if not implot.begin_plot("##psnr", size, _PLOT):
        return
    implot.setup_axes("frame", "PSNR (dB)")  # the large numbers have the colors of the curves
    values = np.concatenate([curves.denoised, curves.noisy, curves.estimate])
    values = values[np.isfinite(values)]
    if values.size:
        _limits(curves.frame, float(values.min()) - 1.0, float(values.max()) + 1.0)
        # NaN breaks the line, so that there is a gap where nothing was measured.
        _thin("estimate", curves.frame, curves.estimate, ESTIMATE)
        for label, values, color in (("denoised", curves.denoised, DENOISED), ("noisy", curves.noisy, NOISY)):
            spec = implot.Spec(line_color=imgui.ImVec4(*color, 1.0), line_weight=_weight(2.0))
            if measured.sum() < MARKED:  # a point between two gaps has no line
                spec.marker, spec.marker_size = implot.Marker_.circle, _weight(1.6)
                spec.marker_fill_color = spec.marker_line_color = imgui.ImVec4(*color, 1.0)
            implot.plot_line(label, curves.frame, values, spec)
        _thin("reference's limit", curves.frame, curves.noise_floor, FLOOR)
    else:
        _limits(curves.frame, 0.0, 40.0)
        _say("nothing measured yet")
    implot.end_plot()


def _thin(label: str, frame: np.ndarray, values: np.ndarray, color: tuple[float, float, float]) -> None:
    implot.plot_line(label, frame, values, implot.Spec(line_color=imgui.ImVec4(*color, 1.0), line_weight=_weight(1.0)))


def _stages(curves: Curves, size: imgui.ImVec2) -> None:
    # A legend inside would hide the curves. So the names are above, in the colors of the curves.
    imgui.begin_group()
    imgui.push_style_var(imgui.StyleVar_.item_spacing, imgui.ImVec2(6 * imgui.get_style().font_scale_dpi, 0))
    for stage, color in zip(STAGES, STAGE_COLORS, strict=True):
        imgui.text_colored(imgui.ImVec4(*color, 1.0), stage)
        imgui.same_line()
    imgui.new_line()
    imgui.pop_style_var()
    _stages_plot(curves, imgui.ImVec2(size.x, max(40.0, size.y - imgui.get_text_line_height())))
    imgui.end_group()


def _stages_plot(curves: Curves, size: imgui.ImVec2) -> None:
    if not implot.begin_plot("##stages", size, _PLOT):
        return
    implot.setup_axes("frame", "ms")
    if len(curves.frame) > 1:
        top = float(np.percentile(curves.milliseconds[-1], 98)) * 1.15 or 1.0
        _limits(curves.frame, 0.0, top)
        below = np.zeros_like(curves.frame)
        for stage, color, above in zip(STAGES, STAGE_COLORS, curves.milliseconds, strict=True):
            spec = implot.Spec(fill_color=imgui.ImVec4(*color, 1.0), line_color=imgui.ImVec4(*color, 1.0))
            implot.plot_shaded(stage, curves.frame, below, above, spec)
            below = above
    else:
        _limits(curves.frame, 0.0, 100.0)
    implot.end_plot()


def _loss(curves: Curves, size: imgui.ImVec2) -> None:
    if not implot.begin_plot("##loss", size, _PLOT):
        return
    implot.setup_axes("frame", "training loss")
    finite = curves.loss[np.isfinite(curves.loss) & (curves.loss > 0)]
    if finite.size:
        low, high = float(finite.min()), float(finite.max())
        if high > 10 * low:  # within one decade a logarithmic axis has no numbers
            implot.setup_axis_scale(implot.ImAxis_.y1, implot.Scale_.log10)
            _limits(curves.frame, low / 1.5, high * 1.5)
        else:
            _limits(curves.frame, 0.0, high * 1.15)
        spec = implot.Spec(line_color=imgui.ImVec4(*DENOISED, 1.0), line_weight=_weight(1.2))
        implot.plot_line("loss", curves.frame, curves.loss, spec)
    else:
        _limits(curves.frame, 0.0, 1.0)
        _say("not trained yet")
    implot.end_plot()


def _limits(frame: np.ndarray, low: float, high: float) -> None:
    first, last = (float(frame[0]), float(frame[-1])) if frame.size else (0.0, 1.0)
    implot.setup_axes_limits(first, max(last, first + 10.0), low, high, implot.Cond_.always)


def _say(text: str) -> None:
    limits = implot.get_plot_limits()
    implot.plot_text(text, (limits.x.min + limits.x.max) / 2, (limits.y.min + limits.y.max) / 2)


def _weight(pixels: float) -> float:
    return pixels * imgui.get_style().font_scale_dpi
