"""Sliders that a person may also type into."""

from __future__ import annotations

import math

from imgui_bundle import imgui

from noisewalk.app.viewer.tips import tip

CLAMPED = imgui.SliderFlags_.always_clamp
LOGARITHMIC = imgui.SliderFlags_.logarithmic | CLAMPED


def slider(label: str, value: float, bounds: tuple[float, float], text: str, flags: int = CLAMPED) -> float:
    """The value from now on. A person may also type one, which ImGui takes as it is."""
    changed, new = imgui.slider_float(label, value, *bounds, text, flags)
    tip(label)
    return bounded(new, value, bounds) if changed else value


def whole_slider(label: str, value: int, bounds: tuple[int, int], flags: int = CLAMPED, text: str = "%d") -> int:
    """The same for whole numbers."""
    changed, new = imgui.slider_int(label, value, *bounds, text, flags)
    tip(label)
    return round(bounded(new, value, bounds)) if changed else value


def bounded(new: float, old: float, bounds: tuple[float, float]) -> float:
    """The new value within its bounds; the old one where the new one is not a number."""
    return old if math.isnan(new) else min(max(new, bounds[0]), bounds[1])
