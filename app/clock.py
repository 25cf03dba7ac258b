"""Measures time. A GPU still works after a call returns: its time is measured too."""

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
    """What `run` returns, and the milliseconds it took. Earlier work of a GPU is not counted."""
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
        """Adds the time since the last lap to `laps`, under the name of the stage."""
        # A GPU still works after its calls return. Without waiting, its time would be counted for the next stage. We
        # wait for the work of this thread only: training has a stream of its own.
        if torch.cuda.is_initialized():
            done = torch.cuda.Event()
            done.record()
            done.synchronize()
        now = time.perf_counter()
        self.laps[stage] = 1e3 * (now - self._last)
        self._last = now
