"""Corruptions: their expectation, median or mode is clean, their strength is right, and what each loss learns."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from noisewalk.denoiser import corruptions
from noisewalk.denoiser.corruptions import between, decay_for, sampling_probability
from noisewalk.denoiser.losses import AnnealedL0, l0_loss, l1_loss, l2_loss

COLOR = torch.tensor([0.2, 0.5, 0.9]).reshape(1, 3, 1, 1)
CLEAN = COLOR.expand(8, 3, 64, 64)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("corrupt", "deviation"),
    [
        (lambda: corruptions.gaussian(CLEAN, 25.0, generator()), torch.full((3,), 25 / 255)),
        (lambda: corruptions.brown(CLEAN, 25.0, 0.0, generator()), torch.full((3,), 25 / 255)),
        (lambda: corruptions.brown(CLEAN, 25.0, 2.0, generator()), torch.full((3,), 25 / 255)),
        (lambda: corruptions.poisson(CLEAN, 30.0, generator()), (COLOR.flatten() / 30).sqrt()),
        (lambda: corruptions.poisson(CLEAN, 0.5, generator()), (COLOR.flatten() / 0.5).sqrt()),
    ],
)
def test_noise_has_the_clean_expectation_and_its_deviation(
    corrupt: Callable[[], torch.Tensor], deviation: torch.Tensor
) -> None:
    noisy = corrupt()
    # Brown noise of 2 pixels has some 50 pixels in one independent piece.
    bound = 5.0 * deviation / math.sqrt(8 * 64 * 64 / 50)
    assert ((noisy.mean((0, 2, 3)) - COLOR.flatten()).abs() < bound).all()
    torch.testing.assert_close(noisy.std((0, 2, 3)), deviation, rtol=0.06, atol=0)


def test_the_strength_may_differ_from_picture_to_picture() -> None:
    sigma = between(0.0, 50.0, 8, generator(1))
    assert sigma.shape == (8, 1, 1, 1) and 0 <= sigma.min() < sigma.max() < 50
    noise = (corruptions.gaussian(CLEAN, sigma, generator(2)) - CLEAN).std((1, 2, 3))
    torch.testing.assert_close(noise, sigma.flatten() / 255, rtol=0.05, atol=0)


@pytest.mark.parametrize("width", [1.0, 3.0])
def test_brown_noise_is_alike_as_far_as_its_width(width: float) -> None:
    noise = corruptions.brown(torch.zeros(64, 1, 64, 64), 255.0, width, generator())
    for shift in (1, 4):
        # White noise blurred by a Gaussian twice over has a Gaussian of twice the variance as correlation.
        expected = math.exp(-(shift**2) / (4 * width**2))
        assert (noise * noise.roll(shift, -1)).mean().item() == pytest.approx(expected, abs=0.06)


def test_no_light_and_no_photons_are_no_trouble() -> None:
    assert corruptions.poisson(torch.zeros(1, 3, 4, 4), 30.0, generator()).eq(0).all()
    assert corruptions.poisson(CLEAN, 0.0, generator()).isfinite().all()


def test_missing_pixels_are_missing_in_all_channels_and_the_others_clean() -> None:
    noisy = corruptions.bernoulli(CLEAN, 0.3, generator())
    missing = noisy.isnan()
    assert missing.float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert (missing.all(1) == missing.any(1)).all() and torch.equal(noisy[~missing], CLEAN[~missing])
    # The part of such a target that the loss sees is clean: the loss of the clean picture is zero.
    assert l2_loss(CLEAN, noisy) == 0 and l1_loss(CLEAN, noisy) == 0


@pytest.mark.parametrize("share", [0.4, 0.7])
def test_random_colors_keep_the_mode_and_below_half_the_median(share: float) -> None:
    noisy = corruptions.impulse(CLEAN, share, generator())
    kept = (noisy == CLEAN).all(1)
    assert kept.float().mean().item() == pytest.approx(1 - share, abs=0.01)
    expected = (1 - share) * COLOR.flatten() + share / 2
    torch.testing.assert_close(noisy.mean((0, 2, 3)), expected, rtol=0, atol=0.01)
    median = noisy.transpose(0, 1).flatten(1).median(1).values
    assert torch.equal(median, COLOR.flatten()) == (share < 0.5)


def test_text_covers_what_it_should_and_keeps_the_median_below_half() -> None:
    clean = COLOR.expand(4, 3, 96, 96)
    shares = torch.tensor([0.0, 0.15, 0.3, 0.45]).reshape(4, 1, 1, 1)
    written = corruptions.text(clean, shares, generator())
    covered = (written != clean).any(1).float().mean((1, 2))
    assert covered[0] == 0
    assert (covered >= shares.flatten() - 0.01).all() and (covered < shares.flatten() + 0.2).all()
    over = torch.stack([corruptions.text(clean[:1], 0.25, generator(seed)) for seed in range(40)])
    assert (over.median(0).values == clean[:1]).float().mean() > 0.995  # chance covers a pixel in 20 of 40
    corners = over[..., [0, 0, -1, -1], [0, -1, 0, -1]] != clean[:1, :, :1, :1]
    assert corners.any(2).any(0).all(), "borders are written over too"


def test_undersampling_has_the_clean_expectation_and_knows_what_it_measured() -> None:
    clean = torch.rand(1, 1, 24, 32, generator=generator())
    decay = decay_for(0.25, 24, 32)
    assert sampling_probability(decay, 24, 32).mean().item() == pytest.approx(0.25, abs=1e-4)
    planes = corruptions.undersampled(clean.expand(4000, 1, 24, 32), decay, generator(1))
    picture, real, imaginary, known = planes.split(1, dim=1)
    error = picture.mean(0) - clean[0]
    assert (error.abs() < 5.5 * picture.std(0) / math.sqrt(4000)).all()
    torch.testing.assert_close(known.mean(0)[0], sampling_probability(decay, 24, 32), rtol=0, atol=0.04)
    torch.testing.assert_close(torch.complex(real, imaginary), torch.fft.fft2(clean, norm="ortho") * known)
    # k and -k are measured together, so that the weighted spectrum is that of a real picture.
    assert torch.equal(known, known.flip(-2, -1).roll((1, 1), (-2, -1)))


def test_two_calls_are_independent_and_a_seed_repeats_them() -> None:
    source = generator(3)
    for corrupt in (
        lambda g: corruptions.gaussian(CLEAN, 25.0, g),
        lambda g: corruptions.text(CLEAN[:1], 0.2, g),
        lambda g: corruptions.impulse(CLEAN, 0.5, g),
        lambda g: corruptions.undersampled(CLEAN[:, :1], 0.1, g),
    ):
        assert torch.equal(corrupt(generator(4)), corrupt(generator(4)))
        assert not torch.equal(corrupt(source), corrupt(source))


def test_l1_and_l0_match_hand_computed_values() -> None:
    output = torch.tensor([0.5, 0.0, 1.0], dtype=torch.float64).reshape(1, 3, 1, 1)
    target = torch.tensor([0.25, 0.0, -1.0], dtype=torch.float64).reshape(1, 3, 1, 1)
    assert l1_loss(output, target).item() == pytest.approx(2.25 / 3)
    assert l0_loss(output, target, 0.5).item() == pytest.approx((0.5 + 1e-4 + math.sqrt(2)) / 3, abs=1e-6)
    annealed = AnnealedL0()
    assert annealed(output, target).item() == pytest.approx(l2_loss(output, target).item(), abs=1e-7)
    annealed.progress.fill_(0.5)
    assert annealed(output, target).item() == pytest.approx(2.25 / 3, abs=1e-7)
    assert l0_loss(output, target * math.nan, 0.5).item() < 1e-3


@pytest.mark.parametrize("exponent", [2.0, 1.0, 0.5, 0.01])
def test_the_gradient_of_l0_is_finite_also_where_the_output_is_right(exponent: float) -> None:
    output = CLEAN[:1].clone().requires_grad_()
    l0_loss(output, corruptions.impulse(CLEAN[:1], 0.5, generator()), exponent).backward()
    assert output.grad is not None and output.grad.isfinite().all()


def test_the_minimum_of_l0_is_a_zero_of_the_hilbert_transform_at_the_mode() -> None:
    """Lehtinen et al. 2018, appendix A.4, on random values in [0, 1] that hide a narrow peak: 30 % around 0.8.

    d/df E |f - y|^e / e goes to the principal value of int p(y) / (f - y) dy as e goes to 0, p's Hilbert transform.
    """
    share, peak, width = 0.7, 0.8, 0.02
    low, high = peak - width, peak + width

    def transform(f: float) -> float:
        """Of a uniform density on [a, b]: log |f - a| / |f - b| / (b - a)."""
        uniform = math.log(abs(f / (f - 1)))
        return share * uniform + (1 - share) * math.log(abs((f - low) / (f - high))) / (high - low)

    y = torch.from_numpy(np.r_[np.linspace(0, 1, 7_000), np.linspace(low, high, 3_000)])
    candidates = torch.linspace(0.0102, 0.9902, 491, dtype=torch.float64)
    costs = torch.stack([l0_loss(f.expand_as(y)[None, None, None], y[None, None, None], 0.01) for f in candidates])
    best = candidates[costs.argmin()].item()
    zero = brentq(transform, low + 1e-6, high - 1e-6)
    assert best == pytest.approx(zero, abs=0.002) and abs(zero - peak) < 0.003
    # The median and the mean are elsewhere. L1 and L2 would find those.
    assert y.median() < peak - 0.05 and y.mean() < peak - 0.2
