"""Which folder a run takes. It leaves nothing in other folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from noisewalk.app.errors import UsageError
from noisewalk.app.options import Machine, ResolvedOptions, WalkOptions, resolve
from noisewalk.app.walk.run_folder import open_run
from noisewalk.renderer.bundled import scene_name
from tests.conftest import TINY_XML, Run, last_json

QUICK = ("--headless", "--frames", "1", "--width", "16", "--height", "8", "--spp", "1", "--reference-spp", "2")


def out(folder: Path) -> ResolvedOptions:
    return resolve(WalkOptions(out=folder), Machine(gpu=False, guide=False), (8, 8))


@pytest.mark.parametrize(
    ("where", "file", "name"),
    [
        ("kitchen", "scene.xml", "kitchen"),
        ("kitchen", "./scene.xml", "kitchen"),
        ("kitchen/deep", "../scene.xml", "kitchen"),
        ("kitchen/deep", "../../kitchen/v3.xml", "v3"),
        (".", "kitchen/scene.xml", "kitchen"),
        (".", "...xml", "scene"),
        (".", "v1.2.xml", "v1.2"),
        (".", "/scene.xml", "scene"),
        (".", "\udcff.xml", "?"),
        (".", "厨房/scene.xml", "厨房"),
    ],
)
def test_names_come_from_the_absolute_path(
    where: str, file: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kitchen" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / where)
    assert scene_name(Path(file)) == name


@pytest.mark.parametrize(("where", "scene"), [("kitchen", "."), ("kitchen/deep", ".."), ("kitchen", "scene.xml")])
def test_a_walk_from_the_scenes_own_folder_leaves_one_run_folder(
    where: str, scene: str, noisewalk: Run, tmp_path: Path
) -> None:
    (tmp_path / "kitchen" / "deep").mkdir(parents=True)
    (tmp_path / "kitchen" / "scene.xml").write_text(TINY_XML)
    done = noisewalk(scene, *QUICK, "--iterations", "0", "--json", cwd=tmp_path / where)
    assert done.returncode == 0, done.stderr
    assert Path(last_json(done)["run"]) == Path("runs/kitchen")
    runs = tmp_path / where / "runs"
    assert [file.name for file in runs.iterdir()] == ["kitchen"] and not list(tmp_path.rglob(".lock"))


def test_a_folder_of_somebody_elses_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").touch()
    with pytest.raises(UsageError, match="not empty, and not a run"):
        open_run(out(tmp_path), "cornell", {})
    assert [file.name for file in tmp_path.iterdir()] == ["letter.txt"]


def test_an_open_run_is_taken_and_a_closed_one_leaves_no_lock(tmp_path: Path) -> None:
    run = open_run(out(tmp_path / "run"), "cornell", {})
    with pytest.raises(UsageError, match="another process is running there"):
        open_run(out(tmp_path / "run"), "cornell", {})
    run.close()
    assert not list(tmp_path.rglob(".lock"))
    open_run(out(tmp_path / "run"), "cornell", {}).close()


def test_what_a_killed_process_left_before_its_first_frame_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "run.json.123.tmp").touch()
    (tmp_path / ".lock").touch()
    run = open_run(out(tmp_path), "cornell", {})
    run.write_state("running")
    run.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["images", "run.json"]
