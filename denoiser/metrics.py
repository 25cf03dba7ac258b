"""Image quality against a reference."""

from __future__ import annotations

import math

import torch

from noisewalk.denoiser.features import finite, tone_map

PSNR_FORMULA = (
    "PSNR = -10 log10 mean (T(shown) - T(reference))^2, T(v) = (v / (1 + v))^(1 / 2.2), over all pixels and channels"
)
RELATIVE_MSE_FORMULA = "relMSE = mean (shown - reference)^2 / (reference^2 + 0.01)"
TEMPORAL_PSNR_FORMULA = "tPSNR = the PSNR of frame-to-frame differences: of T(shown_k) - T(shown_k-1)"
BRIGHTNESS_FORMULA = "brightness = mean T(shown) / mean T(reference)"
CORRECTED_FORMULA = (
    "corrected: less what the reference's own noise adds to the mean square, mean (T(a) - T(b))^2 / 4 of its halves"
    " (tPSNR: of their differences from frame to frame); 5 dB beyond that noise, only 'at least' so much is known"
)
MAX_DECIBELS = 100.0
BEYOND_FLOOR = 5.0  # dB; there, two thirds of the mean square are the reference's noise, and the error of that decides


def psnr(image: torch.Tensor, reference: torch.Tensor, noise: float = 0.0) -> float:
    """PSNR_FORMULA in dB. image, reference: (H, W, 3) linear radiance; non-finite pixels count as black.

    noise: the noise power of the reference, from `noise_power`, for CORRECTED_FORMULA. The noise of the picture and
    that of the reference are independent, so their squares add up. The curvature of T is neglected: a reference with
    fireflies is darker in T than the truth. So the number may be wrong by 2 dB within some 5 dB of the noise floor, and
    prefers dark pictures there. 10 dB below the floor it is right within 0.5 dB. `is_bound` says where it is a bound.
    """
    return decibels(_less(_tone_mapped_mse(image, reference), noise))


def is_bound(corrected: float, noise: float) -> bool:
    """Whether a corrected PSNR or tPSNR is only a bound: the true one is at least so many dB."""
    return corrected > decibels(noise) + BEYOND_FLOOR - 1e-6


def relative_mse(image: torch.Tensor, reference: torch.Tensor) -> float:
    """RELATIVE_MSE_FORMULA. image, reference: (H, W, 3) linear radiance; non-finite pixels count as black."""
    x, r = finite(image).double(), finite(reference).double()
    return ((x - r).square() / (r.square() + 0.01)).mean().item()


def temporal_psnr(
    image: torch.Tensor,
    previous: torch.Tensor,
    reference: torch.Tensor,
    previous_reference: torch.Tensor,
    noise: float = 0.0,
) -> float:
    """TEMPORAL_PSNR_FORMULA in dB, of a frame and the one before it: (H, W, 3) linear radiance each.

    noise: the noise power of the references, from `temporal_noise_power`, for CORRECTED_FORMULA.
    """
    return decibels(_less((_change(image, previous) - _change(reference, previous_reference)).square().mean(), noise))


def brightness(image: torch.Tensor, reference: torch.Tensor) -> float:
    """BRIGHTNESS_FORMULA: below 1 is too dark. image, reference: (H, W, 3) linear radiance.

    It is measured after tone mapping, because a few fireflies decide the mean of radiance. The mean of a black
    reference counts as 1e-6.
    """
    shown, right = (tone_map(finite(i)).double().mean().item() for i in (image, reference))
    return shown / max(right, 1e-6)


def noise_floor(half_a: torch.Tensor, half_b: torch.Tensor) -> float:
    """The PSNR in dB of the mean of two independent halves against the truth. No PSNR above it can be trusted.

    half_a, half_b: (H, W, 3) linear radiance. Half of their difference has the variance of the error of their mean.
    """
    return decibels(noise_power(half_a, half_b))


def noise_power(half_a: torch.Tensor, half_b: torch.Tensor) -> float:
    """The mean square of the noise in the tone-mapped mean of two independent halves, (H, W, 3) radiance each."""
    return _tone_mapped_mse(half_a, half_b) / 4.0


def temporal_noise_power(
    half_a: torch.Tensor, half_b: torch.Tensor, previous_a: torch.Tensor, previous_b: torch.Tensor
) -> float:
    """The mean square of the noise in the change from one frame's mean of two halves to the next one's.

    All are (H, W, 3) linear radiance. The two halves are independent. The noise of one half may be similar in both
    frames: the measurement takes that into account.
    """
    return (_change(half_a, previous_a) - _change(half_b, previous_b)).square().mean().item() / 4.0


def decibels(mse: float) -> float:
    """-10 log10 mse, at most MAX_DECIBELS."""
    return MAX_DECIBELS if mse <= 0.0 else min(MAX_DECIBELS, -10.0 * math.log10(mse))


def _less(mse: float | torch.Tensor, noise: float) -> float:
    return max(float(mse) - noise, noise * 10.0 ** (-BEYOND_FLOOR / 10.0))


def _change(now: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    return tone_map(finite(now)).double() - tone_map(finite(before)).double()


def _tone_mapped_mse(a: torch.Tensor, b: torch.Tensor) -> float:
    return _change(a, b).square().mean().item()
