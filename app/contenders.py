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
    """One of our models, trained as it goes with a session's settings, and from its weights where they are its own."""

    def __init__(self, name: str, session: Session) -> None:
        self.name = name
        options = session.options
        settings = replace(session.denoiser.settings, model=name)
        self.denoiser = OnlineDenoiser(settings, options.device, "lockstep")
        if options.weights is not None and options.model == name:
            self.denoiser.load(options.weights)

    def show(self, pair: NoisyPair) -> Shown:
        start = time.perf_counter()
        self.denoiser.submit(pair)
        self.denoiser.weights()
        trained = time.perf_counter()
        image = self.denoiser.denoise(pair).cpu()
        return Shown(image, 1e3 * (trained - start), 1e3 * (time.perf_counter() - trained))

    def close(self) -> None:
        self.denoiser.close()


class CleanTwin(OnlineModel):
    """The same model from the same start on the same inputs and crops, but with references as targets (figure 8)."""

    def __init__(self, name: str, session: Session) -> None:
        super().__init__(name, session)
        self.name = f"{name}-clean"
        self._session = session

    def show(self, pair: NoisyPair) -> Shown:
        """As always; renders the reference of this view where the cache has none, which Ctrl-C ends: Interrupted."""
        return super().show(replace(pair, clean=torch.from_numpy(self._session.reference(pair.camera).mean)))


def _average(pair: NoisyPair, part: str) -> torch.Tensor:
    return finite((getattr(pair.a, part) + getattr(pair.b, part)) / 2).cpu()
