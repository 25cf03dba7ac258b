"""What a comparison compares: everything that makes a picture of the same two noisy frames."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Protocol

import torch

from app.errors import UsageError
from app.session import Session
from denoiser.features import finite
from denoiser.online import OnlineDenoiser
from renderer.frame import NoisyPair

OIDN_HINT = "pip install 'noisewalk[compare]'"


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture (H, W, 3) of linear radiance on the CPU, and what it took, in milliseconds."""

    image: torch.Tensor
    train_ms: float
    denoise_ms: float


class Contender(Protocol):
    """One column of the comparison."""

    name: str

    def show(self, pair: NoisyPair) -> Shown:
        """The picture for a pair that may be learned from first; pairs come in the order of the walk."""

    def close(self) -> None:
        """Frees what it holds."""


class NoisyAverage:
    """The average of both halves."""

    name = "noisy"

    def show(self, pair: NoisyPair) -> Shown:
        return Shown(_average(pair, "color"), 0.0, 0.0)

    def close(self) -> None:
        pass


class OpenImageDenoise:
    """Intel Open Image Denoise, high quality, HDR, given the averages of color, albedo and normal.

    Raises UsageError where its package is not installed.
    """

    name = "oidn"

    def __init__(self) -> None:
        if find_spec("pyoidn") is None:
            raise UsageError(f"Open Image Denoise needs the package 'pyoidn': {OIDN_HINT}")

    def show(self, pair: NoisyPair) -> Shown:
        import pyoidn

        color, albedo, normal = (_average(pair, part).contiguous() for part in ("color", "albedo", "normal"))
        start = time.perf_counter()
        image = pyoidn.denoise(color.clamp(min=0), albedo, normal.clamp(-1, 1), hdr=True, quality="high")
        return Shown(torch.as_tensor(image), 0.0, 1e3 * (time.perf_counter() - start))

    def close(self) -> None:
        pass


class OnlineModel:
    """One of our models, trained as it goes with a session's settings."""

    def __init__(self, name: str, session: Session) -> None:
        self.name = name
        settings = replace(session.denoiser.settings, model=name)
        self._denoiser = OnlineDenoiser(settings, session.options.device, "lockstep")

    def show(self, pair: NoisyPair) -> Shown:
        start = time.perf_counter()
        self._denoiser.submit(pair)
        self._denoiser.weights()
        trained = time.perf_counter()
        image = self._denoiser.denoise(pair).cpu()
        return Shown(image, 1e3 * (trained - start), 1e3 * (time.perf_counter() - trained))

    def close(self) -> None:
        self._denoiser.close()


def _average(pair: NoisyPair, part: str) -> torch.Tensor:
    return finite((getattr(pair.a, part) + getattr(pair.b, part)) / 2).cpu()
