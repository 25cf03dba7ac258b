"""Faults from outside, injected for real: killed processes, full and read-only disks, a cache that others clear."""

from __future__ import annotations

import csv
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from noisewalk.app.__main__ import main
from noisewalk.app.console import Talk
from noisewalk.app.options import Output
from noisewalk.app.tools import cache
from tests.app.test_command_line import NUMBERS, numbers, same
from tests.conftest import ROOT, TINY_XML, Start, child_environment, needed

TINY = ("--width", "24", "--height", "16", "--spp", "1", "--iterations", "1", "--crop", "16", "--reference-spp", "64")
WALK = ("scene.xml", "--headless", "--frames", "8", "--reference-every", "2", *TINY)
MEASURED = ("method", "frame", "psnr", "psnr_corrected", "relmse", "tpsnr", "brightness")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> list[str]:
    """The numbers of the walk in peace."""
    folder = tmp_path_factory.mktemp("peace")
    (folder / "scene.xml").write_text(TINY_XML)
    words = [str(folder / "scene.xml"), *WALK[1:], "--quiet", "--cache-dir", str(cache_dir)]
    assert main([*words, "--out", str(folder / "run")]) == 0
    return numbers(folder / "run")


def table(file: Path, columns: tuple[str, ...]) -> list[str]:
    with open(file, newline="") as stream:
        return [row[column] for row in csv.DictReader(stream) for column in columns]


pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills, mounts and forks are POSIX's")


def kill(times: int, seed: int, folder: Path, cache_dir: Path, *words: str) -> list[Path]:
    """Runs the command in peace and killed; returns the folders where it did, the one in peace first."""
    (folder / "scene.xml").write_text(TINY_XML)
    command = [sys.executable, "-m", "tests.killed", str(times), str(seed), *words]
    environment = child_environment(cache_dir) | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{times} kills" in done.stdout
    return [folder / "straight", *sorted(folder.glob("killed-*"))]


many = pytest.mark.slow
few_or_many = pytest.mark.parametrize("times", [3, pytest.param(25, marks=many)])


@few_or_many
def test_a_walk_that_is_killed_again_and_again_ends_with_the_same_numbers(
    times: int, tmp_path: Path, cache_dir: Path
) -> None:
    words = (str(tmp_path / "scene.xml"), *WALK[1:], "--out", "run")
    straight, *killed = kill(times, 1, tmp_path, cache_dir, *words)
    assert killed and len(numbers(straight / "run")) == 8 * len(NUMBERS)
    for folder in killed:
        assert same(numbers(folder / "run"), numbers(straight / "run"))
        assert not list(folder.rglob("*.tmp"))


@many
def test_references_that_are_killed_again_and_again_are_the_same(tmp_path: Path, cache_dir: Path) -> None:
    words = ("reference", str(tmp_path / "scene.xml"), "--frames", "12", "--reference-every", "1", *TINY)
    straight, *killed = kill(15, 2, tmp_path, cache_dir, *words)
    expected = {file.name: file.read_bytes() for file in (straight / "cache" / "references").glob("*.safetensors")}
    assert killed and len(expected) == 12
    for folder in killed:
        files = (folder / "cache" / "references").glob("*.safetensors")
        assert {file.name: file.read_bytes() for file in files} == expected


@many
def test_a_comparison_that_is_killed_again_and_again_ends_with_the_same_numbers(
    tmp_path: Path, cache_dir: Path
) -> None:
    words = ("compare", str(tmp_path / "scene.xml"), "--frames", "4", *TINY, "--models", "kernel", "paper")
    straight, *killed = kill(10, 3, tmp_path, cache_dir, *words)
    expected = table(straight / "comparisons" / "001" / "rows.csv", MEASURED)
    assert killed and expected
    for folder in killed:
        last = sorted((folder / "comparisons").iterdir())[-1]
        assert table(last / "rows.csv", MEASURED) == expected


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts file systems in memory, with mount's own options; only root can."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True)
        needed(done.returncode != 0, "right to mount file systems")
        assert done.returncode == 0, done.stderr
        mounted.append(folder)
        return folder

    if sys.platform != "linux":
        pytest.skip("tmpfs is Linux's")
    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", folder], check=True)


def refused_in_one_line(code: int, told: str, file: Path, *parts: str) -> None:
    assert code == 2 and told.count("\n") == 1 and told.startswith("noisewalk: error: "), told
    assert str(file) in told and any(part in told for part in parts), told


@pytest.mark.parametrize("kilobytes", [8, 300, 3000])
def test_a_full_disk_is_one_line_and_the_walk_goes_on_when_there_is_room(
    kilobytes: int,
    disk: Callable[[str], Path],
    undisturbed: list[str],
    tmp_path: Path,
    cache_dir: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "scene.xml").write_text(TINY_XML)
    full = disk(f"size={kilobytes}k")
    words = [str(tmp_path / "scene.xml"), *WALK[1:], "--quiet", "--cache-dir", str(cache_dir), "--out"]
    code = main([*words, str(full / "run")])
    refused_in_one_line(code, capfd.readouterr().err, full / "run", "No space left", "cannot write")
    subprocess.run(["mount", "-o", "remount,size=64m", full], check=True)
    assert main([*words, str(full / "run")]) == 0
    assert same(numbers(full / "run"), undisturbed)


def test_a_cache_on_a_full_or_read_only_disk_is_one_line(
    disk: Callable[[str], Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scene.xml").write_text(TINY_XML)
    words = [str(tmp_path / "scene.xml"), *WALK[1:], "--quiet", "--out", str(tmp_path / "run"), "--cache-dir"]
    for folder in (disk("size=4k"), disk("ro")):
        code = main([*words, str(folder)])
        refused_in_one_line(code, capfd.readouterr().err, folder, "disk has 0.0 GiB", "No space", "Read-only")


def test_a_run_folder_that_cannot_be_written_is_one_line(
    disk: Callable[[str], Path], tmp_path: Path, cache_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scene.xml").write_text(TINY_XML)
    words = [str(tmp_path / "scene.xml"), *WALK[1:], "--quiet", "--cache-dir", str(cache_dir), "--out"]
    folder = disk("ro") / "run"
    refused_in_one_line(main([*words, str(folder)]), capfd.readouterr().err, folder, "Read-only file system")


def test_a_cache_that_others_clear_and_a_clock_that_jumps_change_no_number(
    undisturbed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scene.xml").write_text(TINY_XML)
    words = [str(tmp_path / "scene.xml"), *WALK[1:], "--quiet", "--cache-dir"]
    shared, over = tmp_path / "shared", threading.Event()

    def clear_again_and_again() -> None:
        while not over.wait(0.01):
            cache(shared, clear=True, talk=Talk(Output(quiet=True)))

    jumps = itertools.cycle((0.0, 1e8, -1e8, 4000.0))
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + next(jumps))
    clearing = threading.Thread(target=clear_again_and_again)
    clearing.start()
    try:
        assert main([*words, str(shared), "--out", str(tmp_path / "disturbed")]) == 0
    finally:
        over.set()
        clearing.join()
    assert same(numbers(tmp_path / "disturbed"), undisturbed)


def test_two_processes_with_one_cache_measure_the_same(undisturbed: list[str], tmp_path: Path, start: Start) -> None:
    (tmp_path / "scene.xml").write_text(TINY_XML)
    both = [start(*WALK, "--cache-dir", "both", "--out", name) for name in ("one", "two")]
    assert [child.wait(timeout=300) for child in both] == [0, 0]
    assert all(same(numbers(tmp_path / name), undisturbed) for name in ("one", "two"))
    assert not list(tmp_path.rglob("*.tmp"))
