"""From layers to the shown pixels without GL. The picture is the same as that of `viewer/display.py`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from noisewalk.app.flying.messages import Picture
from noisewalk.app.flying.view import BACKGROUND, DisplaySettings, colors
from noisewalk.app.layers import beside_rendering
from noisewalk.denoiser.features import tone_map

NOTHING = tuple(1.6 * channel for channel in BACKGROUND)  # where a layer is missing


def develop(picture: Picture, view: DisplaySettings) -> np.ndarray:
    """The whole picture as it is shown, at its own size: (H, W, 3) uint8."""
    width = picture.layers["denoised"].shape[1]
    # Columns whose middle is to the left of the split show the left mode.
    columns = min(max(math.ceil(view.split * width - 0.5), 0), width) if view.split_on else width
    sides = [(view.left, slice(0, columns)), (view.right, slice(columns, width))]
    with beside_rendering(picture.layers["denoised"]):
        shown = [_shown(picture.layers, mode, part, view) for mode, part in sides if part.start < part.stop]
        pixels = (torch.cat(shown, dim=1).clamp(0, 1) * 255).round().to(torch.uint8)
        return pixels.cpu().numpy()


def _shown(layers: dict[str, Any], mode: str, part: slice, view: DisplaySettings) -> torch.Tensor:
    needed = ("denoised", "reference") if mode == "error" else (mode,)
    if any(name not in layers for name in needed):
        height = layers["denoised"].shape[0]
        return torch.tensor(NOTHING, device=_part(layers, "denoised", part).device).expand(
            height, part.stop - part.start, 3
        )
    value = _part(layers, needed[0], part)
    if mode == "albedo":
        return _srgb(value)
    if mode == "normal":
        return value * 0.5 + 0.5
    if mode == "error":
        difference = (tone_map(value) - tone_map(_part(layers, "reference", part))).abs()
        return _heat(difference.mean(dim=-1), view)
    if mode == "estimated_error":
        return _heat(value[..., 0], view)
    return _TONES[view.tone](value.clamp(min=0) * 2.0**view.exposure)


def _part(layers: dict[str, Any], name: str, part: slice) -> torch.Tensor:
    return torch.as_tensor(layers[name])[:, part].nan_to_num()


def _srgb(value: torch.Tensor) -> torch.Tensor:
    value = value.clamp(0, 1)
    return torch.where(value <= 0.0031308, 12.92 * value, 1.055 * value.pow(1 / 2.4) - 0.055)


def _aces(value: torch.Tensor) -> torch.Tensor:
    """Narkowicz 2015, ACES filmic tone mapping curve."""
    value = value.clamp(max=1e4)  # there the curve is 1, and squares are finite
    return _srgb(value * (2.51 * value + 0.03) / (value * (2.43 * value + 0.59) + 0.14))


def _heat(error: torch.Tensor, view: DisplaySettings) -> torch.Tensor:
    ramp = torch.as_tensor(colors(1021) / 255, dtype=torch.float32, device=error.device)
    # Like the shader's texture of 256 colors, which interpolates between their middles.
    place = (error / view.error_scale).clamp(0.002, 0.998) * 256 - 0.5
    return ramp[(place * 4).round().long()]


_TONES = {"paper": tone_map, "srgb": _srgb, "aces": _aces}
