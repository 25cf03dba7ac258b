"""Cuts large frames into overlapping tiles, so that memory is bounded and no seam is visible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise, product

import torch

# How far a network looks, in pixels: 135 with five halvings and the kernels, 174 in Open Image Denoise's largest.
CONTEXT = 192
RAMP = 32  # pixels over which one tile fades into the next
ALIGNED = 32  # tiles begin at multiples of it, because networks halve pictures five times
SMALLEST = 128
# Peak memory of denoising, without the program itself. Measured with the kernel model and Open Image Denoise.
BYTES_A_PIXEL = 4000
SMALLEST_BYTES = BYTES_A_PIXEL * (SMALLEST + 2 * CONTEXT) ** 2


@dataclass(frozen=True)
class Tile:
    """A window of a frame, with the pixels around it.

    weight: (h, w, 1), its share of each pixel. The shares of all tiles add up to 1.
    """

    rows: slice
    columns: slice
    weight: torch.Tensor

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return self.rows, self.columns


def cut(height: int, width: int, side: int) -> list[Tile]:
    """Tiles of `side` pixels, a multiple of ALIGNED, with CONTEXT around each. If the frame fits, it is one tile."""
    return [
        Tile(rows, columns, down[:, None, None] * across[None, :, None])
        for (rows, down), (columns, across) in product(_spans(height, side), _spans(width, side))
    ]


def side_within(memory: float, height: int, width: int) -> int | None:
    """The largest side of tiles that can be denoised within so many bytes; None if there is none."""
    pixels = max(memory, 0.0) / BYTES_A_PIXEL
    if height * width <= pixels:
        return -(-max(height, width) // ALIGNED) * ALIGNED
    side = int(pixels**0.5 - 2 * CONTEXT) // ALIGNED * ALIGNED
    return side if side >= SMALLEST else None


def in_tiles(tiles: list[Tile], shape: tuple[int, int], make: Callable[[Tile], torch.Tensor]) -> torch.Tensor:
    """(H, W, 3) on the CPU: the pictures (h, w, 3) that `make` gives for all tiles, faded into each other."""
    if len(tiles) == 1:
        return make(tiles[0]).cpu()
    picture = torch.zeros(*shape, 3)
    for tile in tiles:
        picture[tile.window].add_(make(tile).cpu() * tile.weight)
    return picture


def _spans(length: int, side: int) -> list[tuple[slice, torch.Tensor]]:
    """Windows along one dimension, and their shares of each pixel."""
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
