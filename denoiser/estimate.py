"""Estimates the error of a denoised picture from the two noisy halves alone. It needs no reference.

Let r be the true radiance of a pixel. a and b are two independent noisy renderings of it: E a = E b = r. f(a) and f(b)
are the denoised halves, and s = (f(a) + f(b)) / 2 is shown. The error of s is bias and variance. The halves are
independent and have the same distribution, so there are unbiased estimates of both:

    (E f(a) - r)^2  =  E (f(a) - a) (f(b) - b)              the change of one half, times that of the other
    Var s           =  E (f(a) - f(b))^2 / 4
    E (s - r)^2     =  E [ (f(a) - a) (f(b) - b)  +  (f(a) - f(b))^2 / 4 ]                                      (1)

Cross-validation gives the same number: each denoised half against the other noisy half, minus the variance of the
noise, ((f(a) - b)^2 + (f(b) - a)^2) / 2 - (a - b)^2 / 2 - (f(a) - f(b))^2 / 4. In (1) no noise is squared: a firefly of
one half is multiplied by the error of the other half, which is as often positive as negative.

The PSNR is of tone-mapped pictures, and T is not linear: T(b) is far from T(r) on average. T(f(a)) is close to it. So
the variance is taken after T, and the bias is multiplied by the slope D of T between s and a rough guess g of r:

    (T(s) - T(r))^2  ~  D^2 (f(a) - a) (f(b) - b)  +  (T(f(a)) - T(f(b)))^2 / 4                                  (2)
    D = (T(s) - T(g)) / (s - g),    g = s * mean over 5x5 pixels of (b / f(a) + a / f(b)) / 2

with 0.01 added to radiances in the quotients. (The delta method takes the slope at s alone. Then a picture that is too
bright or too dark as a whole is off by 2 dB, and a black one by 40.) The estimate has a bias of its own. It is too good
where bright spills over dark within the window of the guess, and where fireflies survive the denoiser. docs/guide.md
says by how much. The limit on single pixels costs less than 0.1 dB in the noisiest scene.

Light that few paths bring, as in a caustic, may have reached neither half. Then both agree that it is dark, and so does
(1), whose mean over all renderings is right only because of the few that have a firefly there. How much is not seen yet
is told by what was seen once (Good, Biometrika 40, 1953): here by the noise power, mean D^2 |f(a) - a| |f(b) - b|.

With a guide, the shown picture is better than s, because it has what the guide makes of both halves together (see
`online.Denoised`): 0.1 to 0.4 dB at 256x256. This estimate does not know it.

What must hold: f(a) does not depend on b. If the network has learned this pair by heart, or sees both halves, the noise
of b is in f(a). Then (1) takes noise for truth, and the estimate is too good. It also cannot see an error that a and b
have in common, for example a light that the renderer never samples. What both know from earlier frames does no harm: it
does not depend on the noise of this frame.
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
SIGNIFICANT = 2.0  # how many standard errors above zero a number must be, to be shown
# With glass, caustics and surviving fireflies the true squared error is up to 2.4 times the estimate. It is more where
# the noise of the estimate happens to be negative. The bound adds SIGNIFICANT standard errors and a part of the noise.
CALIBRATION = 2.25
UNSEEN = 1 / 16
GUESS_WINDOW = 5
MAP_WINDOW = 9  # used twice, which gives a triangle of 17 pixels: fireflies do not look like squares
LIMIT = (
    4.0  # of one squared bias, whose true value is 1 at most: one pixel with fireflies in both halves must not decide
)
DARK = 0.01  # radiance added in quotients
DARKEST = 1e-5  # below this radiance, the slope of T is taken as constant: at 0 it is infinite
BRIGHTEST = 1e6  # above this radiance T is 1 in float32


@dataclass(frozen=True, eq=False)
class Estimate:
    """The estimated error of a shown picture.

    mse:       mean (T(shown) - T(truth))^2 over all pixels and channels; below zero where the noise hides it.
    error:     the standard error of `mse`.
    variance:  the part of `mse` that is variance. The true `mse` is not below it: no squared bias is negative.
    noise:     the noise power, mean |a - f(a)| |b - f(b)| after T: what tells how much light neither half has seen.
    error_map: (H, W, 3), grey: the root of the same mean over some 17 pixels around each pixel; 0 where it is negative.
    """

    mse: float
    error: float
    variance: float
    noise: float
    error_map: torch.Tensor

    @property
    def psnr(self) -> float | None:
        """The estimated PSNR in dB; None if the noise of the estimate hides it."""
        return decibels(self.mse) if self.mse > SIGNIFICANT * self.error else None

    @property
    def psnr_error(self) -> float:
        """One standard error of `psnr`, in dB."""
        return 10.0 / math.log(10.0) * self.error / self.mse if self.mse > 0.0 else math.inf

    @property
    def at_least(self) -> float:
        """The PSNR in dB that the shown picture has at least, in nine of ten views (see CALIBRATION)."""
        doubt = SIGNIFICANT * self.error + UNSEEN * self.noise
        return decibels(CALIBRATION * max(self.mse, self.variance) + doubt)

    def __str__(self) -> str:
        return f"> {self.at_least:.1f} dB"


def estimate_error(noisy: torch.Tensor, denoised: torch.Tensor) -> Estimate:
    """The error of the average of both denoised halves. noisy, denoised: (2, H, W, 3) linear radiance, in one order.

    Non-finite pixels count as black, as in `metrics`. The numbers leave the GPU together, once.
    """
    a, b = (finite(half).clamp(-BRIGHTEST, BRIGHTEST) for half in noisy)
    from_a, from_b = (finite(half).clamp(0.0, BRIGHTEST) for half in denoised)
    shown = (from_a + from_b) / 2
    slope = _slope(shown, _guess(a, b, from_a, from_b))
    bias = (slope * (from_a - a) * (slope * (from_b - b))).clamp(-LIMIT, LIMIT)
    variance = (tone_map(from_a) - tone_map(from_b)).square() / 4
    # One value for each pixel: its channels have the same samples, so their noise is not independent.
    pixels = (bias + variance).mean(dim=-1, keepdim=True)
    spread, mean = torch.var_mean(pixels.double(), correction=0)
    error = (spread / pixels.numel()).sqrt()
    means = variance.mean().double(), bias.abs().mean().double()
    mse, error_of_mse, part, noise = torch.stack([mean, error, *means]).tolist()
    smooth = _blurred(_blurred(pixels, MAP_WINDOW), MAP_WINDOW)
    return Estimate(mse, error_of_mse, part, noise, smooth.clamp(min=0.0).sqrt().expand(-1, -1, 3))


def _guess(a: torch.Tensor, b: torch.Tensor, from_a: torch.Tensor, from_b: torch.Tensor) -> torch.Tensor:
    """A rough guess of the truth: the shown picture, made brighter or darker by what the noisy pixels around it say."""
    quotients = ((b + DARK) / (from_a + DARK) + (a + DARK) / (from_b + DARK)) / 2
    return ((from_a + from_b) / 2 + DARK) * _blurred(quotients, GUESS_WINDOW) - DARK


def _slope(v: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """(T(v) - T(w)) / (v - w), elementwise."""
    v, w = v.clamp(DARKEST, BRIGHTEST), w.clamp(DARKEST, BRIGHTEST)
    # Where both are nearly equal, the quotient would consist of rounding errors.
    w = w + ((v - w).abs() < 1e-3 * v) * (2e-3 * v)
    return (tone_map(v) - tone_map(w)) / (v - w)


def _blurred(image: torch.Tensor, window: int) -> torch.Tensor:
    """(H, W, C): the mean over window x window pixels, fewer at the border."""
    planes = functional.avg_pool2d(to_planes(image), window, 1, window // 2, count_include_pad=False)
    return from_planes(planes)[0]
