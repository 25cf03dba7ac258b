"""How far a denoised picture is from the truth, estimated from the two noisy halves alone: no reference is needed.

Let r be the true radiance of a pixel, a and b two independent noisy renderings of it, E a = E b = r, and f(a), f(b)
what the denoiser makes of each; shown is s = (f(a) + f(b)) / 2. The error of s is bias and variance, and because the
halves are independent and alike, each has an unbiased estimate:

    (E f(a) - r)^2  =  E (f(a) - a) (f(b) - b)              what was taken off one half, times what was off the other
    Var s           =  E (f(a) - f(b))^2 / 4
    E (s - r)^2     =  E [ (f(a) - a) (f(b) - b)  +  (f(a) - f(b))^2 / 4 ]                                      (1)

This is the same number as by cross-validation, each denoised half against the other noisy half with the noise's own
variance taken off: ((f(a) - b)^2 + (f(b) - a)^2) / 2 - (a - b)^2 / 2 - (f(a) - f(b))^2 / 4. In (1) no noise is squared:
a firefly of one half is multiplied by what the other half lacks, which is as often too much as too little.

The PSNR is of tone-mapped pictures, and T is not linear: T(b) is far from T(r) on average. T(f(a)) is not, so that
variance is taken there, and bias is multiplied by the slope D of T between s and a rough guess g of r:

    (T(s) - T(r))^2  ~  D^2 (f(a) - a) (f(b) - b)  +  (T(f(a)) - T(f(b)))^2 / 4                                  (2)
    D = (T(s) - T(g)) / (s - g),    g = s * mean over 5x5 pixels of (b / f(a) + a / f(b)) / 2

with 0.01 added to radiances in the quotients. (With the slope at s alone, the delta method, a picture that is too
bright or too dark as a whole is off by 2 dB, and a black one by 40.) What remains is a bias of its own: where bright
spills over dark within the guess's window, and where fireflies survive the denoiser, (2) finds too little, and the
picture is called better than it is; docs/guide.md says by how much. The limit put on single pixels costs less than
0.1 dB in the noisiest scene.

Where there is a guide, the picture that is shown is better than s by what the guide makes of both halves together (see
`online.Denoised`): 0.1 to 0.4 dB at 256x256, of which this estimate knows nothing.

What must hold: f(a) knows nothing of b. A network that has learned this pair by heart, or one that sees both halves,
passes b's noise through f(a); then (1) takes noise for truth and the estimate is too good. The same goes for what both
halves share: an error that a and b have in common (a light that the renderer never samples) cannot be seen. Shared
knowledge from earlier frames does no harm, since it does not depend on this frame's noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from noisewalk.denoiser.features import finite, tone_map
from noisewalk.denoiser.metrics import decibels
from noisewalk.denoiser.planes import from_planes, to_planes

ESTIMATE_FORMULA = (
    "estimate = -10 log10 mean D^2 (f(a) - a) (f(b) - b) + (T(f(a)) - T(f(b)))^2 / 4, a and b the noisy halves, f(a)"
    " and f(b) what is made of them, D the slope of T around the shown picture"
)
SIGNIFICANT = 2.0  # standard errors above zero, from which on there is a number to show
GUESS_WINDOW = 5
MAP_WINDOW = 9  # twice: a triangle of 17 pixels, so that single fireflies are no squares
LIMIT = 4.0  # of one squared bias, which is 1 at most: fireflies of both halves in one pixel must not decide alone
DARK = 0.01  # radiance added in quotients
DARKEST = 1e-3  # below it T is taken to be as steep as there: at 0 its slope is infinite
BRIGHTEST = 1e6  # radiance from which on T is 1, as far as float32 goes


@dataclass(frozen=True, eq=False)
class Estimate:
    """What is known of the error of a shown picture.

    mse:       mean (T(shown) - T(truth))^2 over all pixels and channels; below zero where the noise hides it.
    error:     the standard error of `mse`.
    error_map: (H, W, 3), grey: the root of the same mean over some 17 pixels around each, 0 where that is negative.
    """

    mse: float
    error: float
    error_map: torch.Tensor

    @property
    def psnr(self) -> float | None:
        """In dB; None where the error drowns in the noise of its estimate."""
        return decibels(self.mse) if self.mse > SIGNIFICANT * self.error else None

    @property
    def psnr_error(self) -> float:
        """One standard error of `psnr`, in dB."""
        return 10.0 / math.log(10.0) * self.error / self.mse if self.mse > 0.0 else math.inf

    @property
    def at_least(self) -> float:
        """The PSNR in dB that the shown picture has, but for one case in forty."""
        return decibels(max(self.mse, 0.0) + SIGNIFICANT * self.error)

    def __str__(self) -> str:
        return f"> {self.at_least:.1f} dB" if self.psnr is None else f"{self.psnr:.1f} ± {self.psnr_error:.1f} dB"


def estimate_error(noisy: torch.Tensor, denoised: torch.Tensor) -> Estimate:
    """What the average of both denoised halves lacks. noisy, denoised: (2, H, W, 3) linear radiance, in the same order.

    Non-finite pixels count as black, as in `metrics`. One number after the other leaves the GPU, once.
    """
    a, b = (finite(half).clamp(-BRIGHTEST, BRIGHTEST) for half in noisy)
    from_a, from_b = (finite(half).clamp(0.0, BRIGHTEST) for half in denoised)
    shown = (from_a + from_b) / 2
    slope = _slope(shown, _guess(a, b, from_a, from_b))
    bias = slope * (from_a - a) * (slope * (from_b - b))
    squared = bias.clamp(-LIMIT, LIMIT) + (tone_map(from_a) - tone_map(from_b)).square() / 4
    # One value a pixel: its channels share their samples, and so their noise.
    pixels = squared.mean(dim=-1, keepdim=True)
    variance, mean = torch.var_mean(pixels.double(), correction=0)
    mse, error = torch.stack([mean, (variance / pixels.numel()).sqrt()]).tolist()
    smooth = _blurred(_blurred(pixels, MAP_WINDOW), MAP_WINDOW)
    return Estimate(mse, error, smooth.clamp(min=0.0).sqrt().expand(-1, -1, 3))


def _guess(a: torch.Tensor, b: torch.Tensor, from_a: torch.Tensor, from_b: torch.Tensor) -> torch.Tensor:
    """Roughly the truth: the shown picture, as much brighter or darker as the noisy pixels around say."""
    quotients = ((b + DARK) / (from_a + DARK) + (a + DARK) / (from_b + DARK)) / 2
    return ((from_a + from_b) / 2 + DARK) * _blurred(quotients, GUESS_WINDOW) - DARK


def _slope(v: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """(T(v) - T(w)) / (v - w), elementwise."""
    v, w = v.clamp(DARKEST, BRIGHTEST), w.clamp(DARKEST, BRIGHTEST)
    # Where both are nearly the same, the quotient would be of rounding errors.
    w = w + ((v - w).abs() < 1e-3 * v) * (2e-3 * v)
    return (tone_map(v) - tone_map(w)) / (v - w)


def _blurred(image: torch.Tensor, window: int) -> torch.Tensor:
    """The mean over window x window pixels, fewer at the border. (H, W, C)."""
    planes = functional.avg_pool2d(to_planes(image), window, 1, window // 2, count_include_pad=False)
    return from_planes(planes)[0]
