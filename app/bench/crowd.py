"""Busy programs, one for each core, beside which a stage can be timed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Each line of its input lets it work or rest. Its input ends when its parent does, even if that is killed.
_MEMBER = """
import os, sys, threading

busy = threading.Event()

def listen():
    for line in sys.stdin:
        (busy.set if line == "work\\n" else busy.clear)()
    os._exit(0)

threading.Thread(target=listen, daemon=True).start()
while True:
    busy.wait()
    sum(range(100000))
"""


class Crowd:
    """Processes that rest, except within `busy`. `close` ends them."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", _MEMBER]
        self._members = [subprocess.Popen(command, stdin=subprocess.PIPE, text=True) for _ in range(_cores())]

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Within this context, each of them takes a core."""
        self._tell("work")
        try:
            yield
        finally:
            self._tell("rest")

    def close(self) -> None:
        """Ends the processes."""
        for member in self._members:
            member.communicate()  # closes its input

    def _tell(self, word: str) -> None:
        for member in self._members:
            assert member.stdin is not None
            member.stdin.write(f"{word}\n")
            member.stdin.flush()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
