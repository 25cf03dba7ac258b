"""How much of another denoiser's picture to show instead of ours, place by place, found by cross-validation.

From one half the guide makes p, and our network makes q. Both do not depend on the other half, b. On average over a
neighbourhood, the mix q + w (p - q) is nearest to the true radiance r if

    w  =  E (r - q) (p - q) / E (p - q)^2

Because E b = r, and the noise of b is independent of q and p, b can take the place of r. Both directions are added up.
Errors are those after the tone map T, to first order: each is multiplied by the slope of T there.

Nothing denoised is as good as enough samples. So the last candidate is the noisy mean itself. Let x be what is noisy
less what is denoised, for each half, and y = (x_a + x_b) / 2. To first order the error of what is denoised has the bias
E x, and moving by w y changes it into one that is smallest on average if

    w  =  E [ x_a x_b - (f(a) - f(b)) (x_a - x_b) / 4 ] / E y^2

The first product is the squared bias, the second how much the noise of both candidates has in common and how much is
left in what is denoised: both halves together have half of the noise of one, but all of the bias (see `estimate`).

What must hold is the same as in `estimate`: if a network has learned this pair by heart, the noise of b is in q, and w
becomes too small. w itself depends on b; nothing is learned from what is shown.

Another opinion is the picture shown before, p, reprojected. It depends on neither half. Mixed with the mean of both
halves, s = (q(a) + q(b)) / 2, it is nearest to r if

    w  =  E (r - s) (p - s) / E (p - s)^2,    E (r - s) (p - s)  =  E [ (b - s) (p - q(a)) + (a - s) (p - q(b)) ] / 2

for s (p - s) is the mean of s (p - q(a)) and s (p - q(b)), and b can take the place of r beside q(a), as above.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.nn import functional

from noisewalk.denoiser.features import finite, tone_map

WINDOW = 9  # used twice, which gives a triangle of 17 pixels
HOLE = 3  # used twice: in the middle of a neighbourhood that is to leave its own pixel out
NEIGHBOURS = 180  # so many pixels with equal weights have a mean as noisy as that of the triangle
WINDOW_OF_EARLIER = 33  # wider, because the picture before differs less from ours
PRIOR = 1.0  # weight of the share of the whole picture, in units of a mean neighbourhood
# Limit of a single pixel's w, in both directions, because a firefly must not decide. A lower one prefers our picture.
LARGEST_SHARE = 10.0
NEGLIGIBLE = 1e-3  # a squared difference after T that is not visible
DARKEST = 1e-3  # below this radiance, the slope of T is taken as constant


def blended(
    shown: torch.Tensor,
    denoised: torch.Tensor,
    noisy: torch.Tensor,
    opinions: Iterable[tuple[torch.Tensor, torch.Tensor]],
    before: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The picture to show (1, 3, H, W), and what is made of each half (2, 3, H, W): ours, mixed with those of others.

    shown: ours of both halves together, (1, 3, H, W); denoised, noisy: of each half, (2, 3, H, W).
    opinions: what others make of each half (2, 3, H, W), and of both together (1, 3, H, W).
    before: the picture shown before, reprojected, and 1 where it was seen, else 0: (1, 4, H, W). It is mixed into what
            is shown only.
    """
    for of_halves, of_both in opinions:
        share = cross_validated_share(noisy, denoised, of_halves)
        denoised = denoised + share * (of_halves - denoised)
        shown = shown + share * (of_both - shown)
    if before is not None:
        earlier, seen = before[:, :3], before[:, 3:]
        shown = shown + seen * share_of_earlier(noisy, denoised, earlier, seen) * (earlier - shown)
    return shown, denoised


def converging(shown: torch.Tensor, denoised: torch.Tensor, noisy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The same, mixed with what is noisy by its share: of many samples, that is better than what is denoised.

    shown: (1, 3, H, W); denoised, noisy: of each half, (2, 3, H, W).
    """
    share = noisy_share(noisy, denoised)
    noisy = finite(noisy, channels=1)
    return shown + share * (noisy.mean(dim=0, keepdim=True) - shown), denoised + share * (noisy - denoised)


def cross_validated_share(noisy: torch.Tensor, denoised: torch.Tensor, guides: torch.Tensor) -> torch.Tensor:
    """The share of the guide's picture in what is shown, (1, 1, H, W) in [0, 1].

    noisy, denoised, guides: (2, 3, H, W) linear radiance of both halves, in the same order. Broken pixels are black.
    """
    noisy, denoised = finite(noisy, channels=1), finite(denoised, channels=1).clamp(min=0.0)
    weight = tone_map_slope((denoised + guides).mean(dim=0, keepdim=True) / 2).square()
    step = guides - denoised
    gain = _per_pixel(weight * (noisy.flip(0) - denoised) * step)
    return _smoothed_share(gain, _per_pixel(weight * step.square()), WINDOW)


def share_of_earlier(
    noisy: torch.Tensor, denoised: torch.Tensor, earlier: torch.Tensor, seen: torch.Tensor
) -> torch.Tensor:
    """The share of the picture shown before in the one to show, (1, 1, H, W) in [0, 1].

    noisy, denoised: (2, 3, H, W) as above. earlier: (1, 3, H, W) reprojected; seen: (1, 1, H, W), 1 where it was seen.
    """
    noisy, denoised = finite(noisy, channels=1), finite(denoised, channels=1).clamp(min=0.0)
    ours = denoised.mean(dim=0, keepdim=True)
    weight = seen * tone_map_slope((ours + earlier) / 2).square()
    gain = _per_pixel(weight * (noisy.flip(0) - ours) * (earlier - denoised))
    return _smoothed_share(gain, _per_pixel(weight * (earlier - ours).square()), WINDOW_OF_EARLIER)


def _smoothed_share(gain: torch.Tensor, size: torch.Tensor, window: int) -> torch.Tensor:
    """E gain / E size over a neighbourhood, in [0, 1]. All (1, 1, H, W); window: see WINDOW."""
    limit = LARGEST_SHARE * size + NEGLIGIBLE
    gain = gain.clamp(-limit, limit)
    mean = size.mean().clamp(min=torch.finfo(size.dtype).tiny)
    everywhere = (gain.mean() / mean).clamp(0.0, 1.0)
    prior = PRIOR * mean
    return ((_blurred(gain, window) + prior * everywhere) / (_blurred(size, window) + prior)).clamp(0.0, 1.0)


def noisy_share(noisy: torch.Tensor, denoised: torch.Tensor) -> torch.Tensor:
    """The share of the noisy mean of both halves in what is shown, (1, 1, H, W) in [0, 1].

    noisy, denoised: (2, 3, H, W) linear radiance of both halves, in the same order. Broken pixels are black.

    Where noise hides the bias, the quotient is anything. So it is as low as one standard error allows: with the
    variance v of the noise in x, that of x_a x_b is v^2 + 2 v (E x)^2. It vanishes with many samples.

    The pixels around tell it, and not the pixel itself. Otherwise the noise of a pixel decides about that pixel: chance
    products x_a x_b would go where they are positive and stay where they are negative, and the estimate of the error,
    which adds them up, would be too good by up to 3 dB (cornell, 128x128, after the third frame at rest).
    """
    noisy, denoised = finite(noisy, channels=1), finite(denoised, channels=1).clamp(min=0.0)
    slope = tone_map_slope(denoised.mean(dim=0, keepdim=True))
    a, b = (slope * (noisy - denoised)).split(1)
    from_a, from_b = (slope * denoised).split(1)
    bias, variance = _per_pixel(a * b), _per_pixel((a - b).square() / 2)
    gain = _per_pixel(a * b - (from_a - from_b) * (a - b) / 4)
    doubt = variance * (variance + 2.0 * bias.clamp(min=0.0))
    surely = _around(gain) - (_around(doubt).clamp(min=0.0) / NEIGHBOURS).sqrt()
    size = _around(_per_pixel(((a + b) / 2).square()))
    return (surely / size.clamp(min=torch.finfo(size.dtype).tiny)).clamp(0.0, 1.0)


def tone_map_slope(radiance: torch.Tensor) -> torch.Tensor:
    """dT/dv = T(v) / (2.2 v (1 + v)), elementwise, of radiance v >= 0."""
    v = radiance.clamp(min=DARKEST)
    return tone_map(v) / (2.2 * v * (1.0 + v))


def _per_pixel(both: torch.Tensor) -> torch.Tensor:
    """(1, 1, H, W): the mean over channels and halves, because they have their fireflies in common."""
    return both.mean(dim=(0, 1), keepdim=True)


def _around(image: torch.Tensor) -> torch.Tensor:
    """The mean over a neighbourhood without its middle: the wide triangle less the narrow one that is as high there."""
    part = (HOLE / WINDOW) ** 2  # of the weights; near the border a little more remains
    return (_blurred(image, WINDOW) - part * _blurred(image, HOLE)) / (1.0 - part)


def _blurred(image: torch.Tensor, window: int) -> torch.Tensor:
    for kernel in 2 * ((window, 1), (1, window)):  # a column and a row take less time than a square
        image = functional.avg_pool2d(image, kernel, 1, (kernel[0] // 2, kernel[1] // 2), count_include_pad=False)
    return image
