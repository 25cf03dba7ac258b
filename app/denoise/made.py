"""Learns from a frame and denoises it: large ones in tiles, and further layers too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from noisewalk.app.denoise.loaded import COLOR, Loaded
from noisewalk.app.denoise.tiles import Tile, in_tiles
from noisewalk.denoiser.estimate import Estimate, estimate_error
from noisewalk.denoiser.inputs import PreparedPair
from noisewalk.denoiser.online import OnlineDenoiser

SAME_SUM = 0.01  # layers count as adding up to the color if the difference is below this part of its mean
TINY = 1e-6


@dataclass(frozen=True, eq=False)
class Made:
    """The denoised picture and further layers, (H, W, 3) each, on the CPU. The estimate needs two halves."""

    shown: torch.Tensor
    also: Mapping[str, torch.Tensor]
    estimate: Estimate | None


class Maker:
    """Gives frames to a denoiser, whole or in tiles. Tiles have no history."""

    def __init__(self, denoiser: OnlineDenoiser, tiles: list[Tile], has_halves: bool) -> None:
        self._denoiser, self._tiles, self._has_halves = denoiser, tiles, has_halves

    @property
    def looks_back(self) -> bool:
        """Whether frames have a history."""
        return len(self._tiles) == 1

    def prepare(self, loaded: Loaded, learns: bool) -> PreparedPair | None:
        """Learns from a frame if `learns`. Returns the prepared pair if the frame is one piece."""
        if self.looks_back:
            prepared = self._denoiser.prepare(loaded.pair())
            if learns:
                self._denoiser.submit(prepared)
            return prepared
        # All tiles are learned from before the first one is denoised, so that all are denoised by the same network.
        for tile in self._tiles if learns else []:
            self._denoiser.submit(self._part(loaded, tile, COLOR))
        return None

    def make(self, loaded: Loaded, prepared: PreparedPair | None, layers: Sequence[str]) -> Made:
        """Denoises what `prepare` returned, or the frame in tiles, and its further layers."""
        estimates: list[Estimate] = []

        def color(tile: Tile) -> torch.Tensor:
            piece = prepared or self._part(loaded, tile, COLOR)
            denoised = self._denoiser.denoise_both(piece)
            if self._has_halves:
                estimates.append(estimate_error(piece.noisy, denoised.halves))
            return denoised.shown

        def layer(name: str, tile: Tile) -> torch.Tensor:
            return self._denoiser.denoise(self._part(loaded, tile, name))

        shape = loaded.shape
        shown = in_tiles(self._tiles, shape, color)
        also = {name: in_tiles(self._tiles, shape, partial(layer, name)) for name in layers}
        if also:
            also = adding_up(also, {name: loaded.noisy(name) for name in also}, shown, loaded.noisy())
        return Made(shown, also, _mean(estimates) if estimates else None)

    def _part(self, loaded: Loaded, tile: Tile, layer: str) -> PreparedPair:
        return self._denoiser.prepare(loaded.part(tile.window, layer), remember=False)


def adding_up(
    layers: Mapping[str, torch.Tensor], noisy: Mapping[str, torch.Tensor], shown: torch.Tensor, color: torch.Tensor
) -> dict[str, torch.Tensor]:
    """The denoised layers, scaled so that they add up to the picture, if the noisy ones add up to its color.

    Each layer was denoised by itself, and the network does not keep sums.
    """
    difference = torch.stack(list(noisy.values())).sum(dim=0) - color
    if difference.abs().mean() > SAME_SUM * color.abs().mean():
        return dict(layers)
    scale = (shown + TINY) / (torch.stack(list(layers.values())).sum(dim=0) + TINY)
    return {name: layer * scale for name, layer in layers.items()}


def _mean(estimates: list[Estimate]) -> Estimate:
    """The estimate of a picture from those of its tiles, which have nearly the same size."""
    count = len(estimates)
    if count == 1:
        return estimates[0]
    error = sum(estimate.error**2 for estimate in estimates) ** 0.5 / count
    mse, variance, noise = (
        sum(getattr(estimate, name) for estimate in estimates) / count for name in ("mse", "variance", "noise")
    )
    return Estimate(mse, error, variance, noise, torch.empty(0))
