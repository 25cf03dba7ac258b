"""The background training thread: a mailbox of one pair's planes in, published weights out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from denoiser.inputs import Halves
from denoiser.streams import Handover, Stream
from denoiser.trainer import Trainer, TrainingReport


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
        with self._condition:
            while self._waiting is None and not self._stop:
                self._condition.wait()
            halves, self._waiting = self._waiting, None
            self._busy = not self._stop
            return None if self._stop else halves


def _snapshot(trainer: Trainer, report: TrainingReport, milliseconds: float) -> Handover[PublishedWeights]:
    parameters = {name: value.clone() for name, value in trainer.average.items()}
    published = PublishedWeights(parameters, trainer.steps, trainer.skipped, report, milliseconds)
    return Handover(published, list(parameters.values()))
