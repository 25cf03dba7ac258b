"""From rendered frames to network input and back: tone map, features, and the only change of layout (HWC -> NCHW)."""

from __future__ import annotations

import torch

from noisewalk.renderer.frame import Frame

FEATURE_VERSION = 2
PLANES = 16
MAX_INVERTED = 1e4  # where T is within 0.00005 of 1


def tone_map(value: torch.Tensor) -> torch.Tensor:
    """T(v) = (v / (1 + v)) ** (1 / 2.2) for v >= 0, elementwise, in [0, 1] (Lehtinen et al. 2018, section 3.3).

    Negative values count as 0 and infinity as 1; NaN stays NaN.
    """
    value = value.clamp(0.0, torch.finfo(value.dtype).max)
    return (value / (1.0 + value)).pow(1.0 / 2.2)


def inverse_tone_map(value: torch.Tensor) -> torch.Tensor:
    """The radiance v with T(v) = value, elementwise: in [0, MAX_INVERTED], since no radiance has a T of 1 or more."""
    power = value.clamp(0.0, 1.0).pow(2.2)
    return (power / (1.0 - power)).clamp(max=MAX_INVERTED)


def finite(image: torch.Tensor, channels: int = -1) -> torch.Tensor:
    """The image with every pixel that has a non-finite channel set to 0. `channels`: their dimension, 1 for planes."""
    return torch.where(torch.isfinite(image).all(dim=channels, keepdim=True), image, 0.0)


def frame_planes(frame: Frame, guide: torch.Tensor | None = None, seen: torch.Tensor | None = None) -> torch.Tensor:
    """(1, 16, H, W) float32: color, albedo, normal as rendered, guide, history and its age. What models take.

    guide: (H, W, 3) another denoiser's radiance; seen: (H, W, 4) radiance and age in frames, as of
    `History.seen_by`. Zeros stand for what is missing.
    """
    height, width = frame.color.shape[:2]
    nothing = frame.color.new_zeros(height, width, 4)
    guide = nothing[..., :3] if guide is None else guide
    seen = nothing if seen is None else seen
    return to_planes(torch.cat([frame.color, frame.albedo, frame.normal, guide, seen], dim=-1))


def guide_of(planes: torch.Tensor) -> torch.Tensor:
    """(N, 3, H, W): the guide in frame planes."""
    return planes[:, 9:12]


def network_input(planes: torch.Tensor, tone_mapped: bool = True) -> torch.Tensor:
    """(N, 9, H, W) float32 in [-0.5, 0.5] of frame planes: T(color), albedo, normal. Non-finite pixels count as 0.

    Where not tone mapped, the color is linear radiance at the same offset: black is -0.5, and there is no upper end.
    """
    color, albedo, normal = (finite(part, channels=1) for part in planes[:, :9].split(3, dim=1))
    shown = tone_map(color) if tone_mapped else color.clamp(min=0.0)
    return torch.cat([shown - 0.5, albedo - 0.5, normal * 0.5], dim=1)


def context_input(planes: torch.Tensor) -> torch.Tensor:
    """(N, 7, H, W) float32 in [-0.5, 0.5] of frame planes: T(guide), T(history), and its age as age / (age + 4)."""
    guide, history, age = guide_of(planes), planes[:, 12:15], planes[:, 15:16]
    return torch.cat([tone_map(guide) - 0.5, tone_map(history) - 0.5, age / (age + 4.0) - 0.5], dim=1)


def to_planes(image: torch.Tensor) -> torch.Tensor:
    """(H, W, C) -> (1, C, H, W), a view."""
    return image.permute(2, 0, 1).unsqueeze(0)


def from_planes(planes: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) -> (N, H, W, C), a view."""
    return planes.permute(0, 2, 3, 1)
