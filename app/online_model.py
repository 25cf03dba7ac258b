"""Another model that learns along the walk of a session: a twin, or one of many that are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from noisewalk.app.clock import timed
from noisewalk.app.options import choose_guide
from noisewalk.app.session import Session
from noisewalk.denoiser.online import OnlineDenoiser
from noisewalk.renderer.frame import NoisyPair


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture (H, W, 3) of linear radiance on the CPU, and how long it took, in milliseconds."""

    image: torch.Tensor
    milliseconds: float


class OnlineModel:
    """One of our models. It trains along the walk with a session's settings.

    changes: what differs from the session's own options. With `weights`, it starts from that file.
    """

    def __init__(self, name: str, session: Session, changes: Mapping[str, Any]) -> None:
        self.name = name
        options = replace(session.options, **changes)
        settings = replace(session.denoiser.settings, model=options.model, pretrained=not options.cold)
        guide = choose_guide(options.model, options.guide, session.machine)
        self.denoiser = OnlineDenoiser(settings, options.device, "lockstep", guide == "oidn")
        if options.weights is not None:
            self.denoiser.load(options.weights)

    def learn(self, pair: NoisyPair) -> float:
        """Trains on the next pair of the walk, and denoises it. Returns how long training took, in milliseconds.

        Each pair is denoised, as in a walk: the picture of one helps that of the next.
        """
        milliseconds = timed(lambda: self._submit(pair))[1]
        self._shown = Shown(*timed(lambda: self.denoiser.denoise(self._prepared).cpu()))
        return milliseconds

    def show(self, pair: NoisyPair) -> Shown:
        """The picture of the last pair."""
        return self._shown

    def _submit(self, pair: NoisyPair) -> None:
        self._prepared = self.denoiser.prepare(pair)
        self.denoiser.submit(self._prepared)

    def close(self) -> None:
        """Stops training after the current iterations."""
        self.denoiser.close()


class CleanTwin(OnlineModel):
    """The same model from the same start on the same inputs and crops, but with references as targets (figure 8)."""

    def __init__(self, name: str, session: Session, changes: Mapping[str, Any]) -> None:
        super().__init__(f"{name}-clean", session, changes)
        self._session = session

    def learn(self, pair: NoisyPair) -> float:
        """Like any model. If the cache has no reference of this view, it is rendered. Raises Interrupted on Ctrl-C."""
        assert pair.camera is not None
        return super().learn(replace(pair, clean=torch.from_numpy(self._session.reference(pair.camera).mean)))
