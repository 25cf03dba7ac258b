"""Motion vectors: which way they point, and in which unit. Renderers differ, so the frames themselves must tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import torch
from torch.nn import functional

from noisewalk.denoiser.history import moved_grid
from noisewalk.denoiser.planes import from_planes, to_planes
from noisewalk.renderer.frame import Frame

ENOUGH = 3  # pairs of frames in which things move
POINTS = 40000  # pixels of a frame that are compared
FEWEST = 50  # moving pixels; fewer tell nothing
STILL = 1e-4  # vectors below are rounding errors, in pixels as well as in parts of the picture
LARGEST_DIFFERENCE = 0.5  # of a pixel's features: what was hidden before must not decide


@dataclass(frozen=True)
class Convention:
    """What vectors (x, y) of a file mean.

    unit:        pixels; or the width and height of the picture, or half of them (from -1 to 1 across the picture).
    right, down: 1 or -1, the signs that make a vector point from where something is seen to where it was before.
    """

    unit: str = "pixels"
    right: int = 1
    down: int = 1

    def __str__(self) -> str:
        goal = "to where things were" if self.right > 0 else "from where things were"
        return f"in {self.unit}, {goal}, y {'down' if self.right == self.down else 'up'}"

    def pixels(self, vectors: torch.Tensor) -> torch.Tensor:
        """Vectors (H, W, 2) of the file as `Frame.motion`."""
        height, width = vectors.shape[:2]
        scale = {"pixels": (1.0, 1.0), "picture sizes": (width, height), "half picture sizes": (width / 2, height / 2)}
        across, down = scale[self.unit]
        return vectors * torch.tensor([self.right * across, self.down * down])


# The commonest first: it is taken where nothing decides.
CONVENTIONS = [
    Convention(unit, right, down)
    for unit, (right, down) in product(
        ("pixels", "picture sizes", "half picture sizes"), ((1, 1), (1, -1), (-1, -1), (-1, 1))
    )
]


@dataclass(frozen=True, eq=False)
class Step:
    """A frame, the vectors (H, W, 2) in its file, and the frame before it."""

    before: Frame
    now: Frame
    vectors: torch.Tensor


def find_convention(steps: Iterable[Step]) -> tuple[Convention | None, int]:
    """The convention by which the albedo and normal of frames before agree best with those of the next frames.

    Also returns how many frames have told it; steps are taken until that is enough. None if things look more alike
    where they have not moved at all: then the vectors do not lead to the frame before.
    """
    totals, seen = torch.zeros(len(CONVENTIONS) + 1), 0
    for step in steps:
        if _moving(step.vectors).sum() >= FEWEST:
            totals += _differences(step)
            seen += 1
        if seen == ENOUGH:
            break
    best = int(totals[:-1].argmin())
    return (None if seen and totals[best] >= totals[-1] else CONVENTIONS[best]), seen


def _differences(step: Step) -> torch.Tensor:
    """How much the features differ where things move: for each convention, and where nothing is moved at all."""
    moving = _moving(step.vectors)
    chosen = moving.nonzero()
    rows, columns = chosen[:: max(1, len(chosen) // POINTS)].unbind(dim=-1)
    now, before = _features(step.now)[rows, columns], _features(step.before)

    def difference(motion: torch.Tensor) -> torch.Tensor:
        return _difference(now, before, moved_grid(motion)[rows, columns])

    of_conventions = [difference(one.pixels(step.vectors)) for one in CONVENTIONS]
    return torch.stack([*of_conventions, difference(torch.zeros_like(step.vectors))])


def _difference(now: torch.Tensor, before: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """The mean difference between features now (N, C) and those before (H, W, C) at N places in [-1, 1]."""
    there = functional.grid_sample(to_planes(before), places[None, None], padding_mode="border", align_corners=False)
    return (from_planes(there)[0, 0] - now).abs().sum(dim=-1).clamp(max=LARGEST_DIFFERENCE).mean()


def _features(frame: Frame) -> torch.Tensor:
    """Albedo and normal (H, W, 6), a little blurred: else a look-up between pixels, which blurs, differs by that."""
    sharp = to_planes(torch.cat([frame.albedo, frame.normal], dim=-1))
    return from_planes(functional.avg_pool2d(sharp, 3, 1, 1, count_include_pad=False))[0]


def _moving(vectors: torch.Tensor) -> torch.Tensor:
    """Where something is known to move, (H, W)."""
    return vectors.isfinite().all(dim=-1) & (vectors.abs().amax(dim=-1) > STILL)
