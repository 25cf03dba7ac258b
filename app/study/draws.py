"""What a variant of a study trains on: (input, target), drawn again at every step.

Noise2Noise's condition: given the clean picture, the target's corruption is independent of the input's. Each call of a
corruption draws new numbers, so that two calls are independent.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

Corruption = Callable[[torch.Tensor, torch.Generator], torch.Tensor]
# Gives a batch of clean crops, from a generator.
Crops = Callable[[torch.Generator], torch.Tensor]
Draw = Callable[[Crops, torch.Generator], tuple[torch.Tensor, torch.Tensor]]


def seeded(*numbers: int) -> torch.Generator:
    """A generator for each sequence of numbers, which are 0 or more."""
    (state,) = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def noisy(corruption: Corruption, target: Corruption | None = None) -> Draw:
    """Corrupted pictures, and the same pictures corrupted a second time. target: another corruption for that."""

    def draw(crops: Crops, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        picture = crops(generator)
        return corruption(picture, generator), (target or corruption)(picture, generator)

    return draw


def clean(corruption: Corruption, target: Callable[[torch.Tensor], torch.Tensor] = lambda picture: picture) -> Draw:
    """Corrupted pictures, and the clean ones. target: the part of them that is clean; by default all."""

    def draw(crops: Crops, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        picture = crops(generator)
        return corruption(picture, generator), target(picture)

    return draw


def itself(corruption: Corruption) -> Draw:
    """Corrupted pictures, and the same ones again, for a network that does not see the pixel that it predicts."""

    def draw(crops: Crops, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        corrupted = corruption(crops(generator), generator)
        return corrupted, corrupted

    return draw


def captured(corruption: Corruption, scenes: int, captures: int, fixed: bool = False) -> Draw:
    """A limited budget of captured pictures: always the same ones, `captures` of each of `scenes`.

    Each is an input, with any other of its scene as target. fixed: only the first, with the mean of the others.
    """

    def pair(crops: Crops, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        scene = int(torch.randint(scenes, (), generator=generator))
        first, *others = torch.randperm(captures, generator=generator)[:2].tolist()
        if fixed:
            first, others = 0, list(range(1, captures))
        picture = crops(seeded(0, scene))[:1]
        targets = [corruption(picture, seeded(1, scene, number)) for number in others]
        return corruption(picture, seeded(1, scene, first)), torch.stack(targets).mean(0)

    def draw(crops: Crops, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        pairs = [pair(crops, generator) for _ in crops(generator)]
        images, targets = zip(*pairs, strict=True)
        return torch.cat(images), torch.cat(targets)

    return draw
