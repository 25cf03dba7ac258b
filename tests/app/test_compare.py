"""The comparison: its formulas, and the real command on a tiny scene."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path

import pytest
import torch

from noisewalk.app.compare.comparison import milestones, starts_of
from noisewalk.app.compare.names import distinct_names
from noisewalk.app.compare.scores import Row, flip, score_table
from noisewalk.app.errors import UsageError
from noisewalk.app.options import CONTENDERS
from noisewalk.denoiser.features import tone_map
from noisewalk.denoiser.metrics import relative_mse, temporal_noise_power, temporal_psnr
from noisewalk.denoiser.models import build_model
from noisewalk.denoiser.weights import save_weights
from tests.conftest import SAME_RUN, TINY_XML, Run, last_json

WALK = ("--frames", "3", "--width", "48", "--height", "32", "--spp", "2", "--crop", "32", "--reference-spp", "64")


def test_relative_mse_matches_hand_computed_values() -> None:
    image, reference = torch.tensor([[[1.0, 0.0, 0.3]]]), torch.tensor([[[2.0, 0.1, 0.3]]])
    assert relative_mse(image, reference) == pytest.approx((1 / 4.01 + 0.01 / 0.02) / 3)


def test_temporal_psnr_sees_flicker_and_nothing_else() -> None:
    rng = torch.Generator().manual_seed(0)
    reference, before = (torch.rand(8, 8, 3, generator=rng) for _ in range(2))
    assert temporal_psnr(reference, before, reference, before) == 100.0
    # Hand-computed: the first image is right, the second is black where it should be 1.
    black, one = torch.zeros(2, 2, 3), torch.ones(2, 2, 3)
    expected = -20 * math.log10(tone_map(torch.tensor(1.0)).item())
    assert temporal_psnr(black, one, one, one) == pytest.approx(expected, rel=1e-6)
    # An error that stays the same does not flicker.
    assert temporal_psnr(black, black, one, one) == 100.0


def test_corrected_temporal_psnr_is_that_against_a_reference_without_noise() -> None:
    rng = torch.Generator().manual_seed(0)
    truth, before = (0.3 + torch.rand(64, 64, 3, generator=rng) for _ in range(2))
    noise = [0.02 * torch.randn(64, 64, 3, generator=rng) for _ in range(4)]
    shared = [0.03 * torch.randn(64, 64, 3, generator=rng) for _ in range(2)]  # by both frames: it flickers little
    image = truth + 0.03 * torch.randn(64, 64, 3, generator=rng)
    now, last = ([frame + noise.pop() + same for same in shared] for frame in (truth, before))
    reference, previous = sum(now) / 2, sum(last) / 2
    true = temporal_psnr(image, before, truth, before)
    plain, corrected = (
        temporal_psnr(image, before, reference, previous, n) for n in (0.0, temporal_noise_power(*now, *last))
    )
    assert plain < true - 0.9 and corrected == pytest.approx(true, abs=0.15)


def test_flip_is_zero_for_the_same_picture_and_grows_with_the_error() -> None:
    picture = torch.rand(32, 32, 3, generator=torch.Generator().manual_seed(0))
    same, near, far = (flip(scale * picture, picture) for scale in (1.0, 1.1, 3.0))
    assert same == 0 and near is not None and far is not None and 0 < near < far < 1


def row(scene: str, psnr: float, bound: bool) -> Row:
    times = {"train_ms": 1.0, "denoise_ms": 1.0}
    flicker = {"tpsnr": None, "tpsnr_corrected": None, "tpsnr_is_bound": False}
    return Row(scene, 1, "kernel", psnr, psnr, bound, 0.1, 0.1, **flicker, brightness=1.0, **times)


def test_bounds_are_marked_and_left_out_of_means() -> None:
    lines = score_table([row("a", 20.0, False), row("b", 40.0, True), row("c", 22.0, False)]).splitlines()
    numbers = [line.split()[1] for line in lines if "kernel" in line]
    assert numbers == ["20.00", ">40.00", "22.00", "21.00"]


def test_the_table_has_the_last_frame() -> None:
    assert milestones(200) == [1, 10, 50, 100, 200]
    assert milestones(60) == [1, 10, 50, 60] and milestones(1) == [1]


def test_weights_go_to_the_contenders_whose_model_they_are(noisewalk: Run, tiny_xml: Path, tmp_path: Path) -> None:
    # Weights that are easy to know again: the last layer of the paper's network is 0, and so its picture is black.
    network = build_model("paper", torch.device("cpu"))
    black = {name: 0 * value if "dec_conv1c" in name else value for name, value in network.state_dict().items()}
    save_weights(tmp_path / "black.safetensors", "paper", black, {"steps": 1})
    still = (*WALK, "--width", "32", "--iterations", "0", "--weights", "black.safetensors")
    done = noisewalk("compare", tiny_xml, *still, "--models", "kernel", "paper", "--json")
    assert done.returncode == 0, done.stderr
    brightness = {row["method"]: row["brightness"] for row in last_json(done)["rows"]}
    assert brightness["paper"] == 0 and brightness["kernel"] > 0.5
    settings = json.loads((tmp_path / "comparisons" / "001" / "result.json").read_text())["settings"]
    assert settings["weights"] == "black.safetensors"

    refused = noisewalk("compare", tiny_xml, *still, "--models", "kernel", "--out", "new")
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1
    assert "black.safetensors: weights of model 'paper'" in refused.stderr and not (tmp_path / "new").exists()


def test_cold_starts_have_no_weights(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    save_weights(file, "kernel", build_model("kernel", torch.device("cpu")).state_dict(), {"steps": 1})
    starts = starts_of(list(CONTENDERS), file)
    assert [name for name, changes in starts.items() if "weights" in changes] == ["kernel", "kernel-unguided"]
    assert list(starts) == list(CONTENDERS)
    with pytest.raises(UsageError, match="none of these starts: kernel-cold, paper"):
        starts_of(["kernel-cold", "paper"], file)


def test_scenes_of_one_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = ["a/kitchen/v3.xml", "b/kitchen/v3.xml", "b/hall/scene.xml", "c/hall.xml", "c/scene.xml"]
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    monkeypatch.chdir(tmp_path / "c")
    named = ["cornell", "../a/kitchen/v3.xml", *(str(tmp_path / file) for file in files[1:4]), "."]
    names = ["cornell", "a/kitchen/v3", "b/kitchen/v3", "b/hall", "c/hall", "c"]
    assert distinct_names(named) == names
    with pytest.raises(UsageError, match=r"hall\.xml: named twice"):
        distinct_names(["hall.xml", str(tmp_path / "c" / "hall.xml")])


def test_two_files_of_one_name_have_a_page_each(noisewalk: Run, tmp_path: Path) -> None:
    for folder, radiance in (("old", "12"), ("new", "5")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "v3.xml").write_text(TINY_XML.replace('value="12"', f'value="{radiance}"'))
    still = (*WALK, "--width", "32", "--iterations", "0", "--frames", "1", "--models", "paper")
    done = noisewalk("compare", "old/v3.xml", "new/v3.xml", *still, "--json")
    assert done.returncode == 0, done.stderr
    assert {row["scene"] for row in last_json(done)["rows"]} == {"old/v3", "new/v3"}
    page = (tmp_path / "comparisons" / "001" / "report.html").read_text()
    assert "<h2>old/v3</h2>" in page and "<h2>new/v3</h2>" in page


def test_a_comparison_measures_the_same_frames_as_a_walk(noisewalk: Run, tiny_xml: Path, tmp_path: Path) -> None:
    done = noisewalk("compare", tiny_xml, *WALK, "--json", "--targets", "clean")
    assert done.returncode == 0, done.stderr
    assert "clean targets: 3 references of 64 spp, 3 of them yet to be rendered" in done.stderr
    result = last_json(done)
    folder = tmp_path / result["folder"]
    with open(folder / "rows.csv", newline="") as stream:
        rows = {(row["method"], int(row["frame"])): row for row in csv.DictReader(stream)}
    variant = json.loads((folder / "result.json").read_text())["machine"]["variant"]
    others = ("oidn", "optix") if variant.startswith("cuda") else ("oidn",)
    methods = ("noisy", *others, *CONTENDERS, *(f"{name}-clean" for name in CONTENDERS))
    assert set(rows) == {(m, f) for m in methods for f in (1, 3)}
    assert not rows["noisy", 1]["tpsnr"] and float(rows["noisy", 3]["tpsnr"]) > 10
    assert all(float(r["tpsnr_corrected"]) >= float(r["tpsnr"]) for (_, frame), r in rows.items() if frame == 3)
    assert float(rows["oidn", 3]["psnr"]) > float(rows["noisy", 3]["psnr"]) + 1
    assert all(0 < float(row["flip"]) < 1 and float(row["relmse"]) > 0 for row in rows.values())
    page = (folder / "report.html").read_text()
    assert "PSNR = -10 log10" in page and page.count("<img") == 1 + 1 + len(methods)  # curves, reference
    assert all(source.startswith("data:") for source in re.findall(r"src='([^']*)'", page)) and "http" not in page

    # A walk of the same settings shows the same pictures.
    assert noisewalk(tiny_xml, "--headless", *WALK, "--reference-every", "2").returncode == 0
    with open(tmp_path / "runs" / "tiny" / "frames.csv", newline="") as stream:
        walked = {int(row["frame"]) + 1: row for row in csv.DictReader(stream)}
    for frame in (1, 3):
        assert float(walked[frame]["psnr_noisy"]) == pytest.approx(float(rows["noisy", frame]["psnr"]), abs=SAME_RUN)
        assert float(walked[frame]["psnr_shown"]) == pytest.approx(float(rows["kernel", frame]["psnr"]), abs=SAME_RUN)

    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").touch()
    refused = noisewalk("compare", tiny_xml, *WALK, "--out", "full")
    assert refused.returncode == 2 and "full: not empty" in refused.stderr and refused.stderr.count("\n") == 1
    assert noisewalk("compare", tiny_xml, "nosuch.xml", *WALK, "--out", "new").returncode == 2
    assert not (tmp_path / "new").exists()
