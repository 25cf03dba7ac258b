"""Corruptions of pictures that Noise2Noise can undo (Lehtinen et al. 2018, section 3). Each call draws new numbers.

Each takes clean pictures (N, C, H, W) in [0, 1], a strength and a generator, all on the CPU. It gives the same shape.
A strength is a number or (N, 1, 1, 1). Two calls are independent: one can be the input, and the other the target. A
missing pixel is NaN, and losses leave it out.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch

Strength = float | torch.Tensor
LEAST_COUNT = 1e-3  # of photons at white; not zero, because it is divided by
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
LONGEST_STRING = 12
FONT_SIZES = (8, 24)  # pixels
MOST_STRINGS = 1000  # of a picture


def between(low: float, high: float, count: int, generator: torch.Generator) -> torch.Tensor:
    """A strength for each of `count` pictures, uniform in [low, high): (count, 1, 1, 1)."""
    return low + (high - low) * torch.rand(count, 1, 1, 1, generator=generator)


def gaussian(clean: torch.Tensor, sigma: Strength, generator: torch.Generator) -> torch.Tensor:
    """White Gaussian noise. sigma: standard deviation in steps of 1/255. The expectation is clean."""
    return clean + sigma / 255.0 * torch.randn(clean.shape, generator=generator)


def brown(clean: torch.Tensor, sigma: Strength, width: float, generator: torch.Generator) -> torch.Tensor:
    """Gaussian noise blurred by a Gaussian of `width` pixels and scaled back to sigma / 255. The expectation is clean.

    The blur wraps around: the noise at opposite borders is similar.
    """
    rows, columns = (torch.fft.fftfreq(side) for side in clean.shape[-2:])
    squared = rows[:, None].square() + columns.square()
    transfer = torch.exp(-2.0 * (math.pi * width) ** 2 * squared)  # of a Gaussian
    blurred = torch.fft.ifft2(torch.fft.fft2(torch.randn(clean.shape, generator=generator)) * transfer).real
    return clean + sigma / 255.0 * blurred / transfer.square().mean().sqrt()


def poisson(clean: torch.Tensor, photons: Strength, generator: torch.Generator) -> torch.Tensor:
    """Photon noise, Poisson(photons * clean) / photons. photons: how many white has. The expectation is clean."""
    photons = torch.as_tensor(photons).clamp(min=LEAST_COUNT)
    return torch.poisson(photons * clean.clamp(min=0.0), generator=generator) / photons


def bernoulli(clean: torch.Tensor, share: Strength, generator: torch.Generator) -> torch.Tensor:
    """Each pixel is missing (NaN in all channels) with probability `share`; the others are clean."""
    return clean.masked_fill(_chosen(clean, share, generator), math.nan)


def impulse(clean: torch.Tensor, share: Strength, generator: torch.Generator) -> torch.Tensor:
    """Each pixel has a random color, uniform in [0, 1]^C, with probability `share`. The mode is clean."""
    colors = torch.rand(clean.shape, generator=generator)
    return torch.where(_chosen(clean, share, generator), colors, clean)


def text(clean: torch.Tensor, share: Strength, generator: torch.Generator) -> torch.Tensor:
    """Random strings of random sizes and colors in random places, until they cover at least `share` of the picture.

    The median is clean if less than half of the pixels is covered.
    """
    shares = torch.as_tensor(share).expand(len(clean), 1, 1, 1).flatten().tolist()
    return torch.stack([_written_over(*one, generator) for one in zip(clean, shares, strict=True)])


def undersampled(clean: torch.Tensor, decay: float, generator: torch.Generator) -> torch.Tensor:
    """Magnetic resonance: each frequency k is measured with probability p(k) = exp(-decay |k|), weighted by 1 / p(k).

    (N, 1, H, W) -> (N, 4, H, W): the picture of the weighted spectrum; the measured spectrum without weights (real and
    imaginary part, orthonormal); and 1 where it is known, else 0. |k| is in cycles per picture. The expectation of the
    picture is clean. The spectrum of a real picture is symmetric, so k and -k are measured together.
    """
    chance = sampling_probability(decay, *clean.shape[-2:])
    draws = torch.rand(clean.shape, generator=generator)
    first = torch.arange(chance.numel()).reshape(chance.shape)
    draws = torch.where(first <= _mirrored(first), draws, _mirrored(draws))
    known = draws < chance
    spectrum = torch.fft.fft2(clean, norm="ortho") * known
    picture = torch.fft.ifft2(spectrum / chance, norm="ortho").real
    return torch.cat([picture, spectrum.real, spectrum.imag, known.float()], dim=1)


def sampling_probability(decay: float, height: int, width: int) -> torch.Tensor:
    """p(k) of `undersampled`, (H, W). k = 0 is in the corner, as in the discrete Fourier transform."""
    rows, columns = (torch.fft.fftfreq(side, 1.0 / side) for side in (height, width))
    return torch.exp(-decay * torch.hypot(rows[:, None], columns))


@cache
def decay_for(share: float, height: int, width: int) -> float:
    """The decay with which `undersampled` measures this share, in (0, 1), of all frequencies."""
    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        few = sampling_probability(middle, height, width).mean() < share
        low, high = (low, middle) if few else (middle, high)
    return high


def _chosen(clean: torch.Tensor, share: Strength, generator: torch.Generator) -> torch.Tensor:
    return torch.rand(clean[:, :1].shape, generator=generator) < share


def _mirrored(spectrum: torch.Tensor) -> torch.Tensor:
    """At each k, the value at -k."""
    return spectrum.flip(-2, -1).roll((1, 1), (-2, -1))


def _written_over(clean: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    covered = torch.zeros(clean.shape[-2:])
    for _ in range(MOST_STRINGS):
        if (covered > 0).float().mean() >= share:
            break
        ink = _string(clean.shape[-2], clean.shape[-1], generator)
        clean = torch.lerp(clean, torch.rand(len(clean), 1, 1, generator=generator).expand_as(clean), ink)
        covered = covered.maximum(ink)
    return clean


def _string(height: int, width: int, generator: torch.Generator) -> torch.Tensor:
    """The ink of a random string in a random place, (H, W) in [0, 1]."""
    import numpy as np
    from PIL import Image, ImageDraw

    def whole(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    letters = "".join(LETTERS[whole(0, len(LETTERS) - 1)] for _ in range(whole(1, LONGEST_STRING)))
    size = whole(*FONT_SIZES)
    sheet = Image.new("L", (width, height))
    # It may begin outside the left and upper border, so that there is as much text there as elsewhere.
    place = whole(-size * len(letters) // 2, width - 1), whole(-size, height - 1)
    ImageDraw.Draw(sheet).text(place, letters, fill=255, font=_font(size))
    return torch.from_numpy(np.asarray(sheet, np.float32) / 255.0)


@cache
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size=size)
