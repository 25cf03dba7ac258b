"""Recorded work does the same as plain work: as CUDA graphs on a GPU, and everywhere on a tape (`tests.tape`)."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from noisewalk.denoiser.models import build_model
from noisewalk.denoiser.streams import (
    MOST_RECORDINGS,
    WARM_UP,
    Function,
    Handover,
    Recorded,
    Recorder,
    Stream,
    Tensors,
    record_cuda_graph,
    recorder_of,
)
from noisewalk.denoiser.trainer import Trainer, TrainingSettings
from tests.conftest import assert_same_parameters
from tests.denoiser.pairs import noisy_pair, prepared, truth
from tests.tape import record_on_tape

Twin = tuple[torch.device, Recorder]
QUICK = TrainingSettings(iterations=2, crop=32, learning_rate=1e-3)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def twin(request: pytest.FixtureRequest) -> Twin:
    """A device, and how to record what is done there."""
    return torch.device(request.param), record_on_tape if request.param == "cpu" else record_cuda_graph


class Recordings:
    """Records. It counts the recordings, and knows which of them still exist."""

    def __init__(self, record: Recorder) -> None:
        self._record, self._made = record, []  # type: ignore[var-annotated]

    def __call__(self, function: Function, inputs: Tensors) -> Callable[[], Tensors]:
        replay = self._record(function, inputs)
        self._made.append(weakref.ref(replay))
        return replay

    @property
    def made(self) -> int:
        return len(self._made)

    @property
    def kept(self) -> int:
        gc.collect()
        return sum(one() is not None for one in self._made)


def counted(function: Callable[[torch.Tensor], torch.Tensor]) -> tuple[Callable[..., tuple[torch.Tensor]], list[int]]:
    """The function, and how often Python has run it."""
    calls = [0]

    def counting(value: torch.Tensor) -> tuple[torch.Tensor]:
        calls[0] += 1
        return (function(value),)

    return counting, calls


def test_from_the_fourth_call_on_python_is_left_out(twin: Twin) -> None:
    device, record = twin
    function, calls = counted(lambda value: value.square().sum(dim=0) + 1)
    recorded = Recorded(function, record)
    results = [recorded(torch.full((3, 4), float(index), device=device))[0] for index in range(10)]
    for index, result in enumerate(results):  # none is overwritten by a later call
        assert torch.equal(result, torch.full((4,), 3.0 * index**2 + 1, device=device))
    assert calls == [WARM_UP + 1]


def test_each_shape_has_its_recording_and_there_are_not_too_many(twin: Twin) -> None:
    device, record = twin
    function, calls = counted(lambda value: 2 * value)
    recordings = Recordings(record)
    recorded = Recorded(function, recordings)
    for _ in range(2):
        for size in range(1, MOST_RECORDINGS + 3):
            for index in range(WARM_UP + 2):
                value = torch.full((size,), float(index), device=device)
                assert torch.equal(recorded(value)[0], 2 * value)
    assert recordings.kept == MOST_RECORDINGS < recordings.made
    assert calls[0] < 2 * (MOST_RECORDINGS + 2) * (WARM_UP + 2)


def test_what_cannot_be_recorded_goes_on_without_and_says_so(twin: Twin) -> None:
    device, record = twin
    recorded = Recorded(lambda value: (value * value.sum().item(),), record)
    value = torch.tensor([1.0, 2.0], device=device)
    for _ in range(WARM_UP):
        recorded(value)
    with pytest.warns(RuntimeWarning, match="no CUDA graphs: "):
        recorded(value)
    assert torch.equal(recorded(value + 1)[0], torch.tensor([10.0, 15.0], device=device))


def test_nothing_is_recorded_on_a_cpu() -> None:
    assert recorder_of(torch.device("cpu")) is None
    function, calls = counted(lambda value: value)
    recorded, value = Recorded(function, None), torch.ones(2)
    assert all(recorded(value)[0] is value for _ in range(8)) and calls == [8]


@pytest.mark.parametrize(("model", "pretrained"), [("paper", False), ("kernel", False), ("kernel", True)])
def test_recorded_training_is_plain_training(twin: Twin, model: str, pretrained: bool) -> None:
    """Also if learning rate, crop size or the weight of the average change, and if some steps are not finite."""
    device, record = twin
    settings = replace(QUICK, model=model, pretrained=pretrained)
    recordings = Recordings(record)
    plain, recorded = Trainer(settings, device, record=None), Trainer(settings, device, recordings)
    changes = {4: {"learning_rate": 1e-4}, 6: {"crop": 16}, 10: {"crop": 32}}
    for index in range(12):
        pair = prepared(noisy_pair(index, truth()), device)
        if index == 5:
            pair = replace(pair, b=torch.full_like(pair.b, 3e38))
        for trainer in (plain, recorded):
            trainer.settings = replace(trainer.settings, **changes.get(index, {}))  # type: ignore[arg-type]
        expected, found = plain.train(pair), recorded.train(pair)
        assert found.loss == pytest.approx(expected.loss, rel=1e-3, nan_ok=True) and found.skipped == expected.skipped
    assert recorded.steps == plain.steps and recorded.skipped == plain.skipped == QUICK.iterations
    assert recordings.made == 2
    assert_same_parameters(recorded.inference_parameters, plain.inference_parameters)


@pytest.mark.parametrize("model", ["paper", "kernel"])
def test_recorded_denoising_follows_the_weights(twin: Twin, model: str) -> None:
    device, record = twin
    network = build_model(model, device).requires_grad_(False)
    recorded = Recorded(network.with_share, record)
    for index in range(WARM_UP + 3):
        both = prepared(noisy_pair(index, truth()), device).both
        for parameter in network.parameters():
            parameter.mul_(1.01)
        for found, expected in zip(recorded(both), network.with_share(both), strict=True):
            torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_what_another_stream_takes_over_is_complete(device: str) -> None:
    there = Stream(torch.device(device))
    side = 2048 if device == "cuda" else 512
    value = torch.ones(side, side, device=device)
    with there.use():
        for _ in range(50):  # so much work that it is not finished without waiting
            value = (value @ value) / side
        value = value + 1
        handover = Handover({"value": value}, [value])
    assert torch.equal(handover.take()["value"], torch.full_like(value, 2.0))
