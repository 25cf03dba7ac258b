"""A cluster: a real scheduler and real worker processes, and the same bits as without them."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from noisewalk.app import cluster_references
from noisewalk.app.cluster import Cluster
from noisewalk.app.cluster_references import Task, render_passes
from noisewalk.app.compare.comparison import compare
from noisewalk.app.console import StopSignal, Talk
from noisewalk.app.errors import Interrupted, UsageError
from noisewalk.app.options import Output, PretrainOptions, WalkOptions
from noisewalk.app.pretrain import pretrain
from noisewalk.app.session import Session
from noisewalk.renderer.backend import Backend
from noisewalk.renderer.reference import Accumulation
from tests.conftest import Run, last_json
from tests.desktop import wait_for

PASS_SPP, PASSES = 3, 6
QUIET = Talk(Output(quiet=True))


class Machines:
    """A scheduler and two workers of one thread each, as processes."""

    def __init__(self, folder: Path) -> None:
        contact = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(contact))
        wait_for(contact.exists, "the scheduler")
        self.address = json.loads(wait_for(contact.read_text, "its address"))["address"]
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(folder))
        self.workers = [self._start("worker", self.address, *options) for _ in range(2)]

    def _start(self, role: str, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "dask", role, *words], stderr=subprocess.DEVNULL)

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    started = Machines(tmp_path)
    yield started
    started.close()


@pytest.fixture
def session(tiny_xml: Path, backend: Backend, tmp_path: Path) -> Iterator[Session]:
    cache = tmp_path / "cache"
    options = WalkOptions(scene=str(tiny_xml), width=24, height=16, variant=backend.variant, cache_dir=cache)
    opened = Session(options, pacing="lockstep")
    yield opened
    opened.close()


def views(session: Session) -> list[Accumulation]:
    """Nothing is rendered of them yet."""
    return [session.references.accumulation(session.camera(frame)) for frame in (0, 9)]


def all_passes(accumulations: list[Accumulation]) -> list[Task]:
    return [Task(accumulation, number, PASS_SPP) for accumulation in accumulations for number in range(PASSES)]


def render(session: Session, cluster: Cluster, tasks: list[Task], done: object = lambda task: None) -> None:
    with StopSignal("") as stop:
        render_passes(cluster, session, iter(tasks), done, QUIET, stop)  # type: ignore[arg-type]


def test_a_worker_that_dies_costs_no_bit(session: Session, machines: Machines) -> None:
    there, here = views(session), views(session)
    order: list[tuple[int, int]] = []

    def done(task: Task) -> None:
        order.append((there.index(task.accumulation), task.number))
        if len(order) == 2:
            machines.workers[0].kill()

    cluster = Cluster(machines.address)
    render(session, cluster, all_passes(there), done)
    cluster.close()
    # Passes of each view are added in their order, not in the order in which they arrive.
    assert all([n for v, n in order if v == view] == list(range(PASSES)) for view in (0, 1))
    for accumulation in here:
        for _ in range(PASSES):
            accumulation.add(PASS_SPP)
    for one, other in zip(there, here, strict=True):
        assert one.spp == other.spp == 2 * PASSES * PASS_SPP
        assert np.array_equal(one.reference().a, other.reference().a)
        assert np.array_equal(one.reference().b, other.reference().b)
        assert one.reference().mean.std() > 0.01


def test_what_ends_it_is_one_line_other_versions_ctrl_c_a_lost_scheduler(
    session: Session, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(machines.address)
    with monkeypatch.context() as patch:
        patch.setattr(cluster_references, "renderer_versions", lambda: (("mitsuba", "2.0.0"),))
        with pytest.raises(UsageError, match=r"no worker can be used: tcp://.*: mitsuba 3.*, not 2\.0\.0"):
            render(session, cluster, all_passes(views(session)))
    with StopSignal("") as stop, pytest.raises(Interrupted):

        def stop_now(task: Task) -> None:
            stop.requested = True

        render_passes(cluster, session, iter(all_passes(views(session))), stop_now, QUIET, stop)
    started = views(session)

    def stop_there(task: Task) -> None:
        machines.scheduler.kill()

    with pytest.raises(UsageError, match="the scheduler is gone; what is done stays done"):
        render(session, cluster, all_passes(started), stop_there)
    assert sum(view.passes for view in started) > 0
    cluster.close()
    with pytest.raises(UsageError, match=f"cluster {machines.address}: no scheduler answers there"):
        Cluster(machines.address)


def test_the_command_line_leaves_the_same_files(tiny_xml: Path, noisewalk: Run, tmp_path: Path) -> None:
    words = ("reference", tiny_xml, "--width", "24", "--height", "16", "--frames", "30", "--reference-every", "10")
    for folder, where in (("here", ()), ("there", ("--cluster", "local:2"))):
        ran = noisewalk(*words, "--reference-spp", "16", "--cache-dir", folder, *where, "--json")
        assert ran.returncode == 0 and "Traceback" not in ran.stderr, ran.stderr
        assert last_json(ran)["references"] == 4
    here, there = (sorted((tmp_path / folder / "references").glob("*")) for folder in ("here", "there"))
    assert [file.name for file in here] == [file.name for file in there] and len(here) == 4
    for one, other in zip(here, there, strict=True):
        assert all(np.array_equal(value, load_file(other)[name]) for name, value in load_file(one).items())
    again = noisewalk(*words, "--reference-spp", "16", "--cache-dir", "there", "--cluster", "local:0")
    assert again.returncode == 2 and "local:N takes a number of workers" in again.stderr


def test_rooms_and_walks_are_the_same(machines: Machines, backend: Backend, tiny_xml: Path, tmp_path: Path) -> None:
    rooms = PretrainOptions(tmp_path / "w", rooms=2, size=32, steps=1, device="cpu", variant=backend.variant)
    second = tmp_path / "second.xml"
    second.write_text(tiny_xml.read_text().replace('"fov" value="', '"fov" value="1'))
    walk = WalkOptions(
        scene=str(tiny_xml), width=32, height=32, spp=1, iterations=1, crop=32, reference_spp=16, frames=2
    )
    walk = replace(walk, variant=backend.variant, device="cpu")
    files, tables = [], []
    for name, cluster in (("here", None), ("there", machines.address)):
        folder = tmp_path / name
        assert pretrain(replace(rooms, data=folder / "rooms"), QUIET, cluster) == 0
        files.append({file.name: file.read_bytes() for file in (folder / "rooms").glob("room-*.safetensors")})
        options = replace(walk, out=folder / "compared", cache_dir=folder)
        assert compare(options, [str(tiny_xml), str(second)], ["paper"], QUIET, cluster) == 0
        with open(folder / "compared" / "rows.csv", newline="") as stream:
            rows = [{key: row[key] for key in row if not key.endswith("_ms")} for row in csv.DictReader(stream)]
        tables.append(rows)
        assert (folder / "compared" / "report.html").stat().st_size > 10_000
    assert files[0] == files[1] and len(files[0]) == 2
    assert tables[0] == tables[1] and len({row["scene"] for row in tables[0]}) == 2
