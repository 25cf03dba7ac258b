"""From pairs to what models take: each half's planes, with a guide's opinion and the walk's history."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from noisewalk.denoiser.features import frame_planes, to_planes
from noisewalk.denoiser.guide import advise, require_guide
from noisewalk.denoiser.history import History, extended
from noisewalk.renderer.frame import NoisyPair


@dataclass(frozen=True, eq=False)
class Halves:
    """What models take of a pair: each half's planes (1, 16, H, W), and its clean target (1, 3, H, W) if it has one."""

    a: torch.Tensor
    b: torch.Tensor
    clean: torch.Tensor | None = None

    @property
    def tensors(self) -> list[torch.Tensor]:
        """All that are there."""
        return [self.a, self.b] if self.clean is None else [self.a, self.b, self.clean]

    @property
    def both(self) -> torch.Tensor:
        """(2, 16, H, W)."""
        return torch.cat([self.a, self.b])

    @property
    def ways(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Input and target to train on, from half `a` and the other way round; the clean target is that of both."""
        return [
            (image, other[:, :3] if self.clean is None else self.clean)
            for image, other in ((self.a, self.b), (self.b, self.a))
        ]


class InputMaker:
    """Makes the planes (1, 16, H, W) of both halves of a pair. Keeps the history of the walk.

    guided: asks Open Image Denoise about each half, by itself. Raises DenoiserError where that is not installed.
    context: False for models that look at color, albedo and normal only: then neither guide nor history cost anything.
    """

    def __init__(self, device: torch.device, guided: bool, context: bool) -> None:
        if guided and context:
            require_guide()
        self._device, self._guided, self._context = device, guided and context, context
        self._pair: NoisyPair | None = None
        self._moved: tuple[NoisyPair, NoisyPair] | None = None
        self._halves: Halves | None = None
        self.history: History | None = None

    def halves(self, pair: NoisyPair, remember: bool = True) -> Halves:
        """Planes of both halves. `remember`: the pair becomes part of the history that the next one sees."""
        if self._halves is None or pair is not self._pair:
            here = self._here(pair)
            seen = [self.history.seen_by(half) if self.history else None for half in (here.a, here.b)]
            guides = [
                advise(half.color, half.albedo, half.normal) if self._guided else None for half in (here.a, here.b)
            ]
            a, b = map(frame_planes, (here.a, here.b), guides, seen)
            halves = Halves(a, b, None if here.clean is None else to_planes(here.clean))
            if not remember:
                return halves
            self._pair, self._halves = pair, halves
            if self._context:
                nothing = torch.zeros(*here.a.color.shape[:2], 4, device=self._device)
                old_a, old_b = (nothing if old is None else old for old in seen)
                self.history = extended(here, (old_a + old_b) / 2)
        return self._halves

    def guide_of_both(self, pair: NoisyPair) -> torch.Tensor | None:
        """(1, 3, H, W): what the guide makes of the average of both halves; None without one.

        Better than what it makes of either, but only to be shown: it knows both, and nothing may be learned from it.
        """
        if not self._guided:
            return None
        return to_planes(advise(*map(self._here(pair).mean, ("color", "albedo", "normal"))))

    def _here(self, pair: NoisyPair) -> NoisyPair:
        """The pair on the device: it goes there once, whoever asks for it."""
        if self._moved is None or self._moved[0] is not pair:
            self._moved = pair, pair.to(self._device)
        return self._moved[1]
