"""`noisewalk study`: the pictures, what variants learn from, and the command line."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import poisson

from noisewalk.app.__main__ import main
from noisewalk.app.console import Talk
from noisewalk.app.options import Output, StudyOptions
from noisewalk.app.study import rooms
from noisewalk.app.study.classic import bm3d, unbiased_inverse
from noisewalk.app.study.draws import captured, clean, itself, noisy, seeded
from noisewalk.app.study.pictures import TO_TEST, TO_TRAIN, Pictures, image_files, photographs, read_pictures, split
from noisewalk.app.study.slices import brains, phantom
from noisewalk.app.study.table import ROWS, STUDIES, Study, impulses
from noisewalk.app.study.training import NEVER, measure
from noisewalk.denoiser.corruptions import gaussian
from noisewalk.renderer.scene import Scene
from tests.app.test_command_line import refused
from tests.conftest import Start

QUIET = Talk(Output(quiet=True))
TINY = ("--steps", "2", "--crop", "32", "--features", "4")


def white(picture: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A corruption."""
    return gaussian(picture, 25.0, generator)


def tiny_pictures(channels: int, side: int = 40) -> Pictures:
    """Smooth ones, in memory."""
    ramp = torch.linspace(0, 1, side).expand(channels, side, side)
    return Pictures([ramp, ramp.transpose(1, 2)], [ramp.flip(-1)], "ramps")


def of_tiny_pictures(row: Study) -> Study:
    channels = 22 if row.name == "offline" else row.channels
    return replace(row, pictures=lambda options, crop, talk, check: tiny_pictures(channels), classic={})


@pytest.mark.parametrize("row", [*ROWS, impulses(0.5)], ids=lambda row: row.name)
def test_each_study_runs_by_name_in_python(row: Study) -> None:
    done = measure(of_tiny_pictures(row), StudyOptions(row.name, steps=1, crop=32, features=4), QUIET)
    assert done.state == "complete" and [len(points) for points in done.curves.values()] == [1] * len(row.variants)
    assert {"input", *(variant.name for variant in row.variants)} == set(done.psnr)
    assert all(0 < value <= 100 for value in done.psnr.values())
    assert set(row.paper) <= {*done.psnr, *row.classic}


def test_a_seed_repeats_a_study_and_another_does_not() -> None:
    row = of_tiny_pictures(STUDIES["gaussian"])
    options = [StudyOptions("gaussian", steps=2, crop=32, features=4, seed=seed) for seed in (5, 5, 6)]
    found = [measure(row, one, QUIET).curves for one in options]
    assert found[0] == found[1] != found[2]


def test_all_variants_see_the_same_and_the_targets_are_independent() -> None:
    pictures = tiny_pictures(3)

    def crops(generator: torch.Generator) -> torch.Tensor:
        return pictures.crops(2, 32, generator)

    draws = noisy(white), clean(white), itself(white)
    (seen, other), (seen_too, right), (same, own) = (draw(crops, seeded(1, 2)) for draw in draws)
    assert torch.equal(seen, seen_too) and torch.equal(seen, same) and torch.equal(same, own)
    noise = torch.stack([(seen - right).flatten(), (other - right).flatten()])
    assert abs(torch.corrcoef(noise)[0, 1].item()) < 0.06
    assert not torch.equal(noisy(white)(crops, seeded(1, 3))[0], seen)


@pytest.mark.parametrize(("scenes", "captures", "fixed"), [(3, 4, True), (3, 4, False), (6, 2, False)])
def test_a_budget_of_captures_is_kept(scenes: int, captures: int, fixed: bool) -> None:
    pictures, taken = tiny_pictures(3), set()

    def crops(generator: torch.Generator) -> torch.Tensor:
        return pictures.crops(1, 8, generator)

    def name(image: torch.Tensor) -> float:
        return image.double().sum().item()

    draw = captured(white, scenes, captures, fixed)
    for step in range(150):
        seen, target = draw(crops, seeded(7, step))
        assert not torch.equal(seen, target)
        taken |= {name(seen)} if fixed else {name(seen), name(target)}
    assert len(taken) == (scenes if fixed else scenes * captures)


def test_photographs_to_train_on_are_never_tested_on() -> None:
    assert not {*TO_TRAIN} & {*TO_TEST} and {"motorcycle_left.png", "motorcycle_right.png"} <= {*TO_TRAIN}
    found = photographs(StudyOptions("gaussian"), 64, QUIET, NEVER.check)
    assert len(found.train) == len(TO_TRAIN) and len(found.test) == len(TO_TEST)
    assert all(picture.dtype == torch.uint8 and picture.shape[0] == 3 for picture in (*found.train, *found.test))


@pytest.mark.parametrize(("count", "tested"), [(2, 1), (5, 1), (24, 4), (300, 23)])
def test_a_folder_is_split_without_overlap(count: int, tested: int) -> None:
    numbers = [torch.tensor([float(number)]) for number in range(count)]
    parts = split(numbers, "numbers")
    assert len(parts.test) == tested and len(parts.train) == count - tested
    assert not {float(one) for one in parts.train} & {float(one) for one in parts.test}


def picture_folder(folder: Path) -> Path:
    """Pictures of all kinds, and some that are of no use."""
    (folder / "below").mkdir(parents=True)
    random = np.random.default_rng(0)
    colors = random.integers(0, 256, (48, 40, 3), np.uint8)
    Image.fromarray(colors).save(folder / "a.png")
    Image.fromarray(colors).save(folder / "below" / "b.JPG", format="JPEG")
    Image.fromarray(np.full((40, 40), 257 * 128, np.uint16)).save(folder / "gray16.png")
    Image.fromarray(colors[:10, :10]).save(folder / "small.png")
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:900])
    (folder / "no.jpeg").write_text("no picture")
    (folder / "readme.txt").write_text("not looked at")
    return folder


def test_pictures_that_cannot_be_read_are_named_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = picture_folder(tmp_path / "pictures")
    found = read_pictures(image_files(folder), 32, QUIET)
    assert [tuple(picture.shape) for picture in found] == [(3, 48, 40), (3, 48, 40), (3, 40, 40)]
    assert found[2].unique().tolist() == [128], "16 bits are scaled, not cut off"
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 3 and all("left out" in line for line in told)
    assert ["cut.png" in told[0], "no.jpeg" in told[1], "small.png" in told[2], "10x10" in told[2]] == [True] * 4


def test_a_volume_is_read_and_its_test_slices_are_others(tmp_path: Path) -> None:
    import nibabel

    random = np.random.default_rng(0)
    for number in range(3):
        volume = random.random((20, 24, 30), np.float32) * 1000
        nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / f"v{number}.nii.gz")
        found = brains(StudyOptions("mri", volumes=tmp_path), 32, QUIET, NEVER.check)
        assert all(one.shape == (1, 32, 32) and one.min() >= 0 and one.max() <= 1 for one in found.train)
        assert not any(torch.equal(one, other) for one in found.train for other in found.test)
        assert found.train and found.test


def test_phantoms_differ_and_lie_in_the_dark() -> None:
    one, other = phantom(0, 48), phantom(1, 48)
    assert not torch.equal(torch.stack(one), torch.stack(other))
    middle = one[len(one) // 2]
    assert middle.shape == (1, 48, 48) and middle[0, 0].max() == 0 and middle.std() > 0.1


def test_a_room_has_independent_halves_and_a_clean_picture(tiny_scene: Scene) -> None:
    room = rooms.render_room(tiny_scene, 24, 0, 0)[None]
    seen, other, right = rooms.seen(room, seeded(0)), rooms.other_half(room, seeded(0)), rooms.clean(room)
    assert seen.shape == (1, 16, 24, 24) and other.shape == right.shape == (1, 3, 24, 24)
    noise = [(rooms.displayed(half) - rooms.displayed(right)).flatten() for half in (seen[:, :3], other)]
    assert all(one.std() > 0 for one in noise)
    assert noise[0].std().item() == pytest.approx(noise[1].std().item(), rel=0.5)
    assert torch.corrcoef(torch.stack(noise))[0, 1] < 0.6  # they share the clean picture's own noise


def test_the_unbiased_inverse_of_anscombes_transform() -> None:
    counts = np.arange(400)
    for photons in (1.0, 5.0, 30.0, 100.0):
        expectation = (poisson.pmf(counts, photons) * 2 * np.sqrt(counts + 3 / 8)).sum()
        assert unbiased_inverse(torch.tensor(expectation)).item() == pytest.approx(photons, abs=0.02)


def test_bm3d_denoises() -> None:
    right = tiny_pictures(3, 32).test[0][None]
    seen = white(right, seeded(0))
    assert (bm3d(seen, 25.0) - right).square().mean() < 0.1 * (seen - right).square().mean()


def test_the_command_leaves_its_folder_and_repeats_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = picture_folder(tmp_path / "pictures")
    monkeypatch.chdir(tmp_path)
    words = ["study", "bernoulli", *TINY, "--images", str(folder), "--json"]
    assert main(words) == 0
    told = capsys.readouterr().err
    assert "33.17" in told and "to come out" in told and "--steps 300000 --batch 4 --crop 256 --features 48" in told
    found = json.loads((tmp_path / "studies" / "001" / "result.json").read_text())
    assert found["state"] == "complete" and found["settings"] == {
        "steps": 2,
        "crop": 32,
        "batch": 4,
        "features": 4,
        "seed": 0,
    }
    assert found["paper_psnr"]["clean"] == 33.01 and found["seconds_at_paper_scale"] > found["seconds"]
    assert Image.open(tmp_path / "studies" / "001" / "curves.png").width > 500
    assert Image.open(tmp_path / "studies" / "001" / "strip.png").width > 5 * 64
    assert main([*words, "--quiet"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["curves"] == found["curves"] and again["folder"] == str(Path("studies/002"))


def test_a_sweep_trains_for_each_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = picture_folder(tmp_path / "pictures")
    monkeypatch.chdir(tmp_path)
    assert main(["study", "impulse", "--sweep", *TINY, "--images", str(folder), "--json"]) == 0
    out, told = capsys.readouterr()
    names = [f"impulse-{percent}" for percent in (10, 30, 50, 70, 90)]
    assert [one["study"] for one in json.loads(out)["studies"]] == names and "figure 5" in told
    assert "PSNR in dB, the paper's in brackets" in told
    assert all((tmp_path / "studies" / "001" / name / "strip.png").exists() for name in names)
    assert Image.open(tmp_path / "studies" / "001" / "curves.png").width > 500


def test_ctrl_c_keeps_what_is_measured(tmp_path: Path, start: Start) -> None:
    words = ("study", "mri", *TINY[2:], "--steps", "240", "--out", "stopped", "--json")
    child = start(*words)
    file, deadline = tmp_path / "stopped" / "result.json", time.monotonic() + 240
    while not file.exists():
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    out, told = child.communicate(timeout=240)
    assert child.returncode == 130 and "Traceback" not in told, told
    found = json.loads(file.read_text())
    assert found["state"] == "interrupted" and 40 <= found["curves"]["noisy"][-1][0] < 240
    assert (tmp_path / "stopped" / "strip.png").exists() and json.loads(out)["curves"] == found["curves"]


def test_studies_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study"]) == 0
    listed = capsys.readouterr().out
    assert all(f"{name} " in listed for name in (*STUDIES, "all", "losses", "targets"))


@pytest.mark.parametrize("package", ["skimage", "nibabel"])
def test_a_missing_package_is_one_line(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    words = {"skimage": ["gaussian"], "nibabel": ["mri", "--volumes", "."]}[package]
    refused(main(["study", *words, *TINY, "--quiet"]), *capsys.readouterr(), package, "scripts/setup study")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["nothing"], ("'nothing'", "gaussian, brown")),
        (["losses"], ("noisewalk variants SCENE",)),
        (["text", "--sweep"], ("--sweep", "impulse")),
        (["text", "--images", "absent"], ("absent: no such folder",)),
        (["text", "--images", "empty"], ("empty: 0 pictures",)),
        (["mri", "--volumes", "absent"], ("absent: no such folder",)),
        (["mri", "--volumes", "empty"], ("empty: no volume",)),
        (["text", "--out", "full"], ("full: not empty",)),
        (["text", "--steps", "0"], ("0 is not between",)),
        (["gaussian", "--crop", "1024"], ("smaller than a crop of 1024",)),
    ],
)
def test_bad_words_are_one_line_and_code_2(
    words: Sequence[str],
    parts: Sequence[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    code = main(["study", *words, "--quiet"])
    out, told = capsys.readouterr()
    refused(code, out, "".join(line for line in told.splitlines(True) if "left out" not in line), *parts)
