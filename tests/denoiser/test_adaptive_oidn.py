"""The adaptive network starts as Open Image Denoise, may use the history, and goes back to the library's format."""

import pytest
import torch

from noisewalk.denoiser import oidn_network
from noisewalk.denoiser.features import tone_map
from noisewalk.denoiser.guide import OpenImageDenoiseError, open_image_denoise
from noisewalk.denoiser.models import build_model
from noisewalk.denoiser.planes import AGE, CHANNELS, COLOR, HISTORY, from_planes, part
from noisewalk.denoiser.precision import multiplies_bfloat16
from noisewalk.denoiser.pretrained import pretrained_weights
from noisewalk.denoiser.trainer import Trainer, TrainingSettings
from noisewalk.denoiser.tza import archives_in

pytest.importorskip("pyoidn")


def planes(height: int = 37, width: int = 51) -> torch.Tensor:
    image = torch.rand(1, CHANNELS, height, width, generator=torch.Generator().manual_seed(0))
    part(image, COLOR).mul_(8.0)
    part(image, AGE).mul_(12.0)
    return image


def test_it_starts_as_open_image_denoise_whatever_the_history():
    model = build_model("adaptive-oidn", "cpu")
    model.load_state_dict(pretrained_weights("adaptive-oidn"))
    image = planes()
    with torch.no_grad():
        ours = from_planes(model(image))[0].clamp(min=0.0)
    theirs = open_image_denoise(*(from_planes(part(image, slice(i, i + 3)))[0] for i in (0, 3, 6)))
    difference = (tone_map(ours) - tone_map(theirs)).abs()
    assert difference.mean() < (1e-2 if multiplies_bfloat16("cpu") else 1e-5)


def test_it_learns_from_the_history_too():
    model = build_model("adaptive-oidn", "cpu")
    model.load_state_dict(pretrained_weights("adaptive-oidn"))
    image = planes()
    model.loss(image, part(image, HISTORY)).backward()
    assert all(reader.weight.grad.abs().sum() > 0 for reader in model.past.values())


def test_broken_pixels_and_black_pictures_leave_it_finite():
    model = build_model("adaptive-oidn", "cpu")
    model.load_state_dict(pretrained_weights("adaptive-oidn"))
    broken = planes()
    part(broken, COLOR)[..., 3, 3], part(broken, COLOR)[..., 4, 4] = float("nan"), float("inf")
    for image in (broken, torch.zeros_like(broken)):
        with torch.no_grad():
            assert model(image).isfinite().all()


def test_the_first_steps_are_small_and_the_average_follows_them():
    trainer = Trainer(TrainingSettings("adaptive-oidn"), torch.device("cpu"))
    before = {name: value.clone() for name, value in trainer.ema_parameters.items()}
    image = planes(32, 32)
    trainer.step(image, part(image, HISTORY))
    largest = max((trainer.ema_parameters[name] - value).abs().max().item() for name, value in before.items())
    # Adam's first step is as long as the learning rate, here the hundredth part of the full one.
    assert 0 < largest < 1.01 * trainer.settings.learning_rate / trainer.network.warm_up_steps


@pytest.mark.parametrize("content", [b"", b"no archives"])
def test_a_library_without_our_network_is_one_line(tmp_path, monkeypatch, content):
    other = tmp_path / "libOpenImageDenoise_core.so"
    other.write_bytes(content)
    assert not list(archives_in(content))
    monkeypatch.setattr(oidn_network, "library_file", lambda: other)
    oidn_network.library_tensors.cache_clear()
    try:
        with pytest.raises(OpenImageDenoiseError, match="another version") as caught:
            Trainer(TrainingSettings("adaptive-oidn"), torch.device("cpu"))
        assert str(other) in str(caught.value) and "\n" not in str(caught.value)
    finally:
        oidn_network.library_tensors.cache_clear()
