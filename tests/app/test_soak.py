"""Thousands of frames: nothing may grow from one to the next. `scripts/test -m slow -s tests/app/test_soak.py`."""

from __future__ import annotations

import csv
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from noisewalk.app.flying.engine import Engine
from noisewalk.app.options import WalkOptions
from noisewalk.renderer.backend import Backend
from tests.conftest import Start

FRAMES, SETTLED = 10_000, 1_000  # by then, everything that is needed is there
GROWTH = 0.03
TINY = ("--width", "16", "--height", "16", "--spp", "1", "--iterations", "1", "--crop", "16", "--reference-spp", "2")


@dataclass(frozen=True)
class Held:
    """What a process holds: MiB of memory, open files, threads."""

    memory: float
    files: int
    threads: int


def held(process: psutil.Process) -> Held:
    return Held(process.memory_info().rss / 2**20, process.num_fds(), process.num_threads())


def assert_constant(early: Held, late: Held) -> None:
    print(f"\nafter {SETTLED} frames: {early}\nafter {FRAMES} frames: {late}")
    assert late.memory < (1 + GROWTH) * early.memory
    assert late.files <= early.files and late.threads <= early.threads


def lines_of(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


@pytest.mark.slow
def test_a_headless_walk_holds_no_more_at_its_end_than_at_its_beginning(
    tiny_xml: Path, tmp_path: Path, start: Start
) -> None:
    words = (tiny_xml, "--headless", "--frames", str(FRAMES), "--reference-every", "1000", *TINY, "--out", "run")
    child = start(*words, "--quiet")
    process, seen = psutil.Process(child.pid), {}
    for count in (SETTLED, FRAMES - 10):  # soon after the last one, the process is gone
        while lines_of(tmp_path / "run" / "frames.csv") <= count:
            assert child.poll() is None
            time.sleep(0.05)
        seen[count] = held(process)
    assert child.wait(timeout=600) == 0
    with open(tmp_path / "run" / "frames.csv", newline="") as stream:
        memory = [float(row["memory_mb"]) for row in csv.DictReader(stream)]
    assert len(memory) == FRAMES and memory[-1] < (1 + GROWTH) * memory[SETTLED]
    assert_constant(*seen.values())


@pytest.mark.slow
def test_the_windows_engine_holds_no_more_after_many_frames(tiny_xml: Path, backend: Backend, tmp_path: Path) -> None:
    options = WalkOptions(scene=str(tiny_xml), width=16, height=16, spp=1, iterations=1, crop=16, reference_spp=64)
    new = threading.Event()
    engine = Engine(WalkOptions(**vars(options) | {"variant": backend.variant, "cache_dir": tmp_path}), new.set)
    engine.start()
    seen = {}
    for count in (SETTLED, FRAMES):
        while engine.picture is None or engine.picture.number < count:
            assert engine.status.phase != "failed", engine.status.failure
            new.wait(1.0)
            new.clear()
            engine.messages()
            engine.series.curves()
        seen[count] = held(psutil.Process())
    assert engine.close()
    assert_constant(*seen.values())
