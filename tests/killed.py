"""A command that is killed (SIGKILL) at random moments and begun again, until it has been killed often enough.

Run as a program: `python -m tests.killed KILLS SEED WORD...`, in an empty folder. It first runs `noisewalk WORD...` in
a folder `straight` in peace, which tells how long that takes; then in `killed-0`, `killed-1`, ..., each of which goes
on until it is complete. Each folder has a cache of its own, so that references are killed as well.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

# Imported before the forks, so that kills hit the command and not its imports. None of them starts a thread.
import matplotlib.figure
import mitsuba

import noisewalk.app.compare.comparison
import noisewalk.app.walk.headless  # noqa: F401
from noisewalk.app.__main__ import main
from noisewalk.renderer.backend import choose_backend

LONGER = 1.2  # than the command takes by itself: some attempts reach its end


def begin(words: list[str], folder: Path) -> int:
    """Starts the command in a child process with that working directory; returns its id."""
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        code = 1
        try:
            code = main([*words, "--cache-dir", "cache", "--quiet"])
        finally:
            os._exit(code)
    return child


def prepared(folder: Path, memory: Path) -> Path:
    """A working directory, in whose cache LLVM is proven already."""
    (folder / "cache").mkdir(parents=True)
    if memory.exists():
        shutil.copy(memory, folder / "cache")
    return folder


def killed(child: int, seconds: float) -> bool:
    """Kills the child after so many seconds, unless it has come to its end, which must be a good one."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert os.waitstatus_to_exitcode(status) == 0
            return False
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def run(kills: int, seed: int, words: list[str]) -> None:
    """Prints how often it killed, and into how many complete folders."""
    here, moments = Path.cwd(), random.Random(seed)
    assert mitsuba and matplotlib
    choose_backend("auto", here)
    begun = time.monotonic()
    assert not killed(begin(words, prepared(here / "straight", here / "llvm.json")), 600.0)
    longest = LONGER * (time.monotonic() - begun)
    done = folders = 0
    while done < kills:
        folder = prepared(here / f"killed-{folders}", here / "llvm.json")
        while done < kills and killed(begin(words, folder), moments.uniform(0.0, longest)):
            done += 1
        if done == kills:
            assert not killed(begin(words, folder), 600.0)
        folders += 1
    print(f"{done} kills, {folders} folders")


if __name__ == "__main__":
    run(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
