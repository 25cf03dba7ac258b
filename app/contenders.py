"""What a comparison compares: everything that makes a picture of the same two noisy frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import torch

from app.floors import synchronise
from app.session import Session, choose_guide
from denoiser.features import finite
from denoiser.guide import open_image_denoise
from denoiser.online import OnlineDenoiser
from renderer.frame import Frame, NoisyPair
from renderer.optix import OptixDenoiser

INSTALL_HINT = "run scripts/setup compare"
Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture (H, W, 3) of linear radiance on the CPU, and what it took, in milliseconds."""

    image: torch.Tensor
    milliseconds: float


class Contender(Protocol):
    """One column of the comparison."""

    name: str

    def learn(self, pair: NoisyPair) -> float:
        """Sees the next pair of the walk; returns how long that took, in milliseconds."""

    def show(self, pair: NoisyPair) -> Shown:
        """The picture of the pair that was last learned from."""

    def close(self) -> None:
        """Frees what it holds."""


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
    """Intel Open Image Denoise on a device, given the averages of color, albedo and normal. Needs its package."""

    name = "oidn"

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def learn(self, pair: NoisyPair) -> float:
        return 0.0

    def show(self, pair: NoisyPair) -> Shown:
        color, albedo, normal = (finite(pair.mean(part)).to(self._device) for part in ("color", "albedo", "normal"))
        return Shown(*_timed(lambda: open_image_denoise(color, albedo, normal).cpu()))

    def close(self) -> None:
        pass


class Optix:
    """NVIDIA's OptiX denoiser, given the averages of color, albedo and normal. For sessions on a CUDA variant."""

    name = "optix"

    def __init__(self, session: Session) -> None:
        assert session.options.width and session.options.height
        self._denoiser = OptixDenoiser(session.options.width, session.options.height)

    def learn(self, pair: NoisyPair) -> float:
        return 0.0

    def show(self, pair: NoisyPair) -> Shown:
        frame = Frame(*map(pair.mean, ("color", "albedo", "normal")))
        return Shown(*_timed(lambda: self._denoiser(frame, pair.camera).cpu()))

    def close(self) -> None:
        pass


class OnlineModel:
    """One of our models, trained as it goes with a session's settings.

    changes: what is different from the session's own options; with `weights`, it starts from that file.
    """

    def __init__(self, name: str, session: Session, changes: Mapping[str, Any]) -> None:
        self.name = name
        options = replace(session.options, **changes)
        settings = replace(session.denoiser.settings, model=options.model, pretrained=not options.cold)
        self.denoiser = OnlineDenoiser(settings, options.device, "lockstep", choose_guide(options) == "oidn")
        if options.weights is not None:
            self.denoiser.load(options.weights)

    def learn(self, pair: NoisyPair) -> float:
        return _timed(lambda: self.denoiser.submit(pair))[1]

    def show(self, pair: NoisyPair) -> Shown:
        return Shown(*_timed(lambda: self.denoiser.denoise(pair).cpu()))

    def close(self) -> None:
        self.denoiser.close()


class CleanTwin(OnlineModel):
    """The same model from the same start on the same inputs and crops, but with references as targets (figure 8)."""

    def __init__(self, name: str, session: Session, changes: Mapping[str, Any]) -> None:
        super().__init__(f"{name}-clean", session, changes)
        self._session = session

    def learn(self, pair: NoisyPair) -> float:
        """As always; renders the reference of this view where the cache has none, which Ctrl-C ends: Interrupted."""
        self._pair = replace(pair, clean=torch.from_numpy(self._session.reference(pair.camera).mean))
        return super().learn(self._pair)

    def show(self, pair: NoisyPair) -> Shown:
        return super().show(self._pair)


def _timed(run: Callable[[], Value]) -> tuple[Value, float]:
    """What it returns, and the milliseconds it took, without those of what a GPU was told to do before."""
    synchronise()
    start = time.perf_counter()
    value = run()
    synchronise()
    return value, 1e3 * (time.perf_counter() - start)
