"""Formulas, compared with values computed by hand and with float64."""

from __future__ import annotations

import math

import pytest
import torch

from noisewalk.denoiser.features import MAX_INVERTED, finite, inverse_tone_map, network_input, tone_map
from noisewalk.denoiser.losses import hdr_loss, l2_loss
from noisewalk.denoiser.metrics import brightness, is_bound, noise_floor, noise_power, psnr
from noisewalk.denoiser.paper import VARIANTS, PaperModel, Variant
from noisewalk.denoiser.planes import ALBEDO, CHANNELS, NORMAL, frame_planes
from noisewalk.renderer.frame import Frame


def test_tone_map_matches_hand_computed_values() -> None:
    values = torch.tensor([0.0, 1.0, 3.0, -2.0, float("inf")])
    expected = torch.tensor([0.0, 0.5 ** (1 / 2.2), 0.75 ** (1 / 2.2), 0.0, 1.0])
    torch.testing.assert_close(tone_map(values), expected)


def test_tone_map_is_as_good_as_float64_over_all_magnitudes() -> None:
    values = torch.logspace(-30, 30, 601, dtype=torch.float64)
    torch.testing.assert_close(tone_map(values.float()).double(), tone_map(values), rtol=1e-6, atol=0)


def test_the_inverse_tone_map_is_its_inverse_and_stays_finite() -> None:
    values = torch.logspace(-4, 3, 100, dtype=torch.float64)
    torch.testing.assert_close(inverse_tone_map(tone_map(values)), values, rtol=1e-9, atol=0)
    assert inverse_tone_map(torch.tensor([-1.0, 0.0, 1.0, 5.0])).tolist() == [0, 0, MAX_INVERTED, MAX_INVERTED]


def test_network_input_is_in_its_range_and_layout() -> None:
    frame = Frame(color=torch.rand(5, 7, 3).exp() * 1e4, albedo=torch.rand(5, 7, 3), normal=2 * torch.rand(5, 7, 3) - 1)
    planes = network_input(frame_planes(frame))
    assert planes.shape == (1, 9, 5, 7)
    assert planes.abs().max() <= 0.5
    torch.testing.assert_close(planes[0, ALBEDO, 2, 4], frame.albedo[2, 4] - 0.5)
    torch.testing.assert_close(planes[0, NORMAL, 2, 4], frame.normal[2, 4] / 2)


def test_finite_blackens_only_the_broken_pixels() -> None:
    image = torch.ones(2, 2, 3)
    image[0, 1, 2], image[1, 0, 0] = float("nan"), float("inf")
    cleaned = finite(image)
    assert cleaned[0, 0].tolist() == cleaned[1, 1].tolist() == [1, 1, 1]
    assert cleaned[0, 1].tolist() == cleaned[1, 0].tolist() == [0, 0, 0]


def test_hdr_loss_matches_hand_computed_values() -> None:
    output = torch.tensor([0.99, 0.0, -0.5]).reshape(1, 3, 1, 1)
    target = torch.tensor([1.99, 0.02, 0.5]).reshape(1, 3, 1, 1)
    # (1 / 1)^2, (0.02 / 0.01)^2, and (1 / 0.01)^2: a negative output counts as 0 in the denominator.
    assert hdr_loss(output, target).item() == pytest.approx((1 + 4 + 10000) / 3, rel=1e-5)


def test_hdr_loss_gradient_takes_the_denominator_as_constant() -> None:
    output = torch.tensor([0.99, 0.04, 2.0]).reshape(1, 3, 1, 1).requires_grad_()
    target = torch.tensor([1.99, 0.54, 0.5]).reshape(1, 3, 1, 1)
    hdr_loss(output, target).backward()
    expected = [2 * (f - y) / (f + 0.01) ** 2 / 3 for f, y in ((0.99, 1.99), (0.04, 0.54), (2.0, 0.5))]
    assert output.grad is not None
    assert output.grad.flatten().tolist() == pytest.approx(expected, rel=1e-5)


def test_l2_loss_and_its_gradient_match_hand_computed_values() -> None:
    output = torch.tensor([1.0, 0.5, -2.0], dtype=torch.float64).reshape(1, 3, 1, 1).requires_grad_()
    loss = l2_loss(output, torch.tensor([4.0, 0.5, -1.0]).reshape(1, 3, 1, 1))
    loss.backward()
    assert loss.item() == pytest.approx((9 + 0 + 1) / 3) and output.grad is not None
    assert output.grad.flatten().tolist() == pytest.approx([-2.0, 0.0, -2 / 3])


@pytest.mark.parametrize("output", [-0.01, -0.010001, -0.0099999, -1e3])
def test_hdr_loss_survives_outputs_near_the_pole(output: float) -> None:
    value = torch.full((1, 3, 2, 2), output, requires_grad=True)
    loss = hdr_loss(value, torch.zeros(1, 3, 2, 2))
    loss.backward()
    assert math.isfinite(loss.item()) and value.grad is not None and value.grad.isfinite().all()


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_losses_ignore_broken_target_pixels(variant: Variant, broken: float) -> None:
    model, planes, target = PaperModel(variant), torch.rand(1, CHANNELS, 4, 4), torch.rand(1, 3, 4, 4)
    target[0, 1, 2, 2] = broken
    losses = []
    for other in (0.0, 100.0):  # in the other channels of the broken pixel, which must not count either
        target[0, ::2, 2, 2] = other
        losses.append(model.loss(planes, target))
    assert losses[0].isfinite() and losses[0] == losses[1]
    losses[0].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    target[0, 1, 2, 2] = 0.5
    assert model.loss(planes, target) != losses[0]


def test_brightness_matches_its_formula() -> None:
    image, reference = torch.tensor([[[1.0, 0.0, 3.0]]]), torch.tensor([[[3.0, 1.0, 3.0]]])
    one, three = 0.5 ** (1 / 2.2), 0.75 ** (1 / 2.2)
    assert brightness(image, reference) == pytest.approx((one + three) / (2 * three + one), rel=1e-6)
    assert brightness(torch.zeros(2, 2, 3), torch.zeros(2, 2, 3)) == 0


def test_psnr_matches_its_formula() -> None:
    shown, reference = torch.zeros(4, 5, 3), torch.zeros(4, 5, 3)
    reference[..., 0] = 1.0
    mse = (0.5 ** (1 / 2.2)) ** 2 / 3
    assert psnr(shown, reference) == pytest.approx(-10 * math.log10(mse), abs=1e-4)
    assert psnr(reference, reference) == 100


def test_noise_floor_is_the_psnr_of_the_mean_against_the_truth() -> None:
    noise = torch.Generator().manual_seed(0)
    truth = torch.full((200, 200, 3), 0.7)
    a, b = (truth + 0.05 * torch.randn(truth.shape, generator=noise) for _ in range(2))
    assert noise_floor(a, b) == pytest.approx(psnr((a + b) / 2, truth), abs=0.1)


def textured(noise: torch.Generator) -> torch.Tensor:
    return 0.1 + torch.rand(128, 128, 3, generator=noise)


def references(truth: torch.Tensor, heavy_tailed: bool, noise: torch.Generator) -> list[torch.Tensor]:
    """Two halves of mean `truth`: each pixel the mean of 64 samples, of which a firefly's is many times as bright."""
    samples = torch.rand(2, 64, *truth.shape[:2], 1, generator=noise)
    if not heavy_tailed:
        return [truth * (0.5 + half.mean(dim=0)) for half in samples]
    return [truth * (0.6 / 1.6 * half.clamp(min=1e-6).pow(-1 / 1.6)).mean(dim=0) for half in samples]


def test_a_noisy_reference_can_be_corrected_for() -> None:
    noise = torch.Generator().manual_seed(0)
    truth = textured(noise)
    shown = truth * (1 + 0.03 * torch.randn(truth.shape, generator=noise))
    a, b = references(truth, False, noise)
    power = noise_power(a, b)
    assert psnr(shown, (a + b) / 2) < psnr(shown, truth) - 2
    assert psnr(shown, (a + b) / 2, power) == pytest.approx(psnr(shown, truth), abs=0.3)
    assert not is_bound(psnr(shown, (a + b) / 2, power), power)


@pytest.mark.parametrize("heavy_tailed", [False, True])
def test_beyond_the_noise_of_the_reference_there_is_only_a_bound(heavy_tailed: bool) -> None:
    noise = torch.Generator().manual_seed(0)
    truth = textured(noise)
    a, b = references(truth, heavy_tailed, noise)
    power, mean = noise_power(a, b), (a + b) / 2
    for shown in (mean, 0.2 * truth + 0.8 * mean):
        corrected = psnr(shown, mean, power)
        assert is_bound(corrected, power) and corrected == pytest.approx(noise_floor(a, b) + 5)
    assert psnr(mean, mean, 0.0) == 100 and not is_bound(100.0, 0.0)  # a reference without noise has no bound


@pytest.mark.parametrize("wrong", [1.03, 0.97, 1.1, 0.9, 1.3, 0.75, 0.5])
def test_where_the_noise_has_heavy_tails_a_corrected_psnr_is_right_far_below_the_floor_and_never_praises(
    wrong: float,
) -> None:
    noise = torch.Generator().manual_seed(0)
    truth = textured(noise)
    a, b = references(truth, True, noise)
    true, corrected = psnr(wrong * truth, truth), psnr(wrong * truth, (a + b) / 2, noise_power(a, b))
    assert corrected < true + 0.5
    if corrected < noise_floor(a, b) - 10:
        assert corrected == pytest.approx(true, abs=0.5)
