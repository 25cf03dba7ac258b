"""The estimate of the error without a reference, against the error itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from noisewalk.denoiser.blend import converging
from noisewalk.denoiser.estimate import Estimate, estimate_error
from noisewalk.denoiser.features import finite, tone_map
from noisewalk.denoiser.guide import advise
from noisewalk.denoiser.online import OnlineDenoiser
from noisewalk.denoiser.trainer import TrainingSettings
from tests.denoiser.pairs import noisy_pair, truth

SIZE, SEEDS = 96, 12
Noise = Callable[[torch.Generator], torch.Tensor]
Denoiser = Callable[[torch.Tensor], torch.Tensor]


def scene() -> torch.Tensor:
    """(SIZE, SIZE, 3): shading over two decades, and stripes with edges."""
    y, x = torch.meshgrid(torch.linspace(0, 1, SIZE), torch.linspace(0, 1, SIZE), indexing="ij")
    stripes = 0.4 + 0.6 * ((x * 6).floor() % 2)
    return torch.stack([stripes * 0.02 * 100**y, stripes * (0.1 + y), 0.3 + 0 * x], dim=-1)


def gentle(generator: torch.Generator) -> torch.Tensor:
    """Mean 1, standard deviation 0.5."""
    return 1 + 0.5 * torch.randn(SIZE, SIZE, 3, generator=generator)


def fireflies(generator: torch.Generator) -> torch.Tensor:
    """Mean 1. One pixel in a hundred is 41 times as bright as the others, the same in all channels."""
    rare = torch.rand(SIZE, SIZE, 1, generator=generator) < 0.01
    return (torch.where(rare, 41.0, 1.0) / 1.4).expand(-1, -1, 3) * (
        1 + 0.3 * torch.randn(SIZE, SIZE, 3, generator=generator)
    )


def blur(window: int) -> Denoiser:
    def denoise(half: torch.Tensor) -> torch.Tensor:
        planes = half.permute(2, 0, 1)[None]
        return functional.avg_pool2d(planes, window, 1, window // 2, count_include_pad=False)[0].permute(1, 2, 0)

    return denoise


def halves(noise: Noise, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([scene() * noise(generator) for _ in range(2)])


def true_squares(denoised: torch.Tensor) -> torch.Tensor:
    """(T(shown) - T(truth))^2, in float64."""
    return (tone_map(denoised.mean(dim=0).double()) - tone_map(scene().double())).square()


def estimates(noise: Noise, denoise: Denoiser) -> tuple[list[Estimate], float]:
    """One estimate for each seed, and the true mean squared error over all of them."""
    found, squares = [], []
    for seed in range(SEEDS):
        noisy = halves(noise, seed)
        denoised = torch.stack([denoise(half) for half in noisy])
        found.append(estimate_error(noisy, denoised))
        squares.append(true_squares(denoised).mean())
    return found, torch.stack(squares).mean().item()


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


WRONG = {
    "blurred": blur(5),
    "much blurred": blur(9),
    "too bright": lambda half: 1.3 * blur(5)(half),
    "too dark": lambda half: 0.7 * blur(5)(half),
    "black": torch.zeros_like,
    "grey": lambda half: half.mean(dim=(0, 1), keepdim=True).expand_as(half),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize(("noise", "too_good"), [(gentle, 0.8), (fireflies, 2.0)])
def test_it_agrees_with_the_true_psnr_however_wrong_the_picture(name: str, noise: Noise, too_good: float) -> None:
    """In dB. It is too good rather than too bad, most of all where fireflies survive the denoiser."""
    found, true = estimates(noise, WRONG[name])
    difference = -10 * math.log10(mean([estimate.mse for estimate in found]) / true)
    assert -0.3 < difference < too_good


def test_what_is_mixed_in_of_the_noisy_mean_is_not_chosen_by_the_noise_that_judges_it() -> None:
    """The share of a place is found with the same halves. If the place took part, this would be 1 dB too good."""
    found, true = [], []
    for seed in range(SEEDS):
        noisy = halves(gentle, seed)
        denoised = torch.stack([blur(9)(half) for half in noisy])
        planes, noisy_planes = (both.permute(0, 3, 1, 2) for both in (denoised, noisy))
        _, mixed = converging(planes.mean(dim=0, keepdim=True), planes, noisy_planes)
        found.append(estimate_error(noisy, mixed.permute(0, 2, 3, 1)).mse)
        true.append(true_squares(mixed.permute(0, 2, 3, 1)).mean().item())
    assert -0.3 < -10 * math.log10(mean(found) / mean(true)) < 0.8


@pytest.mark.parametrize("noise", [gentle, fireflies])
def test_its_own_error_is_how_far_estimates_of_the_same_view_lie_apart(noise: Noise) -> None:
    found, _ = estimates(noise, blur(5))
    spread = torch.tensor([estimate.mse for estimate in found]).std().item()
    assert 0.5 * spread < mean([estimate.error for estimate in found]) < 2 * spread


def test_one_pixel_matches_its_formula() -> None:
    a, b, from_a, from_b = (torch.full((1, 1, 3), value) for value in (0.6, 1.4, 0.9, 1.1))
    found = estimate_error(torch.stack([a, b]), torch.stack([from_a, from_b]))
    guess = (1.0 + 0.01) * (1.41 / 0.91 + 0.61 / 1.11) / 2 - 0.01
    slope = (0.5 ** (1 / 2.2) - (guess / (1 + guess)) ** (1 / 2.2)) / (1.0 - guess)
    variance = ((0.9 / 1.9) ** (1 / 2.2) - (1.1 / 2.1) ** (1 / 2.2)) ** 2 / 4
    assert found.mse == pytest.approx(slope**2 * 0.3 * -0.3 + variance, rel=1e-4)
    # It is negative. Then there is at most a bound to show, and no number.
    assert found.psnr is None and str(found).startswith("> ") and (found.error_map == 0).all()


def test_what_is_significant_is_a_number_and_the_rest_a_bound() -> None:
    no_map = torch.zeros(1, 1, 3)
    clear = Estimate(1e-3, 1e-4, 1e-5, 0.0, no_map)
    assert clear.psnr == pytest.approx(30) and str(clear) == f"> {clear.at_least:.1f} dB"
    assert clear.psnr_error == pytest.approx(-10 * math.log10(0.95) / 0.5, rel=0.05)
    for mse in (1e-4, -1e-3):
        drowned = Estimate(mse, 1e-3, 2e-4, 1.6e-2, no_map)
        assert drowned.psnr is None
        assert drowned.at_least == pytest.approx(-10 * math.log10(2.25 * 2e-4 + 2e-3 + 1e-3))


def test_the_map_shows_where_the_picture_is_wrong() -> None:
    rows, columns = slice(60, 84), slice(10, 34)
    noisy = halves(gentle, 0)
    denoised = torch.stack([blur(5)(half) for half in noisy])
    denoised[:, rows, columns] *= 1.6
    found = estimate_error(noisy, denoised).error_map[..., 0]
    assert found.shape == (SIZE, SIZE)
    row, column = divmod(int(found.argmax()), SIZE)
    assert rows.start <= row < rows.stop and columns.start <= column < columns.stop
    true = true_squares(denoised)[rows, columns].mean().sqrt().item()
    assert found[68:76, 18:26].mean().item() == pytest.approx(true, rel=0.3)
    assert found[:40].mean() < 0.35 * true


def test_broken_pixels_count_as_black() -> None:
    noisy = halves(gentle, 0)
    denoised = torch.stack([blur(3)(half) for half in noisy])
    noisy[0, 3, 5, 1], noisy[1, 40, 41, 0], denoised[0, 20, 20, 2] = float("nan"), float("inf"), -float("inf")
    found, expected = estimate_error(noisy, denoised), estimate_error(finite(noisy), finite(denoised))
    assert math.isfinite(found.mse) and found.mse == expected.mse and found.error == expected.error
    assert torch.equal(found.error_map, expected.error_map)


@pytest.mark.parametrize("radiance", [0.0, 1e-30, 1e5, 3e38])
def test_no_radiance_breaks_it(radiance: float) -> None:
    noisy = halves(gentle, 0)
    noisy[:, 50:60] = radiance
    noisy[0, 20, 20] = radiance
    for denoised in (noisy.clone(), torch.stack([blur(3)(half) for half in noisy]), torch.zeros_like(noisy)):
        found = estimate_error(noisy, denoised)
        assert math.isfinite(found.mse) and math.isfinite(found.error) and found.error_map.isfinite().all()


def test_a_denoiser_that_looks_at_the_other_half_deceives_it() -> None:
    """This shows the condition under which the other tests hold."""
    noisy = halves(gentle, 0)
    cheating = blur(3)(noisy.mean(dim=0)).expand(2, -1, -1, -1)
    assert estimate_error(noisy, cheating).mse < 0.5 * true_squares(cheating).mean()


@pytest.mark.parametrize("model", ["kernel", "paper"])
def test_each_half_is_denoised_without_the_other(model: str) -> None:
    first, second = noisy_pair(0, truth()), noisy_pair(1, truth())
    mixed = type(first)(first.a, second.b, first.camera, first.spp, 0)
    with OnlineDenoiser(TrainingSettings(model), "cpu", "lockstep") as denoiser:
        before, after = (denoiser.denoise_both(denoiser.prepare(pair)) for pair in (first, mixed))
        torch.testing.assert_close(after.halves[0], before.halves[0])
        assert not torch.allclose(after.halves[1], before.halves[1])
        torch.testing.assert_close(before.shown, finite(before.halves.mean(dim=0)).clamp(min=0.0))
        torch.testing.assert_close(denoiser.denoise(denoiser.prepare(first)), before.shown)


def test_what_is_shown_has_the_guide_of_both_and_the_halves_only_their_own() -> None:
    first, second = noisy_pair(0, truth()), noisy_pair(1, truth())
    mixed = type(first)(first.a, second.b, first.camera, first.spp, 0)
    with OnlineDenoiser(TrainingSettings("kernel"), "cpu", "lockstep", guided=True) as denoiser:
        before, after = (denoiser.denoise_both(denoiser.prepare(pair)) for pair in (first, mixed))
    assert torch.equal(after.halves[0], before.halves[0])
    error_shown, error_average = (
        (image - truth().color).square().mean() for image in (before.shown, before.halves.mean(dim=0))
    )
    assert error_shown < error_average


def test_an_untrained_network_leaves_the_picture_to_the_guide() -> None:
    pair = noisy_pair(0, truth())
    with OnlineDenoiser(TrainingSettings("kernel", pretrained=False), "cpu", "lockstep", guided=True) as denoiser:
        denoised = denoiser.denoise_both(denoiser.prepare(pair))
    guide = advise(*map(pair.mean, ("color", "albedo", "normal")))
    ours, guides, shown = (
        (tone_map(image) - tone_map(truth().color)).square().mean()
        for image in (denoised.halves.mean(dim=0), guide, denoised.shown)
    )
    assert shown < 0.5 * ours and shown < 1.3 * guides


@pytest.mark.gpu
def test_a_gpu_finds_the_same() -> None:
    noisy = halves(fireflies, 0)
    denoised = torch.stack([blur(5)(half) for half in noisy])
    here, there = estimate_error(noisy, denoised), estimate_error(noisy.cuda(), denoised.cuda())
    assert there.mse == pytest.approx(here.mse, rel=1e-3) and there.error == pytest.approx(here.error, rel=1e-3)
    torch.testing.assert_close(there.error_map.cpu(), here.error_map, rtol=1e-2, atol=1e-4)
