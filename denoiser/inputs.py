"""From noisy pairs to what models take: the planes of each half, with guide and history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from noisewalk.denoiser import DenoiserError
from noisewalk.denoiser.gathering import Gathering
from noisewalk.denoiser.guide import advise, advise_at_first, open_image_denoise, require_guide
from noisewalk.denoiser.history import History, accumulate
from noisewalk.denoiser.planes import ALBEDO, COLOR, NORMAL, frame_planes, from_planes, part, to_planes
from noisewalk.renderer.frame import Frame, NoisyPair

Guide = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, eq=False)
class PreparedPair:
    """A noisy pair with all that the denoiser needs for it, on the training device.

    index: of the frame.
    a, b:  each half's planes (1, 16, H, W).
    clean: the target (1, 3, H, W) of both, if the pair brought one.
    guide: makes a picture of color, albedo and normal of both, (H, W, 3) each; None without one.
    shown_before: (1, 4, H, W): the picture shown before this one, reprojected, and 1 where it was seen, else 0.
    remembered:   whether this pair is part of the history.
    """

    index: int
    a: torch.Tensor
    b: torch.Tensor
    clean: torch.Tensor | None = None
    guide: Guide | None = None
    shown_before: torch.Tensor | None = None
    remembered: bool = False

    @property
    def tensors(self) -> list[torch.Tensor]:
        """All tensors that training reads."""
        return [self.a, self.b] if self.clean is None else [self.a, self.b, self.clean]

    @property
    def both(self) -> torch.Tensor:
        """(2, 16, H, W): the planes of both halves."""
        return torch.cat([self.a, self.b])

    @property
    def noisy(self) -> torch.Tensor:
        """(2, H, W, 3): the radiance of both halves as rendered."""
        return from_planes(torch.cat([part(self.a, COLOR), part(self.b, COLOR)])).contiguous()

    @property
    def inputs_and_targets(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Inputs and targets of training: half `a` to half `b`, and `b` to `a`. A clean target is that of both."""
        return [
            (image, part(other, COLOR) if self.clean is None else self.clean)
            for image, other in ((self.a, self.b), (self.b, self.a))
        ]

    @cached_property
    def guide_of_both(self) -> torch.Tensor | None:
        """(1, 3, H, W): the guide's picture of the average of both halves; None without a guide. Made when first used.

        It is better than those of single halves, but only to be shown: it depends on both. Nothing may learn from it.
        """
        return None if self.guide is None else _opinion(self.guide, (self.a + self.b) / 2)

    @cached_property
    def second_opinion(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Another guide's picture of each half (2, 3, H, W), and of their average (1, 3, H, W); only to be shown.

        It is the library's network for features with noise. It keeps thin dark things that get too bright in the guide.
        """
        return (
            torch.cat([_opinion(open_image_denoise, half) for half in (self.a, self.b)]),
            _opinion(open_image_denoise, (self.a + self.b) / 2),
        )


def _opinion(guide: Guide, planes: torch.Tensor) -> torch.Tensor:
    return to_planes(guide(*(from_planes(part(planes, channels))[0] for channels in (COLOR, ALBEDO, NORMAL))))


class InputMaker:
    """Prepares pairs. Keeps the history of the walk.

    guided:  Open Image Denoise makes a picture of each half. Raises DenoiserError if it is not installed.
    context: False for models that see color, albedo and normal only. Then guide and history cost nothing.
    """

    def __init__(self, device: torch.device, guided: bool, context: bool) -> None:
        if guided and context:
            require_guide()
        self._device, self._context = device, context
        self._guide: Guide | None = advise if guided and context else None
        self.history: History | None = None

    def prepare(self, pair: NoisyPair, remember: bool = True) -> PreparedPair:
        """Prepares a pair. remember: it becomes part of the history that the next pair sees.

        Noise2Noise's condition: no half may see its target in the history. So a pair to be remembered must have a
        higher index than the history, else DenoiserError. One that is not remembered sees the history only if that is
        older.
        """
        history = self.history
        if history is not None and pair.index <= history.index:
            if remember:
                raise DenoiserError(f"frame {pair.index} is not newer than frame {history.index}, which is remembered")
            history = None
        here = pair.to(self._device)
        past = _past(history, here)
        before = self._shown_before(history, here) if self._context else None
        remember = remember and self._context
        prepared = self._prepared(here, past)
        if remember:
            nothing = torch.zeros(*here.a.color.shape[:2], 4, device=self._device)
            self.history = accumulate(here, *(nothing if one is None else one for one in past))
        guide = advise_at_first if self._guide and before is None else self._guide
        return replace(prepared, guide=guide, shown_before=before, remembered=remember)

    def prepare_gathered(self, gathering: Gathering) -> PreparedPair:
        """Prepares all samples of a view together. Raises ValueError if there are none."""
        if gathering.pair is None:
            raise ValueError("nothing is gathered")
        here = gathering.pair.to(self._device)
        return self._prepared(here, _past(gathering.history, here, gathering.pairs))

    def _prepared(self, here: NoisyPair, past: list[torch.Tensor | None]) -> PreparedPair:
        a, b = map(frame_planes, (here.a, here.b), map(self._guide_of, (here.a, here.b)), past)
        return PreparedPair(here.index, a, b, None if here.clean is None else to_planes(here.clean), self._guide)

    def remember_shown(self, prepared: PreparedPair, shown: torch.Tensor) -> None:
        """Keeps the picture (H, W, 3) that was shown of the newest remembered pair, for the next one."""
        if prepared.remembered and self.history is not None and self.history.index == prepared.index:
            self.history = replace(self.history, shown=shown)

    def _shown_before(self, history: History | None, pair: NoisyPair) -> torch.Tensor | None:
        before = None if history is None else history.reproject_shown(pair.middle, pair.camera)
        return None if before is None else to_planes(before)

    def _guide_of(self, half: Frame) -> torch.Tensor | None:
        return self._guide(half.color, half.albedo, half.normal) if self._guide else None


def _past(history: History | None, here: NoisyPair, frames: int = 1) -> list[torch.Tensor | None]:
    """What the history knows of both halves, (H, W, 4) each. frames: in the pair, to whose noise the age compares."""
    if history is None:
        return [None, None]
    found = [history.reproject(half, here.camera) for half in (here.a, here.b)]
    return [torch.cat([one[..., :3], one[..., 3:] / frames], dim=-1) for one in found]
