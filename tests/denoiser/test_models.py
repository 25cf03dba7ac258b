"""The kernel-predicting head, compared with float64, and its properties."""

from __future__ import annotations

import pytest
import torch

from noisewalk.denoiser import MODEL_NAMES
from noisewalk.denoiser.kernel_prediction import (
    KERNEL,
    KernelModel,
    filter_pixels,
    firefly_limit,
    without_fireflies,
)
from noisewalk.denoiser.models import build_model
from noisewalk.denoiser.paper import PaperModel
from noisewalk.denoiser.planes import AGE, COLOR, GUIDE, HISTORY, NORMAL, PAST, frame_planes, part
from noisewalk.denoiser.unet import UNet
from noisewalk.renderer.frame import Frame


def planes(height: int, width: int, seed: int = 0, context: bool = False) -> torch.Tensor:
    """Planes of a frame. They may have a guide, and a history in half of the frame."""
    noise = torch.Generator().manual_seed(seed)
    color = 3 * torch.rand(height, width, 3, generator=noise)
    frame = Frame(color, color / 3, color / 3)
    if not context:
        return frame_planes(frame)
    seen = torch.cat([3 * torch.rand(height, width, 3, generator=noise), torch.full((height, width, 1), 7.0)], dim=-1)
    seen[: height // 2] = 0.0
    return frame_planes(frame, 3 * torch.rand(height, width, 3, generator=noise), seen)


def test_filtering_matches_a_sum_over_neighbours_in_float64() -> None:
    image, logits = torch.rand(1, 3, 6, 7), torch.randn(1, KERNEL**2, 6, 7)
    weights, expected = torch.softmax(logits.double(), dim=1), torch.zeros(1, 3, 6, 7, dtype=torch.float64)
    for y in range(6):
        for x in range(7):
            for n in range(KERNEL**2):
                row, column = min(max(y + n // 5 - 2, 0), 5), min(max(x + n % 5 - 2, 0), 6)
                expected[0, :, y, x] += weights[0, n, y, x] * image[0, :, row, column].double()
    torch.testing.assert_close(filter_pixels(image, logits).double(), expected, rtol=1e-5, atol=1e-6)


def sharp_model() -> KernelModel:
    """A model with large, arbitrary kernels and shares."""
    model = KernelModel()
    for head in (*model.own_kernels, *model.history_kernels, model.blend):
        torch.nn.init.normal_(head.weight, std=1.0)
    return model


@pytest.mark.parametrize("context", [False, True])
def test_the_output_is_a_mean_of_what_was_rendered(context: bool) -> None:
    model, image = sharp_model(), planes(45, 70, context=context)
    out = model(image)
    assert out.shape == (1, 3, 45, 70)
    brightest = max(part(image, channels).max() for channels in (COLOR, GUIDE, HISTORY))
    assert (out >= 0).all() and out.max() <= brightest + 1e-5
    even = planes(45, 70, context=context)
    even[:, COLOR] = 0.7
    if context:
        even[:, GUIDE], even[:, HISTORY] = 0.7, 0.7
        even[:, PAST, :22] = 0.0  # not seen before
    torch.testing.assert_close(model(even), torch.full((1, 3, 45, 70), 0.7))


def test_what_was_not_seen_and_a_guide_that_is_not_there_have_no_share() -> None:
    model, image = sharp_model(), planes(32, 32, context=True)
    image[:, AGE] = 0.0
    even = image.clone()
    even[:, COLOR], even[:, GUIDE] = 0.5, 0.0
    torch.testing.assert_close(model(even), torch.full((1, 3, 32, 32), 0.5))


def test_fireflies_are_held_back_by_the_guide_nearby_and_by_nothing_where_there_is_none() -> None:
    image, guide = torch.full((1, 3, 9, 9), 0.5), torch.full((1, 3, 9, 9), 0.4)
    image[0, :, 2, 2] = torch.tensor([40.0, 20.0, 10.0])  # a firefly
    guide[0, :, 6, 6] = 5.0  # a lamp, one pixel away from a bright sample
    image[0, :, 6, 7] = 9.0
    guide[0, :, 0, 8] = 0.0  # a black pixel of a guide that is not black elsewhere
    held = without_fireflies(image, firefly_limit(guide))
    expected = image.clone()
    expected[0, :, 2, 2] = torch.tensor([0.81, 0.405, 0.2025])  # 2 x 0.4 + 0.01, and the same hue
    torch.testing.assert_close(held, expected)
    unlimited = firefly_limit(torch.zeros_like(guide))
    assert torch.equal(without_fireflies(image, unlimited), image)
    assert torch.equal(without_fireflies(1e-3 * image, unlimited), 1e-3 * image)


def test_a_firefly_changes_what_is_shown_by_no_more_than_the_guide_allows() -> None:
    image = planes(32, 32, context=True)
    burnt = image.clone()
    burnt[0, COLOR, 16, 16] = 1e6
    model = sharp_model()
    assert (model(burnt) - model(image)).abs().max() < 10.0


def test_a_lamp_does_not_bleed_into_its_surroundings() -> None:
    clean = torch.full((32, 32, 3), 0.1)
    clean[10:14, 10:14] = 50.0
    surroundings = torch.ones(32, 32, dtype=torch.bool)
    surroundings[9:15, 9:15] = False  # without the pixels next to it, where the guide may be off by one
    torch.manual_seed(0)
    shown = KernelModel()(frame_planes(Frame(clean, clean, clean), clean))[0]  # an untrained model blurs
    assert shown[:, surroundings].max() <= 2 * 0.1 + 0.01
    assert shown[:, ~surroundings].max() > 10.0


def test_no_share_ever_loses_its_gradient() -> None:
    model, image = KernelModel(), planes(32, 32, context=True)
    torch.nn.init.constant_(model.blend.bias[-1:], 1e3)  # all the share that the guide can get
    model.loss(image, part(image, COLOR)).backward()
    share = model.with_share(image)[1]
    assert share.max() < 0.97
    assert all(head.weight.grad.abs().max() > 0 for head in model.own_kernels)


def test_the_surest_guide_does_not_keep_the_kernels_from_learning() -> None:
    clean = torch.full((32, 32, 3), 0.5)
    noisy = clean * torch.empty_like(clean).exponential_(generator=torch.Generator().manual_seed(0))

    def pull(guide: torch.Tensor | None) -> float:
        """The gradient that the kernels get."""
        torch.manual_seed(0)
        model = KernelModel()
        torch.nn.init.constant_(model.blend.bias[-1:], 1e3)
        frame = frame_planes(Frame(noisy, clean, clean), guide)
        model.loss(frame, clean.permute(2, 0, 1)[None]).backward()
        return sum(head.weight.grad.norm().item() for head in model.own_kernels)

    assert pull(clean) > 0.2 * pull(None)


def test_brightness_scales_through_whatever_the_kernels_are() -> None:
    image, logits = part(planes(32, 32), COLOR), torch.randn(1, KERNEL**2, 32, 32)
    torch.testing.assert_close(filter_pixels(1000 * image, logits), 1000 * filter_pixels(image, logits))


def test_an_untrained_kernel_model_blurs_and_keeps_the_mean() -> None:
    image = planes(64, 64)
    out = build_model("kernel", "cpu")(image)
    assert out.mean().item() == pytest.approx(part(image, COLOR).mean().item(), rel=0.05)
    assert out.std() < 0.6 * part(image, COLOR).std()


@pytest.mark.parametrize("name", MODEL_NAMES)
@pytest.mark.parametrize("size", [(1, 1), (3, 37), (64, 33)])
def test_any_size_and_broken_pixels_give_finite_pictures(name: str, size: tuple[int, int]) -> None:
    image = planes(*size)
    image[:, COLOR][0, 1, 0, 0] = float("inf")
    image[:, NORMAL][0, 1, -1, -1] = float("nan")
    out = build_model(name, "cpu")(image)
    assert out.shape == (1, 3, *size) and out.isfinite().all()


def test_the_paper_model_is_the_papers_network() -> None:
    model = build_model("paper", "cpu")
    assert isinstance(model, PaperModel) and not model.both_directions and KernelModel.both_directions
    assert {n: p.shape for n, p in model.state_dict().items()} == {n: p.shape for n, p in UNet(9).state_dict().items()}
    # The trunk with seven more inputs and without its last layer (32 x 3 x 9 + 3), five kernel heads and the blend.
    trunk = 997_251 - 867 + 7 * 9 * (48 + 64)
    kernels = 2 * (32 * 25 * 9 + 25) + 3 * (96 * 25 * 9 + 25) + 32 * 6 * 9 + 6
    assert sum(p.numel() for p in build_model("kernel", "cpu").parameters()) == trunk + kernels
