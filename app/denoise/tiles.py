"""Large frames in tiles that overlap, so that memory stays bounded and no seam shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise, product

import torch

from noisewalk.renderer.frame import Frame, NoisyPair

# Pixels that a network looks around: 135 for five halvings and the kernels, 174 for Open Image Denoise's largest.
CONTEXT = 192
RAMP = 32  # pixels in which one tile fades into the next
ALIGNED = 32  # tiles begin at multiples: networks halve pictures five times
SMALLEST = 128


@dataclass(frozen=True)
class Tile:
    """A window of a frame with its surroundings.

    weight: (h, w, 1), how much of each pixel it decides; those of all tiles add up to 1.
    """

    rows: slice
    columns: slice
    weight: torch.Tensor

    def of(self, image: torch.Tensor) -> torch.Tensor:
        """The window of an image (H, W, C)."""
        return image[self.rows, self.columns]

    def of_pair(self, pair: NoisyPair) -> NoisyPair:
        """The window of a pair, without what history needs: a camera sees whole frames."""
        return replace(pair, a=self._of_frame(pair.a), b=self._of_frame(pair.b), camera=None)

    def _of_frame(self, frame: Frame) -> Frame:
        return Frame(self.of(frame.color), self.of(frame.albedo), self.of(frame.normal))


def cut(height: int, width: int, side: int) -> list[Tile]:
    """Tiles of `side` pixels, a multiple of ALIGNED, with CONTEXT around each; one, without, where the frame fits."""
    return [
        Tile(rows, columns, down[:, None, None] * across[None, :, None])
        for (rows, down), (columns, across) in product(_spans(height, side), _spans(width, side))
    ]


def side_within(pixels: float, height: int, width: int) -> int:
    """The largest side whose tiles, with what is around them, have at most so many pixels (but for SMALLEST)."""
    if height * width <= pixels:
        return -(-max(height, width) // ALIGNED) * ALIGNED
    return max(SMALLEST, int(pixels**0.5 - 2 * CONTEXT) // ALIGNED * ALIGNED)


def in_tiles(tiles: list[Tile], height: int, width: int, make: Callable[[Tile], torch.Tensor]) -> torch.Tensor:
    """(H, W, C): what `make` makes of each tile (h, w, C), faded into each other, on the CPU."""
    if len(tiles) == 1:
        return make(tiles[0]).cpu()
    picture: torch.Tensor | None = None
    for tile in tiles:
        part = make(tile).cpu()
        if picture is None:
            picture = torch.zeros(height, width, part.shape[-1])
        tile.of(picture).add_(part * tile.weight)
    assert picture is not None
    return picture


def _spans(length: int, side: int) -> list[tuple[slice, torch.Tensor]]:
    """Windows along one dimension, and how much of each pixel they decide."""
    even = -(-length // -(-length // side) // ALIGNED) * ALIGNED  # none much smaller than the others
    edges = [*range(0, length, even), length]
    spans = []
    for start, end in pairwise(edges):
        outer = slice(max(0, start - CONTEXT), min(length, end + CONTEXT))
        at = torch.arange(outer.start, outer.stop) + 0.5
        rise = ((at - start) / RAMP + 0.5).clamp(0, 1) if start > 0 else torch.ones_like(at)
        fall = ((end - at) / RAMP + 0.5).clamp(0, 1) if end < length else torch.ones_like(at)
        spans.append((outer, rise * fall))
    return spans
