"""The kernel-predicting head: against float64, and by its properties."""

from __future__ import annotations

import pytest
import torch

from denoiser import MODEL_NAMES
from denoiser.features import frame_planes
from denoiser.models import KERNEL, KernelModel, PaperModel, build_model, filter_pixels
from denoiser.unet import UNet
from renderer.frame import Frame


def planes(height: int, width: int, seed: int = 0) -> torch.Tensor:
    noise = torch.Generator().manual_seed(seed)
    color = 3 * torch.rand(height, width, 3, generator=noise)
    return frame_planes(Frame(color, color / 3, color / 3))


def test_filtering_matches_a_sum_over_neighbours_in_float64() -> None:
    image, logits = torch.rand(1, 3, 6, 7), torch.randn(1, KERNEL**2, 6, 7)
    weights, expected = torch.softmax(logits.double(), dim=1), torch.zeros(1, 3, 6, 7, dtype=torch.float64)
    for y in range(6):
        for x in range(7):
            for n in range(KERNEL**2):
                row, column = min(max(y + n // 5 - 2, 0), 5), min(max(x + n % 5 - 2, 0), 6)
                expected[0, :, y, x] += weights[0, n, y, x] * image[0, :, row, column].double()
    torch.testing.assert_close(filter_pixels(image, logits).double(), expected, rtol=1e-5, atol=1e-6)


def test_the_output_is_a_mean_of_what_was_rendered() -> None:
    model = build_model("kernel", "cpu")
    for head in (*model.kernels, model.blend):  # sharp, arbitrary kernels
        torch.nn.init.normal_(head.weight, std=1.0)
    image = planes(45, 70)
    out = model(image)
    assert out.shape == (1, 3, 45, 70)
    assert (out >= 0).all() and out.max() <= image[:, :3].max()
    even = planes(45, 70)
    even[:, :3] = 0.7
    torch.testing.assert_close(model(even), torch.full((1, 3, 45, 70), 0.7))


def test_brightness_scales_through_whatever_the_kernels_are() -> None:
    image, logits = planes(32, 32)[:, :3], torch.randn(1, KERNEL**2, 32, 32)
    torch.testing.assert_close(filter_pixels(1000 * image, logits), 1000 * filter_pixels(image, logits))


def test_an_untrained_kernel_model_blurs_and_keeps_the_mean() -> None:
    image = planes(64, 64)
    out = build_model("kernel", "cpu")(image)
    assert out.mean().item() == pytest.approx(image[:, :3].mean().item(), rel=0.05)
    assert out.std() < 0.6 * image[:, :3].std()


@pytest.mark.parametrize("name", MODEL_NAMES)
@pytest.mark.parametrize("size", [(1, 1), (3, 37), (64, 33)])
def test_any_size_and_broken_pixels_give_finite_pictures(name: str, size: tuple[int, int]) -> None:
    image = planes(*size)
    image[0, 1, 0, 0] = float("inf")
    image[0, 7, -1, -1] = float("nan")
    out = build_model(name, "cpu")(image)
    assert out.shape == (1, 3, *size) and out.isfinite().all()


def test_the_paper_model_is_the_papers_network() -> None:
    model = build_model("paper", "cpu")
    assert isinstance(model, PaperModel) and not model.both_directions and KernelModel.both_directions
    assert {n: p.shape for n, p in model.state_dict().items()} == {n: p.shape for n, p in UNet(9).state_dict().items()}
    # The trunk without its last layer (32 x 3 x 9 + 3), three kernel heads and the blend.
    kernels = 32 * 25 * 9 + 25 + 2 * (96 * 25 * 9 + 25) + 32 * 3 * 9 + 3
    assert sum(p.numel() for p in build_model("kernel", "cpu").parameters()) == 997_251 - 867 + kernels
