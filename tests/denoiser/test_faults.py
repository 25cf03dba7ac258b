"""Faults of training, injected: the picture goes on, what was learned is kept, and the owner hears of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from noisewalk.denoiser.inputs import PreparedPair
from noisewalk.denoiser.online import OnlineDenoiser, Pacing
from noisewalk.denoiser.trainer import Trainer, TrainingReport, TrainingSettings
from noisewalk.denoiser.weights import load_weights
from tests.denoiser.pairs import noisy_pair, truth

QUICK = TrainingSettings(pretrained=False, iterations=1, crop=32)
CLEAN = truth(16, 16)


def frame(denoiser: OnlineDenoiser, index: int) -> PreparedPair:
    return denoiser.prepare(noisy_pair(index, CLEAN))


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.01)


def hears_of_it(denoiser: OnlineDenoiser, index: int) -> bool:
    """Whether the owner is told, at the next pair that it hands over."""
    try:
        denoiser.submit(frame(denoiser, index))
    except RuntimeError as error:
        assert str(error) in ("training failed: broken", "training failed: MemoryError", "training failed: no memory")
        return True
    return False


@pytest.mark.parametrize("pacing", ["lockstep", "free"])
@pytest.mark.parametrize("error", [ValueError("broken"), MemoryError(), torch.OutOfMemoryError("no memory\nat all")])
def test_after_an_exception_the_picture_goes_on_with_what_was_learned_before(
    pacing: Pacing, error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(trainer: Trainer, pair: PreparedPair) -> TrainingReport:
        raise error

    with OnlineDenoiser(QUICK, "cpu", pacing) as denoiser:
        denoiser.submit(frame(denoiser, 0))
        wait_for(lambda: denoiser.weights().steps == 1)
        monkeypatch.setattr(Trainer, "train", fails)
        wait_for(lambda: hears_of_it(denoiser, 1))
        for index in range(2, 5):
            assert denoiser.denoise(frame(denoiser, index)).isfinite().all()
        denoiser.save(tmp_path / "kept.safetensors")
    assert load_weights(tmp_path / "kept.safetensors")[1]["steps"] == 1


@pytest.mark.parametrize("pacing", ["lockstep", "free"])
def test_training_can_be_revived_and_goes_on_from_what_was_learned(
    pacing: Pacing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(trainer: Trainer, pair: PreparedPair) -> TrainingReport:
        raise ValueError("broken")

    with OnlineDenoiser(QUICK, "cpu", pacing) as denoiser:
        denoiser.submit(frame(denoiser, 0))
        wait_for(lambda: denoiser.weights().steps == 1)
        learned = denoiser.weights().parameters
        with monkeypatch.context() as broken:
            broken.setattr(Trainer, "train", fails)
            wait_for(lambda: hears_of_it(denoiser, 1))
        assert str(denoiser.failure) == "training failed: broken" and not denoiser.in_hand
        denoiser.revive()
        assert denoiser.failure is None and denoiser.weights().steps == 1
        assert all(torch.equal(value, learned[name]) for name, value in denoiser.weights().parameters.items())
        denoiser.submit(frame(denoiser, 2))
        wait_for(lambda: denoiser.weights().steps == 2)


@pytest.mark.parametrize("pacing", ["lockstep", "free"])
def test_while_training_is_paused_nothing_is_learned(pacing: Pacing) -> None:
    with OnlineDenoiser(QUICK, "cpu", pacing) as denoiser:
        denoiser.pause(True)
        denoiser.submit(frame(denoiser, 0))
        assert denoiser.weights().steps == 0 and not denoiser.in_hand
        denoiser.pause(False)
        denoiser.submit(frame(denoiser, 1))
        wait_for(lambda: denoiser.weights().steps == 1)


@pytest.mark.parametrize("model", ["kernel", "paper"])
def test_a_hundred_frames_of_broken_losses_teach_nothing_are_counted_and_are_over_when_they_end(model: str) -> None:
    with OnlineDenoiser(replace(QUICK, model=model), "cpu", "lockstep") as denoiser:
        denoiser.submit(frame(denoiser, 0))
        before = denoiser.weights()
        for index in range(1, 101):
            pair = frame(denoiser, index)
            denoiser.submit(replace(pair, a=torch.full_like(pair.a, 3e38), b=torch.full_like(pair.b, 3e38)))
        assert denoiser.denoise(pair).isfinite().all()
        broken = denoiser.weights()
        assert broken.skipped_steps == 100 and broken.report.loss != broken.report.loss
        assert all(value.isfinite().all() for value in broken.parameters.values())
        if model == "paper":  # the kernel model's average still nears its network, which stands still
            assert all(torch.equal(value, before.parameters[name]) for name, value in broken.parameters.items())
        denoiser.submit(frame(denoiser, 101))
        after = denoiser.weights()
        assert after.skipped_steps == 100 and after.report.loss > 0
        assert any(not torch.equal(value, before.parameters[name]) for name, value in after.parameters.items())


def test_a_step_that_takes_very_long_holds_nobody_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    go_on, begun, step = threading.Event(), threading.Event(), Trainer.step

    def slow(trainer: Trainer, image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        begun.set()
        assert go_on.wait(120)
        return step(trainer, image, target)

    monkeypatch.setattr(Trainer, "step", slow)
    with OnlineDenoiser(QUICK, "cpu", "free") as denoiser:
        denoiser.submit(frame(denoiser, 0))
        assert begun.wait(120)
        for index in range(1, 6):
            pair = frame(denoiser, index)
            denoiser.submit(pair)
            assert denoiser.denoise(pair).isfinite().all()
        denoiser.configure(iterations=QUICK.iterations, crop=QUICK.crop, learning_rate=1e-4)
        denoiser.save(tmp_path / "meanwhile.safetensors")
        assert denoiser.weights().steps == 0 and denoiser.skipped_pairs == 4
        go_on.set()
        wait_for(lambda: denoiser.weights().steps == 2)  # the pair in hand, and the newest of those that waited
