"""Noise2Noise learning, steps that are not finite, the thread, and weights on disk."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from noisewalk.denoiser import MODEL_NAMES, DenoiserError
from noisewalk.denoiser.features import FEATURE_VERSION
from noisewalk.denoiser.inputs import PreparedPair
from noisewalk.denoiser.metrics import psnr
from noisewalk.denoiser.models import build_model
from noisewalk.denoiser.online import DeviceError, OnlineDenoiser, Pacing, choose_device
from noisewalk.denoiser.planes import CHANNELS
from noisewalk.denoiser.trainer import Trainer, TrainingReport, TrainingSettings
from noisewalk.denoiser.weights import FORMAT, WeightsError, load_weights, save_weights, write_tensors
from noisewalk.denoiser.worker import CORES
from noisewalk.renderer.frame import Camera, Frame, NoisyPair
from tests.conftest import assert_same_parameters
from tests.denoiser.pairs import noisy_pair, prepared, truth

CPU = torch.device("cpu")
QUICK = TrainingSettings(pretrained=False, iterations=2, crop=32)


def walk(denoiser: OnlineDenoiser, frames: int) -> tuple[float, float]:
    """PSNR of the averaged noisy pair and of the denoised picture after some frames."""
    clean = truth(32, 32)
    for index in range(frames):
        pair = noisy_pair(index, clean)
        frame = denoiser.prepare(pair)
        denoiser.submit(frame)
        shown = denoiser.denoise(frame)
    return psnr((pair.a.color + pair.b.color) / 2, clean.color), psnr(shown.cpu(), clean.color)


@pytest.mark.parametrize(("model", "frames"), [("paper", 16), ("kernel", 4)])
def test_it_learns_from_noisy_targets_only(model: str, frames: int) -> None:
    with OnlineDenoiser(TrainingSettings(model, pretrained=False, learning_rate=1e-3), "cpu", "lockstep") as denoiser:
        noisy, denoised = walk(denoiser, frames)
    assert denoised > noisy + 4


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_same_seed_same_weights_other_seed_other_weights(model: str) -> None:
    outcomes = []
    for seed in (0, 0, 1):
        with OnlineDenoiser(replace(QUICK, model=model, seed=seed), "cpu", "lockstep") as denoiser:
            walk(denoiser, 3)
            outcomes.append(torch.cat([p.flatten() for p in denoiser.weights().parameters.values()]))
    assert torch.equal(outcomes[0], outcomes[1]) and not torch.equal(outcomes[0], outcomes[2])


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_broken_pixels_never_reach_the_weights(model: str) -> None:
    with OnlineDenoiser(replace(QUICK, model=model), "cpu", "lockstep") as denoiser:
        for index in range(5):
            pair = denoiser.prepare(noisy_pair(index, truth(), broken=True))
            denoiser.submit(pair)
        published = denoiser.weights()
        assert all(p.isfinite().all() for p in published.parameters.values())
        assert denoiser.denoise(pair).isfinite().all()
        assert published.report.skipped == 0


def test_a_step_that_is_not_finite_changes_nothing_and_is_counted() -> None:
    trainer = Trainer(QUICK, CPU)
    pair = prepared(noisy_pair(0, truth()))
    trainer.train(pair)
    before = {name: p.clone() for name, p in trainer.network.state_dict().items()}
    overflow = torch.full((1, 3, 32, 32), 3e38)  # finite, but its square is not
    assert trainer.step(torch.zeros(1, CHANNELS, 32, 32), overflow).isnan()
    assert all(torch.equal(before[name], p) for name, p in trainer.network.state_dict().items())
    report = trainer.train(replace(pair, b=torch.full_like(pair.b, 3e38)))
    assert trainer.skipped == report.skipped == QUICK.iterations and np.isnan(report.loss)
    assert all(torch.equal(before[name], p) for name, p in trainer.network.state_dict().items())
    assert trainer.step(torch.zeros(1, CHANNELS, 32, 32), torch.ones(1, 3, 32, 32)).isfinite()


@pytest.mark.parametrize("size", [(7, 5), (33, 70)])
def test_frames_smaller_than_the_crop_train_whole(size: tuple[int, int]) -> None:
    report = Trainer(TrainingSettings(iterations=1, crop=64), CPU).train(prepared(noisy_pair(0, truth(*size))))
    assert np.isfinite(report.loss)


def test_what_is_published_is_an_average_of_the_steps_for_the_kernel_model_only() -> None:
    for model, averaged in (("kernel", True), ("paper", False)):
        trainer = Trainer(replace(QUICK, model=model, iterations=1), CPU)
        seen = []
        for index in range(4):
            trainer.train(prepared(noisy_pair(index, truth())))
            seen.append({name: value.clone() for name, value in trainer.network.state_dict().items()})
        name = next(iter(seen[0]))
        # Steps 1 to 4 have the weight 1 - n / (n + 9). Before them comes the untrained network.
        start = dict(Trainer(replace(QUICK, model=model), CPU).network.state_dict())[name]
        expected = start.clone()
        for step, network in enumerate(seen, start=1):
            expected += 9 / (step + 9) * (network[name] - expected)
        torch.testing.assert_close(trainer.inference_parameters[name], expected if averaged else seen[-1][name])


def test_free_pacing_never_waits_and_counts_what_it_skips(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gate, entered, train = threading.Event(), threading.Event(), Trainer.train

    def blocked(self: Trainer, pair: PreparedPair) -> TrainingReport:
        entered.set()
        assert gate.wait(60)
        return train(self, pair)

    monkeypatch.setattr(Trainer, "train", blocked)
    with OnlineDenoiser(QUICK, "cpu", "free") as denoiser:
        pairs = [denoiser.prepare(noisy_pair(index, truth())) for index in range(4)]
        denoiser.submit(pairs[0])
        assert entered.wait(60)
        for pair in pairs[1:]:
            denoiser.submit(pair)
            assert denoiser.denoise(pair).isfinite().all()
        assert denoiser.weights().steps == 0
        assert denoiser.skipped_pairs == 2
        gate.set()
        denoiser.save_checkpoint(tmp_path / "c.safetensors", {})  # waits
        assert denoiser.weights().steps == 2 * QUICK.iterations


def test_lockstep_has_no_thread_and_every_pair_is_trained_when_it_is_submitted() -> None:
    threads = threading.active_count()
    with OnlineDenoiser(QUICK, "cpu", "lockstep") as denoiser:
        assert threading.active_count() == threads
        for index in range(3):
            denoiser.submit(denoiser.prepare(noisy_pair(index, truth())))
            assert denoiser.weights().steps == (index + 1) * QUICK.iterations
        assert denoiser.skipped_pairs == 0


def test_beside_a_training_thread_torch_has_half_of_the_cores_for_each_of_the_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen, done, train = [], threading.Event(), Trainer.train

    def watched(self: Trainer, pair: PreparedPair) -> TrainingReport:
        seen.append(torch.get_num_threads())
        done.set()
        return train(self, pair)

    monkeypatch.setattr(Trainer, "train", watched)
    with OnlineDenoiser(QUICK, "cpu", "free") as denoiser:
        denoiser.submit(denoiser.prepare(noisy_pair(0, truth())))
        assert done.wait(60)
        with OnlineDenoiser(QUICK, "cpu", "free"):
            pass
        assert seen == [torch.get_num_threads()] == [max(1, CORES // 2)]
    assert torch.get_num_threads() == CORES


def test_published_weights_are_never_written_to_again() -> None:
    with OnlineDenoiser(QUICK, "cpu", "lockstep") as denoiser:
        walk(denoiser, 1)
        published = denoiser.weights()
        copies = {name: p.clone() for name, p in published.parameters.items()}
        walk(denoiser, 3)
        assert denoiser.weights().steps > published.steps
        assert all(torch.equal(copies[name], p) for name, p in published.parameters.items())


@pytest.mark.parametrize("pacing", ["lockstep", "free"])
def test_a_failure_of_training_reaches_its_owner_and_loses_nothing(pacing: Pacing, tmp_path: Path) -> None:
    with OnlineDenoiser(QUICK, "cpu", pacing) as denoiser:
        walk(denoiser, 1)
        while denoiser.weights().steps == 0:
            time.sleep(0.01)
        pair = noisy_pair(0, truth())
        smaller = noisy_pair(0, truth(48, 20)).b
        with pytest.raises(RuntimeError, match="training failed"):
            denoiser.submit(denoiser.prepare(NoisyPair(pair.a, smaller, pair.camera, 8, 0)))
            denoiser.restart()  # waits
        denoiser.save(tmp_path / "kept.safetensors")
    assert load_weights(tmp_path / "kept.safetensors")[1]["steps"] == QUICK.iterations


def test_weights_leave_and_come_back(tmp_path: Path) -> None:
    file, pair = tmp_path / "w.safetensors", noisy_pair(9, truth())
    with OnlineDenoiser(QUICK, "cpu", "lockstep") as denoiser:
        walk(denoiser, 2)
        expected = denoiser.denoise(denoiser.prepare(pair))
        denoiser.save(file, {"scene": "test"})
    with OnlineDenoiser(TrainingSettings(seed=5), "cpu", "free") as other:
        about = other.load(file)
        torch.testing.assert_close(other.denoise(other.prepare(pair)), expected)
    assert about["scene"] == "test" and about["steps"] == 2 * QUICK.iterations


@pytest.mark.parametrize("model", MODEL_NAMES)
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_checkpoint_goes_on_as_if_nothing_had_happened(device: str, model: str, tmp_path: Path) -> None:
    file, clean, settings = tmp_path / "c.safetensors", truth(), replace(QUICK, model=model)
    with OnlineDenoiser(settings, device, "lockstep") as straight:
        for index in range(4):
            straight.submit(straight.prepare(noisy_pair(index, clean)))
            if index == 1:
                straight.save_checkpoint(file, {"frames": 2})
        expected = straight.weights()
    with OnlineDenoiser(settings, device, "lockstep") as resumed:
        assert resumed.load_checkpoint(file) == {"frames": 2}
        for index in (2, 3):
            resumed.submit(resumed.prepare(noisy_pair(index, clean)))
        assert resumed.weights().steps == expected.steps
        assert_same_parameters(resumed.weights().parameters, expected.parameters)


def good_weights() -> dict[str, torch.Tensor]:
    return dict(build_model("paper", CPU).state_dict())


def test_bad_weights_are_refused_with_file_and_cause(tmp_path: Path) -> None:
    good = tmp_path / "good.safetensors"
    save_weights(good, "paper", good_weights(), {"steps": 1})
    described = {
        "format": FORMAT,
        "architecture": "paper-unet",
        "feature_version": str(FEATURE_VERSION),
        "training": "{}",
    }

    def refused(name: str, cause: str) -> None:
        with pytest.raises(WeightsError, match=cause) as raised:
            load_weights(tmp_path / name)
        assert name in str(raised.value) and "\n" not in str(raised.value)

    refused("absent", "no such file")
    (tmp_path / "cut").write_bytes(good.read_bytes()[:100_000])
    refused("cut", "cut short")
    (tmp_path / "text").write_text("hello")
    refused("text", "not a safetensors file")
    write_tensors(tmp_path / "foreign", good_weights(), {})
    refused("foreign", "not a noisewalk weights file")
    write_tensors(tmp_path / "net", good_weights(), described | {"architecture": "other"})
    refused("net", "architecture 'other'")
    write_tensors(tmp_path / "features", good_weights(), described | {"feature_version": "99"})
    refused("features", "feature version 99")
    fewer = good_weights()
    fewer.pop("dec_conv1c.bias")
    write_tensors(tmp_path / "layers", fewer, described)
    refused("layers", "layers are not those")
    broken = good_weights() | {"dec_conv1c.bias": torch.full((3,), float("nan"))}
    write_tensors(tmp_path / "nan", broken, described)
    refused("nan", "not finite")
    assert not list(tmp_path.glob("*.tmp"))
    assert load_weights(good)[1]["model"] == "paper"
    with OnlineDenoiser(replace(QUICK, model="kernel"), "cpu") as denoiser:
        with pytest.raises(WeightsError, match=r"good.safetensors: weights of model 'paper'.*--model"):
            denoiser.load(good)
        with pytest.raises(DenoiserError, match="no model 'other'"):
            build_model("other", denoiser.device)


def test_unknown_devices_are_refused() -> None:
    for name in ("warp", "cuda:99"):
        with pytest.raises(DeviceError, match=name):
            choose_device(name)


@pytest.mark.gpu
def test_training_on_cuda_learns_and_matches_the_cpu_at_first() -> None:
    clean = truth()
    pair = noisy_pair(0, clean)
    losses = []
    for device in ("cpu", "cuda"):
        trainer = Trainer(TrainingSettings(iterations=1), torch.device(device))
        losses.append(trainer.train(prepared(pair, device)).loss)
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)
    with OnlineDenoiser(TrainingSettings(pretrained=False, learning_rate=1e-3), "cuda", "lockstep") as denoiser:
        noisy, denoised = walk(denoiser, 60)
    assert denoised > noisy + 4


def test_arrays_are_taken_as_well_as_tensors() -> None:
    rng = np.random.default_rng(0)
    arrays = [[rng.random((24, 40, 3)) for _ in range(4)] for _ in range(2)]
    tensors = [[torch.from_numpy(image.astype(np.float32)) for image in half] for half in arrays]
    camera = Camera(np.eye(4), 45.0, 40, 24)
    pictures = []
    for a, b in (arrays, tensors):
        with OnlineDenoiser(QUICK, "cpu", "lockstep") as denoiser:
            prepared = denoiser.prepare(NoisyPair(Frame(*a), Frame(*b), camera))
            a[0][:] = 0.0  # a renderer goes on with its memory
            denoiser.submit(prepared)
            pictures.append(denoiser.denoise(prepared))
    torch.testing.assert_close(*pictures)


def test_images_of_other_shapes_are_refused_with_what_is_wrong() -> None:
    image = torch.rand(24, 40, 3)
    for wrong in (torch.rand(24, 40, 4), torch.rand(24, 40), torch.rand(24, 41, 3)):
        pair = NoisyPair(Frame(image, image, image), Frame(image, wrong, image))
        with OnlineDenoiser(QUICK, "cpu", "lockstep") as denoiser, pytest.raises(ValueError, match="must all be"):
            denoiser.prepare(pair)
