"""`noisewalk denoise`: what it learns, what it leaves, what stops it."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
import torch

from noisewalk.denoiser.weights import load_weights
from tests.app.denoise.conftest import RenderedShot, Run, channels, color, layers, pixels, write, write_mitsuba
from tests.conftest import Start, child_environment

QUICK = ("--iterations", "1", "--guide", "none")


def exrs(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.exr"))


def same_pictures(one: Path, other: Path) -> bool:
    """Bit by bit; GPUs add up in any order."""
    tolerance = 1e-3 if torch.cuda.is_available() else 0.0
    assert [file.name for file in exrs(one)] == [file.name for file in exrs(other)] != []
    pairs = zip(exrs(one), exrs(other), strict=True)
    return all(torch.allclose(color(a), color(b), rtol=tolerance, atol=tolerance) for a, b in pairs)


def test_a_frame_that_is_there_is_not_made_again(denoise: Run, shot: RenderedShot, tmp_path: Path) -> None:
    words = [*write_mitsuba(tmp_path / "in", shot), "-o", tmp_path / "out", *QUICK, "--json"]
    code, out, _ = denoise(*words)
    assert code == 0 and json.loads(out)["written"] == 2
    first, second = exrs(tmp_path / "out")
    before, kept = pixels(first), first.stat().st_mtime_ns
    second.unlink()
    code, out, printed = denoise(*words)
    assert code == 0 and json.loads(out)["written"] == 1 and "1 were there already" in printed
    assert first.stat().st_mtime_ns == kept and pixels(first).keys() == before.keys()
    code, out, _ = denoise(*words)
    assert code == 0 and json.loads(out)["written"] == 0
    with open(tmp_path / "out" / "frames.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["file"] for row in rows] == [first.name, second.name]
    assert all(float(row["loss"]) > 0 and row.keys() >= {"psnr_estimate", "psnr_estimate_error"} for row in rows)
    assert load_weights(tmp_path / "out" / "weights.safetensors")[1]["steps"] == 2


def test_the_second_pass_denoises_with_what_the_first_has_learned(
    denoise: Run, shot: RenderedShot, tmp_path: Path
) -> None:
    words = [*write_mitsuba(tmp_path / "in", shot), "--guide", "none"]
    assert denoise(*words, "-o", tmp_path / "two", "--passes", "2", "--iterations", "3")[0] == 0
    learned = tmp_path / "two" / "weights.safetensors"
    assert load_weights(learned)[1]["steps"] == 3 * len(shot.pairs)
    assert denoise(*words, "-o", tmp_path / "again", "--weights", learned, "--iterations", "0")[0] == 0
    assert same_pictures(tmp_path / "two", tmp_path / "again")
    assert denoise(*words, "-o", tmp_path / "one", "--iterations", "3")[0] == 0
    assert not same_pictures(tmp_path / "two", tmp_path / "one")


def test_without_halves_nothing_is_learned(denoise: Run, shot: RenderedShot, tmp_path: Path) -> None:
    words = [*write_mitsuba(tmp_path / "in", shot, both=False), "-o", tmp_path / "out"]
    code, _, printed = denoise(*words, *QUICK)
    assert code == 0 and printed.count("nothing is learned") == 1
    assert not (tmp_path / "out" / "weights.safetensors").exists()
    result = color(exrs(tmp_path / "out")[0])
    assert (result - shot.pairs[0].a.color).abs().mean() > 1e-3
    code, _, printed = denoise(*words[:-1], tmp_path / "paper", "--model", "paper")
    assert code == 2 and "knows nothing yet" in printed


def test_further_layers_add_up(denoise: Run, shot: RenderedShot, tmp_path: Path) -> None:
    for name, half in (("s_a", shot.pairs[0].a), ("s_b", shot.pairs[0].b)):
        of = layers(half)
        share = 0.3 + 0.4 * of["albedo"]
        parts = {"diffuse": share * of["color"], "specular": (1 - share) * of["color"]}
        planes = channels("", of["color"]) | channels("albedo", of["albedo"]) | channels("N", of["normal"], "XYZ")
        for layer, image in parts.items():
            planes |= channels(layer, image)
        write(tmp_path / f"{name}.exr", planes)
    code, _, printed = denoise(tmp_path / "s_a.exr", "-o", tmp_path / "out", "--also", "diffuse,specular", *QUICK)
    assert code == 0, printed
    result = tmp_path / "out" / "s_a.exr"
    total = color(result, "diffuse") + color(result, "specular")
    assert (total - color(result)).abs().max() < 0.01 * color(result).mean()
    for layer in ("diffuse", "specular"):
        change = (color(result, layer) - color(tmp_path / "s_a.exr", layer)).abs().mean()
        assert change > 0.02 * color(result, layer).mean()


def test_infinite_pixels_and_grey_are_understood(denoise: Run, shot: RenderedShot, tmp_path: Path) -> None:
    for name, half in (("g_a", shot.pairs[0].a), ("g_b", shot.pairs[0].b)):
        grey = half.color.mean(dim=-1).numpy().astype(np.float16)
        grey[5, 7], grey[20, 20] = np.inf, np.nan
        write(tmp_path / f"{name}.exr", channels("Y", grey) | channels("albedo", layers(half)["albedo"]))
    code, _, printed = denoise(tmp_path / "g_a.exr", "-o", tmp_path / "out", *QUICK)
    assert code == 0, printed
    result = pixels(tmp_path / "out" / "g_a.exr")["Y"]
    assert result.dtype == np.float16 and np.isfinite(result).all()
    around = result[3:8, 5:10].astype(np.float32)
    assert abs(around[2, 2] - np.median(around)) < np.median(around)


def test_mitsuba_need_not_be_installed(shot: RenderedShot, cache_dir: Path, tmp_path: Path) -> None:
    words = ["denoise", *write_mitsuba(tmp_path / "in", shot), "-o", str(tmp_path / "out"), *QUICK]
    program = (
        "import sys; sys.modules['mitsuba'] = sys.modules['drjit'] = None;"
        "from noisewalk.app.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, *words]
    done = subprocess.run(command, env=child_environment(cache_dir), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(exrs(tmp_path / "out")) == 2


MANY = 8  # frames of the shot that is stopped


@pytest.fixture
def long_shot(shot: RenderedShot, tmp_path: Path) -> list[str]:
    """The words of a shot that is the same two frames over and over."""
    words = write_mitsuba(tmp_path / "in", shot)
    for index in range(2, MANY):
        for half in ("tiny_a", "tiny_b"):
            shutil.copy(tmp_path / "in" / f"{half}_{index % 2:04d}.exr", tmp_path / "in" / f"{half}_{index:04d}.exr")
    return words


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_shot_goes_on(
    how: signal.Signals, denoise: Run, start: Start, long_shot: list[str], tmp_path: Path
) -> None:
    words = [*map(str, long_shot), *QUICK, "-o"]
    child = start("denoise", *words, tmp_path / "out")
    deadline = time.monotonic() + 240
    while len(exrs(tmp_path / "out")) < 2:
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(how)
    _, printed = child.communicate(timeout=240)
    written = exrs(tmp_path / "out")
    assert 2 <= len(written) < MANY
    for file in written:
        assert np.isfinite(pixels(file)["R"]).all()  # whole
    if how == signal.SIGINT:
        assert child.returncode == 130 and "the same command goes on" in printed
    code, _, printed = denoise(*words, tmp_path / "out")
    assert code == 0 and ("going on at frame" in printed) == (how == signal.SIGINT)
    assert denoise(*words, tmp_path / "straight")[0] == 0
    assert same_pictures(tmp_path / "out", tmp_path / "straight")
    assert not [file for file in (tmp_path / "out").iterdir() if file.name.startswith("checkpoint")]


def picture(shot: RenderedShot) -> dict[str, np.ndarray]:
    return channels("", layers(shot.pairs[0].a)["color"])


def write_deep(file: Path) -> None:
    samples = np.empty((2, 2), dtype=object)
    for index in np.ndindex(2, 2):
        samples[index] = np.ones(2, np.float32)
    header = {"compression": OpenEXR.ZIPS_COMPRESSION, "type": OpenEXR.deepscanline}
    OpenEXR.File(header, {"Z": OpenEXR.Channel(samples)}).write(str(file))


WINDOW = (np.array([0, 0], np.int32), np.array([47, 31], np.int32))


def spoil(case: str, folder: Path, shot: RenderedShot) -> list[str]:
    """Two frames with halves, one of them spoilt; the words that name the shot."""
    whole, file = picture(shot), folder / "x_a_2.exr"
    for name in ("x_a_1", "x_b_1", "x_a_2", "x_b_2"):
        write(folder / f"{name}.exr", whole)
    small = {name: image[:16] for name, image in whole.items()}
    if case == "cut short":
        file.write_bytes(file.read_bytes()[:-500])
    elif case == "an empty file":
        file.write_bytes(b"")
    elif case == "a PNG":
        file.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    elif case == "deep":
        write_deep(file)
    elif case == "another size":
        write(folder / "x_b_2.exr", small)
    elif case == "parts of two sizes":
        write(file, whole, channels("N.X", small["R"]), names=("rgb", "n"), displayWindow=WINDOW)
    elif case == "a missing half":
        (folder / "x_b_2.exr").unlink()
    elif case == "a missing layer":
        write(folder / "x_b_2.exr", {name: image for name, image in whole.items() if name != "G"})
    elif case == "several views":
        for name in ("x_a_1", "x_b_1", "x_a_2", "x_b_2"):
            write(folder / f"{name}.exr", channels("left", whole["R"]) | whole, multiView=["left", "right"])
    elif case == "chroma":
        luminance, chroma = OpenEXR.Channel(whole["R"]), OpenEXR.Channel(whole["R"], 2, 2)
        OpenEXR.File({}, {"Y": luminance, "RY": chroma}).write(str(file))
    elif case == "the folder of the frames":
        return [str(folder), "-o", str(folder)]
    elif case == "too little memory":
        return [str(folder), "--memory", "0.5"]
    elif case == "no such layer":
        return [str(folder), "--also", "diffuse"]
    return [str(folder)]


@pytest.mark.parametrize(
    ("case", "cause"),
    [
        ("cut short", "x_a_2.exr: cut short or damaged"),
        ("an empty file", "x_a_2.exr: not an EXR file"),
        ("a PNG", "x_a_2.exr: not an EXR file, but a PNG: its pixels are for a display, not linear radiance"),
        ("deep", "x_a_2.exr: has deep pixels"),
        ("another size", "x_b_2.exr: is 48x16, but"),
        ("parts of two sizes", "x_a_2.exr: its parts have different data windows: 48x16 and 48x32"),
        ("a missing half", "x_a_2.exr: has no second half"),
        ("a missing layer", "x_b_2.exr: has no channel G"),
        ("several views", "x_a_1.exr: has the views left, right"),
        ("chroma", "x_a_2.exr: has channels of less resolution"),
        ("the folder of the frames", "holds the frames themselves"),
        ("too little memory", "need 2.0 GiB at least (see --memory)"),
        ("no such layer", "x_a_1.exr: no layer is called 'diffuse'; there are RGB"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    case: str, cause: str, denoise: Run, shot: RenderedShot, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    words = spoil(case, tmp_path / "in", shot)
    output = [] if "-o" in words else ["-o", tmp_path / "out"]
    code, out, printed = denoise(*words, *output, "--quiet", *QUICK)
    lines = [line for line in printed.splitlines() if "warning" not in line]
    assert code == 2 and out == "" and len(lines) == 1 and cause in lines[0], printed
    # What was done before a file turned out to be cut short is kept.
    assert (tmp_path / "out" / "x_a_1.exr").exists() == (case == "cut short")
