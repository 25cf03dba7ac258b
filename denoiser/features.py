"""From frame planes to network input: tone map and features."""

from __future__ import annotations

import torch

from noisewalk.denoiser.planes import AGE, ALBEDO, COLOR, GUIDE, HISTORY, NORMAL, part

FEATURE_VERSION = 2
MAX_INVERTED = 1e4  # where T is within 0.00005 of 1


def tone_map(value: torch.Tensor) -> torch.Tensor:
    """T(v) = (v / (1 + v)) ** (1 / 2.2) for v >= 0, elementwise, in [0, 1] (Lehtinen et al. 2018, section 3.3).

    Negative values count as 0 and infinity as 1; NaN stays NaN.
    """
    value = value.clamp(0.0, torch.finfo(value.dtype).max)
    return (value / (1.0 + value)).pow(1.0 / 2.2)


def inverse_tone_map(value: torch.Tensor) -> torch.Tensor:
    """The radiance v with T(v) = value, elementwise, in [0, MAX_INVERTED]: no radiance has a T of 1 or more."""
    power = value.clamp(0.0, 1.0).pow(2.2)
    return (power / (1.0 - power)).clamp(max=MAX_INVERTED)


def finite(image: torch.Tensor, channels: int = -1) -> torch.Tensor:
    """The image, with 0 in each pixel that has a non-finite channel. channels: their dimension, 1 for planes."""
    return torch.where(torch.isfinite(image).all(dim=channels, keepdim=True), image, 0.0)


def network_input(planes: torch.Tensor, tone_mapped: bool = True) -> torch.Tensor:
    """(N, 9, H, W) float32 in [-0.5, 0.5] of frame planes: T(color), albedo, normal. Non-finite pixels count as 0.

    tone_mapped: False gives the network the linear radiance minus 0.5: black is -0.5, and there is no upper end.
    """
    color, albedo, normal = (finite(part(planes, channels), channels=1) for channels in (COLOR, ALBEDO, NORMAL))
    shown = tone_map(color) if tone_mapped else color.clamp(min=0.0)
    return torch.cat([shown - 0.5, albedo - 0.5, normal * 0.5], dim=1)


def context_input(planes: torch.Tensor) -> torch.Tensor:
    """(N, 7, H, W) float32 in [-0.5, 0.5] of frame planes: T(guide), T(history), and its age as age / (age + 4)."""
    guide, history, age = (part(planes, channels) for channels in (GUIDE, HISTORY, AGE))
    return torch.cat([tone_map(guide) - 0.5, tone_map(history) - 0.5, age / (age + 4.0) - 0.5], dim=1)
