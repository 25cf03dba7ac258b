"""Noisy pairs without a renderer, for tests of the denoiser."""

from __future__ import annotations

import numpy as np
import torch

from noisewalk.denoiser.inputs import PreparedPair
from noisewalk.denoiser.planes import frame_planes
from noisewalk.renderer.frame import Camera, Frame, NoisyPair


def truth(height: int = 48, width: int = 48) -> Frame:
    """A picture with edges in albedo and shading."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    albedo = torch.stack([0.8 - 0.5 * (x > 0.5), 0.2 + 0.6 * (y > 0.4), 0.5 + 0 * x], dim=-1)
    normal = torch.stack([0 * x, 0 * x, 1 + 0 * x], dim=-1)
    return Frame(albedo * (0.2 + 2 * y)[..., None], albedo, normal)


def noisy_pair(index: int, clean: Frame, broken: bool = False) -> NoisyPair:
    """Two independent halves with exponential noise: the mean is the truth, as with a path tracer."""

    def half(seed: int) -> Frame:
        noise = torch.Generator().manual_seed(seed)
        color = clean.color * torch.empty_like(clean.color).exponential_(generator=noise)
        if broken:
            color[3, 5], color[10, 2] = float("nan"), float("inf")
        return Frame(color, clean.albedo, clean.normal, clean.position)

    height, width = clean.color.shape[:2]
    return NoisyPair(half(2 * index), half(2 * index + 1), Camera(np.eye(4), 45.0, width, height), 8, index)


def prepared(pair: NoisyPair, device: torch.device | str = "cpu") -> PreparedPair:
    """What a trainer takes, without guide and history."""
    return PreparedPair(pair.index, frame_planes(pair.a).to(device), frame_planes(pair.b).to(device))
