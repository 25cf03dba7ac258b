"""Tiles: no seam, and memory within a bound."""

from __future__ import annotations

import pytest
import torch

from noisewalk.app.denoise.tiles import BYTES_A_PIXEL, CONTEXT, SMALLEST, cut, in_tiles, side_within
from noisewalk.denoiser.features import tone_map
from noisewalk.denoiser.online import OnlineDenoiser
from noisewalk.renderer.frame import Frame, NoisyPair


@pytest.mark.parametrize(
    ("height", "width", "side"), [(700, 1000, 128), (513, 512, 256), (65, 4096, 512), (50, 60, 64)]
)
def test_tiles_make_up_the_picture(height: int, width: int, side: int) -> None:
    image = torch.rand(height, width, 3)
    tiles = cut(height, width, side)
    torch.testing.assert_close(in_tiles(tiles, (height, width), lambda tile: image[tile.window]), image)
    assert all(edge.start % 32 == 0 for tile in tiles for edge in tile.window)
    largest = max(image[tile.window].shape[0] * image[tile.window].shape[1] for tile in tiles)
    assert largest <= (side + 2 * CONTEXT) ** 2


def test_tiles_are_as_large_as_memory_allows() -> None:
    def side(pixels: float) -> int | None:
        return side_within(BYTES_A_PIXEL * pixels, 4096, 4096)

    assert side(4096**2) == 4096
    assert side((1000 + 2 * CONTEXT) ** 2) == 992
    assert side((SMALLEST + 2 * CONTEXT) ** 2) == SMALLEST
    assert side((SMALLEST + 2 * CONTEXT) ** 2 - 1000) is None


@pytest.mark.parametrize(("width", "guided"), [(2 * SMALLEST + 2 * CONTEXT, False), (SMALLEST + CONTEXT + 32, True)])
def test_no_seam_shows(width: int, guided: bool) -> None:
    """Networks in tiles make what they make of the whole: what is around a tile reaches farther than they look."""
    if guided:
        pytest.importorskip("pyoidn")
    height = 32
    noise = torch.Generator().manual_seed(0)

    def half() -> Frame:
        return Frame(*(torch.rand(height, width, 3, generator=noise) for _ in range(3)))

    a, b = half(), half()

    def window(tile_window: tuple[slice, slice]) -> NoisyPair:
        parts = [[part[tile_window] for part in (one.color, one.albedo, one.normal)] for one in (a, b)]
        return NoisyPair(Frame(*parts[0]), Frame(*parts[1]))

    tiles = cut(height, width, SMALLEST)
    assert len(tiles) == (3 if guided else 5)
    with OnlineDenoiser(pacing="lockstep", guided=guided) as denoiser:
        whole = denoiser.denoise(denoiser.prepare(NoisyPair(a, b), remember=False))
        pieces = in_tiles(
            tiles, (height, width), lambda tile: denoiser.denoise(denoiser.prepare(window(tile.window), remember=False))
        )
    # bfloat16 rounds otherwise where a convolution is computed in other blocks.
    assert (tone_map(whole.cpu()) - tone_map(pieces)).abs().max() < 0.01
