"""The background training thread: a mailbox of one pair's planes in, published weights out."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

import torch

from denoiser.inputs import Halves
from denoiser.streams import Handover, Stream
from denoiser.trainer import Trainer, TrainingReport

Result = TypeVar("Result")
CORES = torch.get_num_threads()  # that torch uses before anybody changes it


def use_cores(count: int) -> None:
    """How many threads torch has for what the calling thread computes on the CPU."""
    torch.set_num_threads(count)
    # It takes effect when first asked for; until then another thread's choice would replace it.
    torch.get_num_threads()


@dataclass(frozen=True, eq=False)
class PublishedWeights:
    """A complete copy of the parameters to denoise with that nobody writes to any more, and how they came about.

    steps, skipped_steps: training steps so far, and those of them that were not finite.
    report, milliseconds: of the last frame that was trained on.
    """

    parameters: Mapping[str, torch.Tensor]
    steps: int
    skipped_steps: int
    report: TrainingReport
    milliseconds: float


class TrainerThread:
    """Owns a Trainer while it runs. All methods are for the owner's thread.

    On a GPU, training has a stream of its own, beside what the owner's thread does there.

    An exception of the thread is raised in the owner, at its next call.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._condition = threading.Condition()
        self._stream = Stream(trainer.device)
        self._waiting: Handover[Halves] | None = None
        self._calls: deque[Callable[[], None]] = deque()
        self._busy = False
        self._stop = False
        self._failure: BaseException | None = None
        self._skipped_pairs = 0
        with self._stream.use():
            self._published = _snapshot(trainer, TrainingReport(float("nan"), 0), 0.0)
        self._thread = threading.Thread(target=self._run, name="trainer", daemon=True)
        self._thread.start()

    @property
    def skipped_pairs(self) -> int:
        """Pairs that a newer one replaced before training got to them."""
        return self._skipped_pairs

    def submit(self, halves: Halves) -> None:
        """Puts a pair's planes into the mailbox, where it replaces one that still waits. Returns at once."""
        with self._condition:
            self._raise_failure()
            self._skipped_pairs += self._waiting is not None
            self._waiting = Handover(halves, halves.tensors)
            self._condition.notify_all()

    def latest(self) -> PublishedWeights:
        """The newest published weights. Never waits for training."""
        with self._condition:
            self._raise_failure()
            return self._published.take()

    def finish(self) -> PublishedWeights:
        """Waits until everything submitted is trained and published."""
        with self._condition:
            self._wait_until_idle()
            return self._published.take()

    def compute(self, function: Callable[[], Result]) -> Result:
        """What the function returns: on a CPU run by the training thread, when that is idle; on a GPU just run.

        torch's threads on a CPU are OpenMP's, a team for every thread that asks. With more of them than cores, GNU's
        OpenMP puts them to sleep after each small operation, and training takes 1.4 times as long. Where the owner's
        thread waits for training anyway, it can leave all work of torch to this one, with one team for both.
        """
        if self._stream.is_separate or threading.current_thread() is self._thread:
            return function()
        outcome: Future[Result] = Future()

        def call() -> None:
            try:
                outcome.set_result(function())
            except BaseException as error:  # noqa: BLE001 (it is the caller's)
                outcome.set_exception(error)

        with self._condition:
            self._raise_failure()
            if self._thread.is_alive() and not self._stop:
                self._calls.append(call)
                self._condition.notify_all()
                while not outcome.done() and self._failure is None:
                    self._condition.wait(0.2)
                self._raise_failure()
                return outcome.result()
        return function()

    def apply(self, change: Callable[[Trainer], None]) -> None:
        """Runs `change` on the idle trainer, after everything submitted is trained, and publishes the outcome."""
        with self._condition:
            self._wait_until_idle()
            # Training starts under this lock only: the trainer is ours until it is released.
            with self._stream.use():
                change(self._trainer)
                last = self._published.take()
                self._published = _snapshot(self._trainer, last.report, last.milliseconds)

    def stop(self) -> None:
        """Ends the thread after the iterations in hand, and joins it. May be called twice."""
        with self._condition:
            self._stop = True
            self._condition.notify_all()
        self._thread.join()

    def _wait_until_idle(self) -> None:
        # A wait without a bound cannot be interrupted by Ctrl-C on every platform.
        while (self._waiting is not None or self._busy) and self._failure is None:
            self._condition.wait(0.2)
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise RuntimeError(f"training failed: {self._failure}") from self._failure

    def _run(self) -> None:
        try:
            use_cores(CORES)
            with self._stream.use():
                while (handover := self._next()) is not None:
                    start = time.perf_counter()
                    report = self._trainer.train(handover.take())
                    published = _snapshot(self._trainer, report, 1e3 * (time.perf_counter() - start))
                    with self._condition:
                        self._published, self._busy = published, False
                        self._condition.notify_all()
        except BaseException as error:  # noqa: BLE001 (whatever it is, the owner must hear of it)
            with self._condition:
                self._failure = error
                self._condition.notify_all()

    def _next(self) -> Handover[Halves] | None:
        while True:
            with self._condition:
                while self._waiting is None and not self._stop and not self._calls:
                    self._condition.wait()
                if not self._calls:
                    halves, self._waiting = self._waiting, None
                    self._busy = not self._stop
                    return None if self._stop else halves
                call = self._calls.popleft()
            call()
            with self._condition:
                self._condition.notify_all()


def _snapshot(trainer: Trainer, report: TrainingReport, milliseconds: float) -> Handover[PublishedWeights]:
    parameters = {name: value.clone() for name, value in trainer.average.items()}
    published = PublishedWeights(parameters, trainer.steps, trainer.skipped, report, milliseconds)
    return Handover(published, list(parameters.values()))
