"""The guide's share in what is shown goes to whichever picture is nearer to the truth, place by place."""

import pytest
import torch

from noisewalk.denoiser.blend import (
    blended,
    converging,
    cross_validated_share,
    share_of_earlier,
    tone_map_slope,
)
from noisewalk.denoiser.features import tone_map

SIZE = 64


def pictures(error_of_ours: float, error_of_guide: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Noisy halves, ours and the guide's, (2, 3, H, W) each, with independent errors, the same in both halves."""
    random = torch.Generator().manual_seed(0)
    truth = torch.rand(1, 3, SIZE, SIZE, generator=random) + 0.2
    noisy = truth * torch.empty(2, 3, SIZE, SIZE).exponential_(1.0, generator=random)
    ours, guide = (
        truth * (1 + size * torch.randn(1, 3, SIZE, SIZE, generator=random)) for size in (error_of_ours, error_of_guide)
    )
    return noisy, ours.expand(2, -1, -1, -1), guide.expand(2, -1, -1, -1)


@pytest.mark.parametrize(("ours", "guide"), [(0.02, 0.2), (0.2, 0.02), (0.1, 0.1), (0.2, 0.1)])
def test_the_share_is_the_optimal_one_for_independent_errors(ours, guide):
    share = cross_validated_share(*pictures(ours, guide))
    assert share.shape == (1, 1, SIZE, SIZE)
    # Of two independent errors, weights go as the inverse of their variances.
    assert share.mean().item() == pytest.approx(ours**2 / (ours**2 + guide**2), abs=0.12)


def test_each_place_has_a_share_of_its_own():
    noisy, better, worse = pictures(0.02, 0.3)
    left = torch.arange(SIZE) < SIZE // 2
    share = cross_validated_share(noisy, torch.where(left, better, worse), torch.where(left, worse, better))
    assert share[..., :20].mean() < 0.3 and share[..., -20:].mean() > 0.65


def test_the_mix_is_no_worse_than_either():
    for errors in ((0.05, 0.3), (0.3, 0.05), (0.15, 0.2)):
        noisy, ours, guide = pictures(*errors)
        truth = pictures(0.0, 0.0)[1]
        share = cross_validated_share(noisy, ours, guide)
        errors_after = [
            (tone_map(image) - tone_map(truth)).square().mean()
            for image in (ours + share * (guide - ours), ours, guide)
        ]
        assert errors_after[0] < 1.2 * min(errors_after[1:])


@pytest.mark.parametrize("errors", [(0.3, 0.05, 0.3), (0.3, 0.3, 0.05), (0.05, 0.3, 0.3)])
def test_of_several_opinions_the_best_is_shown(errors):
    random = torch.Generator().manual_seed(1)
    noisy, truth, _ = pictures(0.0, 0.0)
    images = [truth * (1 + error * torch.randn(1, 3, SIZE, SIZE, generator=random)) for error in errors]
    ours, *others = images
    shown, _ = blended(ours[:1], ours, noisy, [(other, other[:1]) for other in others])
    found, *before = ((tone_map(image) - tone_map(truth)).square().mean() for image in (shown, *images))
    assert found < 1.5 * min(before) and found < 0.2 * max(before)


def noise(size: float, count: int, seed: int) -> torch.Tensor:
    return 1 + size * torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("ours", "earlier"), [(0.1, 0.3), (0.2, 0.05), (0.2, 0.2), (0.2, 0.14)])
def test_the_share_of_an_earlier_picture_knows_that_two_halves_are_shown(ours: float, earlier: float) -> None:
    """Its noise is its own; that of our halves is independent, and their mean has half of its variance."""
    noisy, _, _ = pictures(0.0, 0.0)
    truth = pictures(0.0, 0.0)[1][:1]
    share = share_of_earlier(noisy, truth * noise(ours, 2, 1), truth * noise(earlier, 1, 2), torch.ones(1, 1, 1, 1))
    assert share.mean().item() == pytest.approx(ours**2 / 2 / (ours**2 / 2 + earlier**2), abs=0.12)


def test_an_earlier_picture_is_shown_where_it_was_seen_and_is_no_ghost() -> None:
    noisy, _, _ = pictures(0.0, 0.0)
    truth = pictures(0.0, 0.0)[1][:1]
    halves, earlier = truth * noise(0.3, 2, 1), truth * noise(0.1, 1, 2)
    column = torch.arange(SIZE)
    ghost, seen = (column < 20).float(), (column < 44).float().expand(1, 1, SIZE, SIZE)
    ours = halves.mean(dim=0, keepdim=True)
    before = torch.cat([(earlier + 2 * ghost) * seen, seen], dim=1)
    shown, _ = blended(ours, halves, noisy, [], before)
    errors, errors_of_ours = (
        (tone_map(image) - tone_map(truth)).square().mean(dim=(0, 1, 2)) for image in (shown, ours)
    )
    assert errors[:16].mean() < 1.1 * errors_of_ours[:16].mean()
    assert errors[30:40].mean() < 0.85 * errors_of_ours[30:40].mean()
    assert torch.equal(shown[..., 44:], ours[..., 44:])


def test_fireflies_broken_pixels_and_equal_pictures_leave_a_share():
    noisy, ours, guide = pictures(0.1, 0.1)
    noisy = noisy.clone()
    noisy[0, :, 5, 5], noisy[1, :, 9, 9], noisy[1, :, 20, 20] = float("nan"), float("inf"), 1e6
    calm = cross_validated_share(pictures(0.1, 0.1)[0], ours, guide)
    share = cross_validated_share(noisy, ours, guide)
    assert share.isfinite().all() and (share - calm).abs().mean() < 0.05
    same = cross_validated_share(noisy, ours, ours)
    assert same.isfinite().all() and same.min() >= 0.0 and same.max() <= 1.0


def test_slope_of_the_tone_map():
    v = torch.tensor([0.01, 0.5, 3.0, 100.0], dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(tone_map(v).sum(), v)
    assert torch.allclose(tone_map_slope(v.detach()), expected, rtol=1e-6)


@pytest.mark.parametrize(("noise", "error"), [(0.02, 0.2), (0.2, 0.02), (0.15, 0.1)])
def test_the_noisy_mean_is_shown_where_it_is_better_and_the_mix_is_better_than_either(noise, error):
    random = torch.Generator().manual_seed(2)
    truth = torch.rand(1, 3, SIZE, SIZE, generator=random) + 0.2
    noisy = truth * (1 + noise * torch.randn(2, 3, SIZE, SIZE, generator=random))
    # What is denoised has an error that both halves share, and a little of the noise of each.
    bias = truth * error * torch.randn(1, 3, SIZE, SIZE, generator=random)
    denoised = truth + bias + 0.3 * (noisy - truth)
    shown, halves = converging(denoised.mean(dim=0, keepdim=True), denoised, noisy)
    found, ours, mean = (
        (tone_map(image) - tone_map(truth)).square().mean()
        for image in (shown, denoised.mean(dim=0), noisy.mean(dim=0))
    )
    assert found < 1.02 * min(ours, mean) and found < 0.9 * max(ours, mean)
    assert torch.allclose(halves.mean(dim=0, keepdim=True), shown, atol=1e-5)
