"""Who trains: a background thread, or the caller. The thread has a mailbox for one pair, and publishes weights."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch

from noisewalk.denoiser.inputs import PreparedPair
from noisewalk.denoiser.streams import Handover, Stream
from noisewalk.denoiser.trainer import Trainer, TrainingReport

CORES = torch.get_num_threads()  # threads of torch, before this program changes their number


@dataclass(frozen=True, eq=False)
class PublishedWeights:
    """A complete copy of the parameters to denoise with, which nobody changes any more, and where they come from.

    trained:              whether they have learned anything, now or before. Those of a fresh network have not.
    steps, skipped_steps: training steps so far, and those of them that were not finite.
    report, milliseconds: of the last frame that was trained on.
    """

    parameters: Mapping[str, torch.Tensor]
    trained: bool
    steps: int
    skipped_steps: int
    report: TrainingReport
    milliseconds: float


class TrainingFailed(RuntimeError):
    """An exception ended training. It is the cause; the message is one line."""


class Worker(Protocol):
    """Runs a Trainer for an owner. The owner calls it from one thread, and does not touch the trainer meanwhile."""

    @property
    def skipped_pairs(self) -> int:
        """Number of pairs that were never trained on, because a newer one came first."""

    @property
    def busy(self) -> bool:
        """Whether a step is being computed."""

    @property
    def failure(self) -> TrainingFailed | None:
        """What ended training, if something did."""

    def submit(self, pair: PreparedPair) -> None:
        """Takes a pair to train on; while paused, it is dropped. Raises TrainingFailed."""

    def pause(self, on: bool) -> None:
        """Ends training after the step in hand, until it may go on. Any thread may call this."""

    def latest(self) -> PublishedWeights:
        """The newest published weights, also after training has failed. Never waits for training."""

    def apply(self, change: Callable[[Trainer], None]) -> None:
        """Runs `change` on the trainer after all submitted pairs are trained on, and publishes the result."""

    def stop(self) -> None:
        """Ends training after the step in hand. May be called twice."""


class TrainerInPlace:
    """A Worker in its owner's thread: `submit` returns when the pair is trained on.

    On a CPU this is faster than a thread that the owner waits for. torch uses OpenMP there, with a team of threads
    for each calling thread. With more threads than cores, GNU's OpenMP makes them sleep after each operation.
    """

    skipped_pairs = 0
    busy = False
    failure: TrainingFailed | None = None

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._published = _snapshot(trainer, TrainingReport(float("nan"), 0), 0.0)

    def submit(self, pair: PreparedPair) -> None:
        if self._trainer.halted:
            return
        try:
            self._published = _train(self._trainer, pair)
        except Exception as error:
            self.failure = _failed(error)
            raise self.failure from error

    def pause(self, on: bool) -> None:
        self._trainer.halted = on

    def latest(self) -> PublishedWeights:
        return self._published.take()

    def apply(self, change: Callable[[Trainer], None]) -> None:
        change(self._trainer)
        self._published = _changed(self._trainer, self.latest())

    def stop(self) -> None:
        pass


class TrainerThread:
    """A Worker with a thread of its own, and on a GPU a stream of its own, beside what the owner's thread does there.

    On a CPU both threads have torch use half of the cores each until the last such Worker stops: teams of OpenMP's
    threads that together are more than the cores wait for one another, and everybody gets slower, renderers too.

    An exception of the thread is raised in the owner, at its next `submit` or `apply`.
    """

    _running: ClassVar[set[TrainerThread]] = set()

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._condition = threading.Condition()
        self._stream = Stream(trainer.device)
        self._waiting: Handover[PreparedPair] | None = None
        self._busy = False
        self._stop = False
        self._failure: BaseException | None = None
        self._skipped_pairs = 0
        self._cores = CORES if self._stream.is_separate else max(1, CORES // 2)
        _use_cores(self._cores)
        with self._stream.use():
            self._published = _snapshot(trainer, TrainingReport(float("nan"), 0), 0.0)
        self._thread = threading.Thread(target=self._run, name="trainer", daemon=True)
        self._thread.start()
        self._running.add(self)

    @property
    def skipped_pairs(self) -> int:
        return self._skipped_pairs

    @property
    def busy(self) -> bool:
        return self._busy and self._failure is None

    @property
    def failure(self) -> TrainingFailed | None:
        return None if self._failure is None else _failed(self._failure)

    def pause(self, on: bool) -> None:
        self._trainer.halted = on  # a pair that waits is taken, and none of its steps is done

    def submit(self, pair: PreparedPair) -> None:
        """Puts a pair into the mailbox, where it replaces one that still waits. Returns at once."""
        with self._condition:
            self._raise_failure()
            if self._trainer.halted:
                return
            self._skipped_pairs += self._waiting is not None
            self._waiting = Handover(pair, pair.tensors)
            self._condition.notify_all()

    def latest(self) -> PublishedWeights:
        with self._condition:
            return self._published.take()

    def apply(self, change: Callable[[Trainer], None]) -> None:
        with self._condition:
            self._wait_until_idle()
            # Training starts under this lock only: the trainer is ours until it is released.
            with self._stream.use():
                change(self._trainer)
                self._published = _changed(self._trainer, self._published.take())

    def stop(self) -> None:
        with self._condition:
            self._stop = self._trainer.halted = True
            self._condition.notify_all()
        self._thread.join()
        self._running.discard(self)
        if not self._running:
            _use_cores(CORES)

    def _wait_until_idle(self) -> None:
        # A wait without a bound cannot be interrupted by Ctrl-C on every platform.
        while (self._waiting is not None or self._busy) and self._failure is None:
            self._condition.wait(0.2)
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise _failed(self._failure) from self._failure

    def _run(self) -> None:
        try:
            _use_cores(self._cores)
            with self._stream.use():
                while (handover := self._next()) is not None:
                    published = _train(self._trainer, handover.take())
                    with self._condition:
                        self._published, self._busy = published, False
                        self._condition.notify_all()
        except BaseException as error:  # noqa: BLE001 (whatever it is, the owner must hear of it)
            with self._condition:
                self._failure = error
                self._condition.notify_all()

    def _next(self) -> Handover[PreparedPair] | None:
        with self._condition:
            while self._waiting is None and not self._stop:
                self._condition.wait()
            taken, self._waiting = self._waiting, None
            self._busy = not self._stop
            return None if self._stop else taken


def _use_cores(count: int) -> None:
    """How many threads torch has for what the calling thread computes on the CPU."""
    torch.set_num_threads(count)
    torch.get_num_threads()  # it takes effect when first asked for; until then another thread's choice would replace it


def _train(trainer: Trainer, pair: PreparedPair) -> Handover[PublishedWeights]:
    start = time.perf_counter()
    report = trainer.train(pair)
    return _snapshot(trainer, report, 1e3 * (time.perf_counter() - start))


def _failed(error: BaseException) -> TrainingFailed:
    said = str(error).strip().splitlines() or [type(error).__name__]  # Python's own MemoryError says nothing
    failed = TrainingFailed(f"training failed: {said[0]}")
    failed.__cause__ = error
    return failed


def _changed(trainer: Trainer, last: PublishedWeights) -> Handover[PublishedWeights]:
    return _snapshot(trainer, last.report, last.milliseconds)


def _snapshot(trainer: Trainer, report: TrainingReport, milliseconds: float) -> Handover[PublishedWeights]:
    parameters = {name: value.clone() for name, value in trainer.inference_parameters.items()}
    trained = trainer.started_trained or trainer.steps > 0
    published = PublishedWeights(parameters, trained, trainer.steps, trainer.skipped, report, milliseconds)
    return Handover(published, list(parameters.values()))
