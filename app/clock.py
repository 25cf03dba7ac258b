"""Time, also that of GPUs, which work on after a call returns."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import torch

Value = TypeVar("Value")


def synchronise() -> None:
    """Waits for all that GPUs have been told to do."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def timed(run: Callable[[], Value]) -> tuple[Value, float]:
    """What it returns, and the milliseconds it took, without those of what a GPU was told to do before."""
    synchronise()
    start = time.perf_counter()
    value = run()
    synchronise()
    return value, 1e3 * (time.perf_counter() - start)


class Stopwatch:
    """Milliseconds of the stages of a frame, by name."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Books the time since the last lap on a stage."""
        # A GPU works on after its calls return: without waiting, a stage's time would be booked on the next. Only what
        # this thread has begun is waited for, not what training does on a stream of its own.
        if torch.cuda.is_initialized():
            done = torch.cuda.Event()
            done.record()
            done.synchronize()
        now = time.perf_counter()
        self.laps[stage] = 1e3 * (now - self._last)
        self._last = now
