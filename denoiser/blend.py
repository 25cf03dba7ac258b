"""How much of a pre-trained denoiser's picture to show beside ours, place by place, found by cross-validation.

Of one half the guide makes p, and our network q, which both know nothing of the other half, b. The mix q + w (p - q) is
nearest to the true radiance r, in the mean over a neighbourhood, where

    w  =  E (r - q) (p - q) / E (p - q)^2

and because E b = r, and b's noise is independent of q and p, r may be replaced by b. Both ways round are added up. The
errors are those of T, the tone map, to first order: each is multiplied by the slope of T there.

Noise2Noise's condition is that of `estimate`: a network that has learned this pair by heart passes b's noise through q,
and w gets too small. The few numbers of a neighbourhood's w know b as well; nothing is learned from what is shown.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.nn import functional

from noisewalk.denoiser.features import finite, tone_map

WINDOW = 9  # twice: a triangle of 17 pixels
PRIOR = 1.0  # weight of the whole picture's share, in mean neighbourhoods
# A pixel's own w is limited to this, both ways: a firefly must not decide alone. Less would favour our own picture.
LARGEST_SHARE = 10.0
NEGLIGIBLE = 1e-3  # squared difference after T that no eye sees
DARKEST = 1e-3  # radiance below which T is taken to be as steep as there


def blended(
    shown: torch.Tensor,
    denoised: torch.Tensor,
    noisy: torch.Tensor,
    opinions: Iterable[tuple[torch.Tensor, torch.Tensor]],
) -> torch.Tensor:
    """The picture to show (1, 3, H, W), with the shares in it that other denoisers' pictures should have.

    shown: ours of both halves together, (1, 3, H, W); denoised, noisy: of each half, (2, 3, H, W).
    opinions: what others make of each half (2, 3, H, W), and of both together (1, 3, H, W).
    """
    for of_halves, of_both in opinions:
        share = cross_validated_share(noisy, denoised, of_halves)
        denoised = denoised + share * (of_halves - denoised)
        shown = shown + share * (of_both - shown)
    return shown


def cross_validated_share(noisy: torch.Tensor, denoised: torch.Tensor, guides: torch.Tensor) -> torch.Tensor:
    """The share in [0, 1] that the guide's picture should have in what is shown, (1, 1, H, W).

    noisy, denoised, guides: (2, 3, H, W) linear radiance of both halves, in the same order. Broken pixels are black.
    """
    noisy, denoised = finite(noisy, channels=1), finite(denoised, channels=1).clamp(min=0.0)
    slope = tone_map_slope((denoised + guides).mean(dim=0, keepdim=True) / 2)
    step = slope * (guides - denoised)
    gain = _per_pixel(slope * (noisy.flip(0) - denoised) * step)
    size = _per_pixel(step.square())
    limit = LARGEST_SHARE * size + NEGLIGIBLE
    gain = gain.clamp(-limit, limit)
    mean = size.mean().clamp(min=torch.finfo(size.dtype).tiny)
    everywhere = (gain.mean() / mean).clamp(0.0, 1.0)
    prior = PRIOR * mean
    return ((_blurred(gain) + prior * everywhere) / (_blurred(size) + prior)).clamp(0.0, 1.0)


def tone_map_slope(radiance: torch.Tensor) -> torch.Tensor:
    """dT/dv = T(v) / (2.2 v (1 + v)), elementwise, of radiance v >= 0."""
    v = radiance.clamp(min=DARKEST)
    return tone_map(v) / (2.2 * v * (1.0 + v))


def _per_pixel(both: torch.Tensor) -> torch.Tensor:
    """(1, 1, H, W): channels and halves together, since they share their fireflies."""
    return both.mean(dim=(0, 1), keepdim=True)


def _blurred(image: torch.Tensor) -> torch.Tensor:
    for _ in range(2):
        image = functional.avg_pool2d(image, WINDOW, 1, WINDOW // 2, count_include_pad=False)
    return image
