"""What a comparison compares: all that make a picture of the same two noisy frames."""

from __future__ import annotations

from typing import Protocol, TypeVar

import torch

from noisewalk.app.clock import timed
from noisewalk.app.online_model import Shown
from noisewalk.app.session import Session
from noisewalk.denoiser.features import finite
from noisewalk.denoiser.guide import best_open_image_denoise
from noisewalk.renderer.frame import Frame, NoisyPair
from noisewalk.renderer.optix import OptixDenoiser

COMPARE_HINT = "run scripts/setup compare"
Value = TypeVar("Value")


class Contender(Protocol):
    """One column of the comparison."""

    name: str

    def learn(self, pair: NoisyPair) -> float:
        """Takes the next pair of the walk. Returns how long that took, in milliseconds."""

    def show(self, pair: NoisyPair) -> Shown:
        """The picture of the last pair."""

    def close(self) -> None:
        """Frees its resources."""


class NoisyAverage:
    """The average of both halves."""

    name = "noisy"

    def learn(self, pair: NoisyPair) -> float:
        return 0.0

    def show(self, pair: NoisyPair) -> Shown:
        return Shown(finite(pair.mean("color")).cpu(), 0.0)

    def close(self) -> None:
        pass


class OpenImageDenoise:
    """Intel Open Image Denoise at its best, given the averages of color, albedo and normal. Needs its package."""

    name = "oidn"

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def learn(self, pair: NoisyPair) -> float:
        return 0.0

    def show(self, pair: NoisyPair) -> Shown:
        color, albedo, normal = (finite(pair.mean(part)).to(self._device) for part in ("color", "albedo", "normal"))
        return Shown(*timed(lambda: best_open_image_denoise(color, albedo, normal).cpu()))

    def close(self) -> None:
        pass


class Optix:
    """NVIDIA's OptiX denoiser, given the averages of color, albedo and normal. For sessions on a CUDA variant."""

    name = "optix"

    def __init__(self, session: Session) -> None:
        self._denoiser = OptixDenoiser(session.options.width, session.options.height)

    def learn(self, pair: NoisyPair) -> float:
        return 0.0

    def show(self, pair: NoisyPair) -> Shown:
        camera, frame = pair.camera, Frame(*map(pair.mean, ("color", "albedo", "normal")))
        assert camera is not None
        return Shown(*timed(lambda: self._denoiser(frame, camera).cpu()))

    def close(self) -> None:
        pass
