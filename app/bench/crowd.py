"""Busy programs, one for each core, beside which a stage can be timed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

# It also ends if its parent was killed.
_BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: sum(range(100000))"


class Crowd:
    """Processes that sleep, except within `busy`. `close` ends them."""

    def __init__(self) -> None:
        self._members = [psutil.Popen([sys.executable, "-c", _BUSY], stdin=subprocess.DEVNULL) for _ in range(_cores())]
        for member in self._members:
            member.suspend()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Within this context, each of them takes a core."""
        for member in self._members:
            member.resume()
        try:
            yield
        finally:
            for member in self._members:
                member.suspend()

    def close(self) -> None:
        """Ends the processes."""
        for member in self._members:
            member.kill()
            member.wait()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
