"""What is made of a frame: learned from, denoised, in tiles where it is large, with further layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from noisewalk.app.denoise.frames import Loaded
from noisewalk.app.denoise.tiles import Tile, in_tiles
from noisewalk.denoiser.estimate import Estimate, estimate_error
from noisewalk.denoiser.inputs import PreparedPair
from noisewalk.denoiser.online import OnlineDenoiser
from noisewalk.renderer.frame import NoisyPair

SAME_SUM = 0.01  # layers add up to the color if they do so within this part of its mean
TINY = 1e-6


@dataclass(frozen=True, eq=False)
class Made:
    """The denoised picture and further layers, (H, W, 3) each on the CPU; the estimate needs two halves."""

    shown: torch.Tensor
    also: Mapping[str, torch.Tensor]
    estimate: Estimate | None


class Maker:
    """Hands frames to a denoiser: whole, or in tiles. Tiles know no history, which is of whole frames."""

    def __init__(self, denoiser: OnlineDenoiser, tiles: list[Tile]) -> None:
        self._denoiser, self._tiles = denoiser, tiles

    def prepare(self, pair: NoisyPair, learns: bool) -> PreparedPair | None:
        """Learns from a pair, where it should. Returns it prepared, if it is one piece."""
        if len(self._tiles) == 1:
            prepared = self._denoiser.prepare(pair)
            if learns:
                self._denoiser.submit(prepared)
            return prepared
        # All tiles are learned from before the first is denoised: they must be denoised alike.
        for tile in self._tiles if learns else []:
            self._denoiser.submit(self._denoiser.prepare(tile.of_pair(pair), remember=False))
        return None

    def make(self, loaded: Loaded, prepared: PreparedPair | None, has_halves: bool) -> Made:
        """Denoises what `prepare` has returned, or the frame in tiles."""
        pair = loaded.pair
        shown, *halves = self._denoised(pair, prepared).split(3, dim=-1)
        noisy = torch.stack([pair.a.color, pair.b.color])
        estimate = estimate_error(noisy, torch.stack(halves)) if has_halves else None
        layers = {name: (a + b) / 2 for name, (a, b) in loaded.also.items()}
        also = {name: self._layer(pair, *both) for name, both in loaded.also.items()}
        return Made(shown, adding_up(also, layers, shown, noisy.mean(dim=0)), estimate)

    def _layer(self, pair: NoisyPair, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """A further layer, denoised by what was learned of the color. What was seen before is of the color alone."""
        of_layer = replace(
            pair, a=replace(pair.a, color=a, position=None), b=replace(pair.b, color=b, position=None), camera=None
        )
        whole = self._denoiser.prepare(of_layer, remember=False) if len(self._tiles) == 1 else None
        return self._denoised(of_layer, whole)[..., :3]

    def _denoised(self, pair: NoisyPair, prepared: PreparedPair | None) -> torch.Tensor:
        """(H, W, 9): the picture and both denoised halves."""

        def make(tile: Tile) -> torch.Tensor:
            pieces = prepared or self._denoiser.prepare(tile.of_pair(pair), remember=False)
            denoised = self._denoiser.denoise_both(pieces)
            return torch.cat([denoised.shown, *denoised.halves], dim=-1)

        height, width = pair.a.color.shape[:2]
        return in_tiles(self._tiles, height, width, make)


def adding_up(
    layers: Mapping[str, torch.Tensor], noisy: Mapping[str, torch.Tensor], shown: torch.Tensor, color: torch.Tensor
) -> dict[str, torch.Tensor]:
    """The denoised layers, scaled so that they add up to the picture, where the noisy ones add up to its color.

    Each was denoised by itself, and no network that divides and mixes keeps sums.
    """
    if not layers or (sum(noisy.values()) - color).abs().mean() > SAME_SUM * color.abs().mean():
        return dict(layers)
    scale = (shown + TINY) / (sum(layers.values()) + TINY)
    return {name: layer * scale for name, layer in layers.items()}
