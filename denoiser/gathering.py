"""All samples of a view at which the camera rests, as one pair that gets better and better."""

from __future__ import annotations

from dataclasses import replace

import torch

from noisewalk.denoiser.history import History
from noisewalk.renderer.frame import Frame, NoisyPair


class Gathering:
    """The means of all pairs of one view: each half is the mean of its own samples, so both stay independent.

    history: what was known before the first of these pairs. The history of later frames contains samples of both
    halves, so the halves of the mean must not see it.
    """

    def __init__(self, history: History | None) -> None:
        self.history = history
        self.pair: NoisyPair | None = None
        self.pairs = 0

    def add(self, pair: NoisyPair) -> NoisyPair:
        """Adds a pair. Returns the mean of all: its `spp` are those of all, the index is that of the newest."""
        before, self.pairs = self.pair, self.pairs + 1
        if before is None:
            joined = pair
        else:
            spp = before.spp + pair.spp
            a, b = (_joined(*frames, pair.spp / spp) for frames in ((before.a, pair.a), (before.b, pair.b)))
            joined = replace(pair, a=a, b=b, spp=spp)
        self.pair = joined
        return joined


def _joined(before: Frame, new: Frame, share: float) -> Frame:
    return Frame(
        _mean(before.color, new.color, share),
        _mean(before.albedo, new.albedo, share),
        _mean(before.normal, new.normal, share),
        None if before.position is None or new.position is None else _mean(before.position, new.position, share),
        before.motion,  # to the frame before the first of these pairs, which is the newest in the history they see
    )


def _mean(before: torch.Tensor, new: torch.Tensor, share: float) -> torch.Tensor:
    """(H, W, 3): the mean of earlier samples and new ones. share: of the new ones. Broken pixels are left out."""
    good = _is_finite(new)
    before = torch.where(_is_finite(before), before, new)
    return torch.where(good, before + (new - before) * share, before)


def _is_finite(image: torch.Tensor) -> torch.Tensor:
    return torch.isfinite(image).all(dim=-1, keepdim=True)
