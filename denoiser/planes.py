"""Frame planes (N, 16, H, W) float32, which models take: channels by name, and the only change of layout."""

from __future__ import annotations

import torch

from noisewalk.renderer.frame import Frame

COLOR, ALBEDO, NORMAL, GUIDE, HISTORY = (slice(first, first + 3) for first in range(0, 15, 3))
AGE = slice(15, 16)
CHANNELS = 16

PAST = slice(HISTORY.start, AGE.stop)  # what comes from earlier frames: history and its age


def part(planes: torch.Tensor, channels: slice) -> torch.Tensor:
    """(..., C, H, W): the named channels of planes (..., 16, H, W), a view."""
    return planes[..., channels, :, :]


def frame_planes(frame: Frame, guide: torch.Tensor | None = None, past: torch.Tensor | None = None) -> torch.Tensor:
    """(1, 16, H, W): color, albedo, normal as rendered, the guide, history and its age.

    guide: (H, W, 3) another denoiser's radiance. past: (H, W, 4) radiance and age in frames, from
    `History.reproject`. What is missing is 0.
    """
    height, width = frame.color.shape[:2]
    nothing = frame.color.new_zeros(height, width, 4)
    guide = nothing[..., :3] if guide is None else guide
    past = nothing if past is None else past
    return to_planes(torch.cat([frame.color, frame.albedo, frame.normal, guide, past], dim=-1))


def to_planes(image: torch.Tensor) -> torch.Tensor:
    """(H, W, C) -> (1, C, H, W), a view."""
    return image.permute(2, 0, 1).unsqueeze(0)


def from_planes(planes: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) -> (N, H, W, C), a view."""
    return planes.permute(0, 2, 3, 1)
