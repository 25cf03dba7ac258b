"""What the viewer reads and writes on its file thread: no window, no GL, no scene."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from noisewalk.app.flying import file_jobs
from noisewalk.app.flying.engine import MAX_ORDERS, Engine
from noisewalk.app.flying.file_jobs import MAX_WAITING, FileJobs
from noisewalk.app.flying.preferences import Preferences
from noisewalk.app.flying.viewer import Viewer
from noisewalk.app.options import WalkOptions
from noisewalk.renderer.camera_path import CameraPath, look_at, save_path
from tests.desktop import wait_for

PATH = CameraPath(tuple(look_at((x, 1, 4), (0, 1, 0), 50.0) for x in range(3)), 10.0, 2.0)


@pytest.fixture
def viewer() -> Iterator[Viewer]:
    """A viewer whose session never starts."""
    made = Viewer(Engine(WalkOptions()), Preferences())
    yield made
    assert made.close()


def test_outcomes_are_told_in_order_on_the_thread_that_asks() -> None:
    jobs, told, threads = FileJobs(), [], []

    def done(result: object) -> None:
        told.append(result)
        threads.append(threading.current_thread())

    def fails(error: Exception) -> None:
        raise error

    assert jobs.add(lambda: threading.current_thread().name, done, done)
    assert jobs.add(lambda: fails(OSError("disk full")), done, done)
    assert jobs.add(lambda: fails(KeyError("a defect")), done, done)  # is reported too, and the thread goes on
    assert jobs.add(lambda: 7, done, done)
    assert jobs.close() and not told
    jobs.finished()
    assert told == ["files", "disk full", "KeyError: 'a defect'", 7]
    assert set(threads) == {threading.current_thread()}


def test_a_job_that_hangs_holds_up_neither_new_ones_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_jobs, "JOIN_SECONDS", 0.05)
    jobs, inside, go_on, told = FileJobs(), threading.Event(), threading.Event(), []
    jobs.add(lambda: inside.set() or go_on.wait(60), told.append, told.append)
    assert inside.wait(60)
    added = [jobs.add(lambda n=n: n, told.append, told.append) for n in range(MAX_WAITING + 1)]  # type: ignore[misc]
    assert added == [True] * MAX_WAITING + [False]
    assert not jobs.close()
    go_on.set()
    wait_for(lambda: jobs.finished() or len(told) == 1 + MAX_WAITING, "the others")
    monkeypatch.undo()
    assert jobs.close() and not jobs.add(lambda: 0, told.append, told.append)


def test_what_is_left_out_is_said(viewer: Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    monkeypatch.setattr("noisewalk.app.flying.viewer.read_path", lambda file: go_on.wait(60) and PATH)
    (tmp_path / "slow.json").touch()
    viewer.load_path(tmp_path / "slow.json")
    viewer.flight.take(PATH)
    for number in range(MAX_WAITING + 2):
        viewer.save_path(tmp_path / f"{number}.json")
    assert any("left out" in text for text, _ in viewer.toasts)
    go_on.set()
    for _ in range(MAX_ORDERS + 1):
        viewer.restart_network()
    assert [message.text for message in viewer.engine.messages()] == [
        "too much is waiting to be done: this is left out"
    ]


def test_a_dropped_path_is_flown_from_the_next_tick_on(viewer: Viewer, tmp_path: Path) -> None:
    save_path(PATH, tmp_path / "p.json")
    viewer.drop([str(tmp_path / "p.json")])
    assert viewer.close() and viewer.flight.path is None  # the file thread has read it
    viewer.tick(None)
    assert viewer.flight.path and viewer.flight.path.digest() == PATH.digest()
    assert any("3 keyframes" in text for text, _ in viewer.toasts)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
@pytest.mark.parametrize("name", ["p.json", "w.safetensors"])
def test_a_pipe_is_refused_and_nobody_waits_for_it(viewer: Viewer, tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    viewer.drop([str(tmp_path / name)])
    assert [error.endswith(f"{name}: not a regular file") for error in viewer.errors] == [True]
    assert not viewer.engine.messages() and "files" not in {thread.name for thread in threading.enumerate()}
