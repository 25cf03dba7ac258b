"""The network is blind to the pixel in its own place and to no other. Its posterior is that of Bayes' theorem."""

from __future__ import annotations

import math

import pytest
import torch

from noisewalk.denoiser.blindspot import (
    BlindSpotModel,
    BlindSpotNetwork,
    Covariance,
    covariance_of,
    negative_log_likelihood,
    posterior_mean,
)
from noisewalk.denoiser.corruptions import bernoulli, undersampled
from noisewalk.denoiser.losses import l2_loss
from noisewalk.denoiser.restoration import KnownFrequenciesModel, RestorationModel


@pytest.mark.parametrize("size", [(32, 32), (40, 33)])
def test_no_output_sees_its_own_pixel_and_all_others_are_seen(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    height, width = size
    network = BlindSpotNetwork(channels=3, outputs=9)
    image = torch.rand(1, 3, height, width, requires_grad=True)
    output = network(image)
    assert output.shape == (1, 9, height, width)
    for row, column in ((0, 0), (height - 1, width - 1), (height // 2, 17)):
        (gradient,) = torch.autograd.grad(output[0, :, row, column].sum(), image, retain_graph=True)
        unseen = (gradient[0].abs().sum(0) == 0).nonzero().tolist()
        assert unseen == [[row, column]]


def test_the_prediction_does_not_change_with_its_own_pixel_and_the_posterior_mean_does() -> None:
    torch.manual_seed(1)
    model = BlindSpotModel(25.0)
    noisy = torch.rand(1, 3, 32, 32)
    other = noisy.clone()
    other[0, :, 9, 20] += 0.5
    with torch.no_grad():
        predictions = [model.network(image - 0.5)[0, :, 9, 20] for image in (noisy, other)]
        means = [model(image)[0, :, 9, 20] for image in (noisy, other)]
    assert torch.equal(*predictions) and not torch.allclose(*means)


@pytest.mark.parametrize(("kind", "outputs"), [("full", 9), ("diagonal", 6), ("none", 3)])
def test_each_variant_has_its_numbers_and_a_finite_loss(kind: Covariance, outputs: int) -> None:
    torch.manual_seed(0)
    model = BlindSpotModel(25.0, kind)
    noisy = torch.rand(1, 3, 32, 32)
    assert model.network(noisy).shape[1] == outputs and model(noisy).shape == noisy.shape
    model.loss(noisy, noisy).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_covariances_are_those_of_a_triangular_root() -> None:
    full = covariance_of(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
    root = torch.tensor([[1.0, 2.0, 3.0], [0.0, 4.0, 5.0], [0.0, 0.0, 6.0]])
    torch.testing.assert_close(full, root.T @ root)
    assert covariance_of(torch.tensor([1.0, -2.0, 3.0])).tolist() == [[1, 0, 0], [0, 4, 0], [0, 0, 9]]


def test_posterior_mean_and_likelihood_match_numerical_integration() -> None:
    mean = torch.tensor([0.3, 0.6, 0.5], dtype=torch.float64)
    covariance = covariance_of(torch.tensor([0.10, 0.04, -0.03, 0.08, 0.02, 0.12], dtype=torch.float64))
    noisy = torch.tensor([0.45, 0.5, 0.62], dtype=torch.float64)
    variance = 0.1**2
    axis = torch.linspace(-0.5, 1.5, 101, dtype=torch.float64)
    x = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
    prior = torch.distributions.MultivariateNormal(mean, covariance).log_prob(x).exp()
    measured = torch.distributions.Normal(x, math.sqrt(variance)).log_prob(noisy).sum(-1).exp()
    weight = prior * measured * (axis[1] - axis[0]) ** 3
    expected = (weight[:, None] * x).sum(0) / weight.sum()
    torch.testing.assert_close(posterior_mean(noisy, mean, covariance, variance), expected, rtol=1e-6, atol=0)
    found = negative_log_likelihood(noisy[None], mean[None], covariance[None], variance)
    assert found.item() == pytest.approx(-math.log(weight.sum()), rel=1e-6)


def test_what_is_certain_stays_and_what_is_unknown_is_believed() -> None:
    noisy, mean = torch.rand(5, 3), torch.rand(5, 3)
    nothing, much = torch.zeros(5, 3, 3), 1e6 * torch.eye(3).expand(5, 3, 3)
    torch.testing.assert_close(posterior_mean(noisy, mean, nothing, 0.01), mean)
    torch.testing.assert_close(posterior_mean(noisy, mean, much, 0.01), noisy)


def test_known_frequencies_are_put_back_whatever_the_network_says() -> None:
    torch.manual_seed(0)
    clean = torch.rand(2, 1, 32, 32)
    planes = undersampled(clean, 0.1, torch.Generator().manual_seed(0))
    output = KnownFrequenciesModel(l2_loss)(planes)
    known = planes[:, 3:] > 0
    spectra = [torch.fft.fft2(picture, norm="ortho") for picture in (output, clean)]
    torch.testing.assert_close(*(spectrum[known] for spectrum in spectra), rtol=0, atol=1e-5)
    assert not torch.allclose(spectra[0][~known], spectra[1][~known], atol=1e-2)
    everything = undersampled(clean, 0.0, torch.Generator())
    torch.testing.assert_close(KnownFrequenciesModel(l2_loss)(everything), clean, rtol=0, atol=1e-5)


def test_missing_pixels_are_black_to_the_network_and_nothing_to_the_loss() -> None:
    torch.manual_seed(0)
    model = RestorationModel(l2_loss)
    clean = torch.rand(1, 3, 32, 32)
    seen, target = (bernoulli(clean, 0.5, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    torch.testing.assert_close(model(seen), model(seen.nan_to_num(0.0)))
    valid = ~target.isnan()
    expected = ((model(seen) - clean)[valid]).square().sum() / clean.numel()
    torch.testing.assert_close(model.loss(seen, target), expected)
