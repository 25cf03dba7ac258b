"""The real command line, in child processes."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from noisewalk.app.__main__ import main
from noisewalk.app.console import Talk
from noisewalk.app.options import Output
from noisewalk.denoiser.weights import load_weights
from noisewalk.renderer.backend import Backend
from tests.children import Child, Parent
from tests.conftest import TINY_XML, Run, Start, child_environment, last_json

STOPPED_FRAMES = 16
NUMBERS = ("psnr_noisy", "psnr_shown", "psnr_clean_targets", "noise_floor", "loss")
CLEAN = ("--targets", "clean")
SMALL = ("--width", "32", "--height", "24", "--spp", "2", "--iterations", "2", "--reference-spp", "8")


def rows(run: Path) -> list[dict[str, str]]:
    with open(run / "frames.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def numbers(run: Path) -> list[str]:
    return [row[c] for row in rows(run) for c in NUMBERS]


def same(found: list[str], expected: list[str]) -> bool:
    """Equal to the last digit; on a GPU, which adds in any order, to a hundredth."""
    if not torch.cuda.is_available():
        return found == expected
    return [float(x or 0) for x in found] == pytest.approx([float(x or 0) for x in expected], rel=1e-2)


def walk_words(scene: Path, frames: int, *more: str | Path) -> tuple[str | Path, ...]:
    return (scene, "--headless", "--frames", str(frames), "--reference-every", "4", *SMALL, *more)


def test_a_walk_leaves_a_complete_run_folder(noisewalk: Run, tiny_xml: Path, tmp_path: Path) -> None:
    done = noisewalk(*walk_words(tiny_xml, 6, "--json"))
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "tiny"
    result = last_json(done)
    assert result["state"] == "complete" and result["frames"] == 6 and Path(result["run"]) == Path("runs/tiny")
    frames = rows(run)
    assert [row["frame"] for row in frames] == list("012345")
    assert [bool(row["psnr_shown"]) for row in frames] == [True, False, False, False, True, True]
    assert all(row["psnr_estimate"] == "" or 3 < float(row["psnr_estimate"]) < 60 for row in frames)
    assert any(row["psnr_estimate"] and float(row["psnr_estimate_error"]) > 0 for row in frames)
    assert all(float(row["train_ms"]) > 0 and float(row["memory_mb"]) > 0 for row in frames)
    document = json.loads((run / "run.json").read_text())
    assert document["settings"]["seed"] == 0 and document["versions"]["torch"] and document["machine"]["variant"]
    assert "estimate" in document["estimate_formula"] and "estimate_minus_psnr_db" in document["result"]
    assert Image.open(run / "psnr.png").width > 500
    assert Image.open(run / "images" / "comparison.png").width > 5 * 32
    assert b"estimated_error.R" in (run / "images" / "layers.exr").read_bytes()
    assert load_weights(run / "weights.safetensors")[1]["scene"] == "tiny"
    assert not list(run.rglob("*.tmp"))
    beside = [(row["psnr_untrained"], row["psnr_oidn_corrected"]) for row in frames]
    assert [all(pair) for pair in beside] == [True, False, False, False, True, True]
    # The same command again makes a new run with the same numbers.
    again = noisewalk(*walk_words(tiny_xml, 6, "--json", "--quiet"))
    assert again.stderr == "" and last_json(again)["run"] == str(Path("runs/tiny-2"))
    assert same(numbers(tmp_path / "runs" / "tiny-2"), numbers(run))


def test_the_same_command_gives_the_same_numbers_on_any_cache(
    tiny_xml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full, empty = tmp_path / "full", tmp_path / "empty"
    words = [str(word) for word in walk_words(tiny_xml, 2, "--reference-every", "1", "--quiet")]
    better = [tiny_xml, "--frames", "1", *SMALL, "--reference-spp", "64", "--quiet", "--cache-dir", full]
    assert main(["reference", *map(str, better)]) == 0
    for cache in (full, empty):
        assert main([*words, "--json", "--cache-dir", str(cache), "--out", str(cache / "run")]) == 0
    assert same(numbers(full / "run"), numbers(empty / "run"))
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["last_measured"]["psnr_shown_corrected"] > result["last_measured"]["psnr_shown"]


@pytest.mark.parametrize("seconds", [0.0, 1e6])
def test_a_log_file_gets_a_line_of_progress_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seconds: float
) -> None:
    monkeypatch.setattr("noisewalk.app.console.LOG_SECONDS", seconds)
    for quiet in (False, True):
        long = "[x] " * 80  # must not be cut, and is no markup
        with Talk(Output(quiet=quiet)).progress() as progress:
            task = progress.add_task("frames", total=9, note="")
            for frame in range(3):
                progress.update(task, completed=frame + 1, note=f"{long}{frame} dB")
        lines = capsys.readouterr().err.splitlines()
        logged = [f"frames {frame + 1}/9 {long}{frame} dB" for frame in range(3)]
        assert lines == ([] if quiet else logged[-1:] if seconds else logged)  # the last one comes at the end


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a process's cores can be chosen on Linux only")
def test_one_core_is_enough_for_a_scene_with_an_exr_sky(noisewalk: Run, backend: Backend, tmp_path: Path) -> None:
    import mitsuba as mi

    mi.Bitmap(np.full((64, 128, 3), 0.5, np.float32)).write(str(tmp_path / "sky.exr"))
    lit = '<emitter type="envmap"><string name="filename" value="sky.exr"/></emitter></scene>'
    (tmp_path / "sky.xml").write_text(TINY_XML.replace("</scene>", lit))
    all_cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(all_cores)})  # for this thread and the processes that it starts
    try:
        done = noisewalk(*walk_words(tmp_path / "sky.xml", 1), timeout=150)
    finally:
        os.sched_setaffinity(0, all_cores)
    assert done.returncode == 0, done.stderr


def test_weights_travel_from_a_run_into_another(noisewalk: Run, tiny_xml: Path, tmp_path: Path) -> None:
    assert noisewalk(*walk_words(tiny_xml, 2)).returncode == 0
    exported = noisewalk("export", "runs/tiny", "-o", "w.safetensors")
    assert exported.returncode == 0 and "4 training steps" in exported.stderr
    assert noisewalk("export", "runs/tiny", "-o", "w.safetensors").returncode == 2
    still = ("--weights", "w.safetensors", "--iterations", "0", "--out", "warm")
    assert noisewalk(*walk_words(tiny_xml, 1), *still).returncode == 0
    before, _ = load_weights(tmp_path / "w.safetensors")
    after, _ = load_weights(tmp_path / "warm" / "weights.safetensors")
    assert all((before[name] == after[name]).all() for name in before)


def wait_for_frames(child: Child, run: Path, count: int) -> None:
    deadline = time.monotonic() + 240
    while not (run / "frames.csv").exists() or len(rows(run)) < count:
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, parent: Parent, cache_dir: Path) -> Path:
    """A whole walk with a twin that learns from clean targets."""
    folder = tmp_path_factory.mktemp("straight")
    (folder / "tiny.xml").write_text(TINY_XML)
    words = walk_words(Path("tiny.xml"), STOPPED_FRAMES, *CLEAN, "--out", "straight")
    child = parent.start(words, folder, child_environment(cache_dir))
    assert child.wait(timeout=240) == 0
    return folder / "straight"


def test_clean_targets_leave_a_third_curve(straight: Path) -> None:
    frames = rows(straight)
    both = [[float(row[c]) for row in frames] for c in ("psnr_shown", "psnr_clean_targets")]
    assert len(frames) == STOPPED_FRAMES
    # Both begin with the same network and see the same inputs. Only the targets differ.
    assert all(abs(shown - clean) < 6 for shown, clean in zip(*both, strict=True)) and both[0] != both[1]
    result = json.loads((straight / "run.json").read_text())["result"]
    assert result["last_measured"]["psnr_clean_targets"] == both[1][-1]
    assert result["mean_of_last_measured"]["psnr_clean_targets"] == pytest.approx(sum(both[1]) / len(frames), abs=1e-3)
    assert Image.open(straight / "psnr.png").width > 500
    assert len(list(straight.glob("checkpoint-clean-*"))) == 1


@pytest.mark.parametrize(("kill", "targets"), [(signal.SIGINT, ()), (signal.SIGKILL, CLEAN)])
def test_a_stopped_walk_goes_on_to_the_same_numbers(
    kill: signal.Signals,
    targets: tuple[str, ...],
    straight: Path,
    noisewalk: Run,
    tiny_xml: Path,
    tmp_path: Path,
    start: Start,
) -> None:
    words = walk_words(tiny_xml, STOPPED_FRAMES, "--json", "--out", "stopped", *targets)
    child = start(*words)
    stopped = tmp_path / "stopped"
    wait_for_frames(child, stopped, 3)
    child.send_signal(kill)
    child.communicate(timeout=120)
    document = json.loads((stopped / "run.json").read_text())
    if kill == signal.SIGKILL:
        assert document["state"] == "running"
    else:
        assert child.returncode == 130 and document["state"] == "interrupted"
        assert document["result"]["frames"] == len(rows(stopped)) < STOPPED_FRAMES
        assert (stopped / "psnr.png").exists() and (stopped / "weights.safetensors").exists()
    resumed = noisewalk(*words)
    assert resumed.returncode == 0 and last_json(resumed)["state"] == "complete"
    # A twin does not change the other model. It only adds measurements.
    for row, expected in zip(rows(stopped), rows(straight), strict=True):
        compared = [c for c in NUMBERS if row[c] or targets]
        assert "loss" in compared and same([row[c] for c in compared], [expected[c] for c in compared])


def test_a_finished_run_is_extended_to_the_numbers_of_a_longer_one(
    noisewalk: Run, straight: Path, tiny_xml: Path, tmp_path: Path
) -> None:
    short = noisewalk(*walk_words(tiny_xml, 6, *CLEAN, "--out", "run"))
    assert short.returncode == 0, short.stderr
    more = (*walk_words(tiny_xml, STOPPED_FRAMES, *CLEAN, "--out", "run", "--json"), "--save-frames", "png")
    extended = noisewalk(*more)
    assert extended.returncode == 0 and "going on at frame 6" in extended.stderr, extended.stderr
    assert same(numbers(tmp_path / "run"), numbers(straight))
    saved = sorted(file.name for file in (tmp_path / "run" / "frames").iterdir())
    assert saved == [f"{index:06d}.png" for index in range(6, STOPPED_FRAMES)]
    for words in (more, walk_words(tiny_xml, 4, *CLEAN, "--out", "run")):
        refused_again = noisewalk(*words, "--quiet")
        refused(
            refused_again.returncode,
            refused_again.stdout,
            refused_again.stderr,
            "run: holds a finished run",
            "--frames",
        )


def test_a_walk_killed_after_its_last_frame_knows_all_that_it_measured(
    noisewalk: Run, tiny_xml: Path, tmp_path: Path, cache_dir: Path
) -> None:
    words = walk_words(tiny_xml, 6, "--json", "--out", "killed")
    kill = "import noisewalk.app.walk.headless as h, os, signal, sys; h.CHECKPOINT_SECONDS = 0.0; "
    kill += "h.write_psnr_plot = lambda *rest: os.kill(os.getpid(), signal.SIGKILL); "
    kill += "from noisewalk.app.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", kill, *map(str, words)]
    assert subprocess.run(command, cwd=tmp_path, env=child_environment(cache_dir)).returncode == -signal.SIGKILL
    resumed = noisewalk(*words)
    assert resumed.returncode == 0 and "going on at frame 6" in resumed.stderr
    floor = min(float(row["noise_floor"]) for row in rows(tmp_path / "killed") if row["noise_floor"])
    assert last_json(resumed)["reference_noise_floor_db"] == round(floor, 2)
    assert f"good to {round(floor, 2)} dB" in resumed.stderr


def test_ctrl_c_ends_pretraining_in_the_middle_of_a_scalar_render(tmp_path: Path, start: Start) -> None:
    words = ("pretrain", "-o", "w.safetensors", "--data", "data", "--size", "1024", "--variant", "scalar_rgb")
    child = start(*words)
    deadline = time.monotonic() + 240
    while not (tmp_path / "data" / "room" / "scene.xml").exists():
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(2.0)  # now the scene is open; its frames take minutes
    child.send_signal(signal.SIGINT)
    _, told = child.communicate(timeout=240)
    assert child.returncode == 130 and "stopping" in told and "Traceback" not in told, told


def test_killed_references_go_on(noisewalk: Run, tiny_xml: Path, tmp_path: Path, start: Start) -> None:
    words = ("reference", tiny_xml, "--frames", "40", "--reference-every", "1", *SMALL, "--cache-dir", tmp_path / "c")
    child = start(*words)
    folder = tmp_path / "c" / "references"
    deadline = time.monotonic() + 240
    while not folder.exists() or len(list(folder.glob("*.safetensors"))) < 3:
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    child.kill()
    child.communicate()
    kept = {f: f.read_bytes() for f in folder.glob("*.safetensors")}
    assert noisewalk(*words).returncode == 0
    assert len(list(folder.glob("*.safetensors"))) == 40
    assert all(f.read_bytes() == content for f, content in kept.items())
    for left in folder.glob("*.tmp"):  # the kill may have hit a file that was being written
        os.utime(left, (0, 0))  # it is old when somebody clears the cache
    cleared = noisewalk("cache", "--clear", "--cache-dir", tmp_path / "c")
    assert cleared.returncode == 0 and not list(folder.iterdir())


def test_two_processes_never_share_a_run_folder(noisewalk: Run, tiny_xml: Path, tmp_path: Path, start: Start) -> None:
    child = start(*walk_words(tiny_xml, 2000, "--out", "shared"))
    wait_for_frames(child, tmp_path / "shared", 1)
    second = noisewalk(*walk_words(tiny_xml, 2000, "--out", "shared"))
    child.kill()
    child.communicate()
    assert second.returncode == 2 and "another process" in second.stderr


def test_memory_does_not_grow_from_frame_to_frame(noisewalk: Run, tiny_xml: Path, tmp_path: Path) -> None:
    assert noisewalk(*walk_words(tiny_xml, 48, "--out", "long")).returncode == 0
    memory = [float(row["memory_mb"]) for row in rows(tmp_path / "long")]
    # The first checkpoint takes some 50 MB. They are kept for the next one.
    assert memory[-1] < 1.1 * memory[20]


def test_small_commands_answer(noisewalk: Run, tiny_xml: Path, tmp_path: Path) -> None:
    listed = noisewalk("scenes")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["cornell", "courtyard", "gallery"]
    written = noisewalk("path", tiny_xml, "-o", "p.json", "--json")
    assert written.returncode == 0 and last_json(written)["file"] == "p.json"
    flown = noisewalk(*walk_words(tiny_xml, 2, "--path", "p.json", "--json"))
    assert flown.returncode == 0 and last_json(flown)["state"] == "complete"
    assert noisewalk("--help").stdout.count("noisewalk") > 5
    assert noisewalk("--version").stdout.startswith("noisewalk 0")
    report = noisewalk("doctor").stdout
    for topic in ("mitsuba", "llvm_ad_rgb", "scalar_rgb", "renderer chosen", "OptiX", "torch device", "formats", "GL"):
        assert topic in report


def test_doctor_reports_with_a_torch_that_knows_no_processor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cache_dir: Path
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)  # not every torch from 2.11 on has it
    assert main(["doctor", "--device", "cpu", "--cache-dir", str(cache_dir)]) == 0
    assert "this torch does not say" in capsys.readouterr().out


def edited(*changes: tuple[str, str]) -> str:
    """The tiny scene with some text replaced."""
    xml = TINY_XML
    for old, new in changes:
        assert old in xml
        xml = xml.replace(old, new)
    return xml


BALL = 'type="sphere" id="ball"'
CENTER = '<point name="center" x="0" y="0.7" z="0"/><float name="radius" value="0.7"/>'
FOV = '<float name="fov" value="50"/><string name="fov_axis" value="y"/>'
RED = '<rgb name="reflectance" value="0.6, 0.3, 0.2"/>'
TEXTURE = '<texture type="bitmap" name="reflectance"><string name="filename" value="gone.png"/></texture>'
NO_LAMP = edited(('<emitter type="area"><rgb name="radiance" value="12"/></emitter>', ""))


@pytest.mark.parametrize(
    ("xml", "cause"),
    [
        ("hello", "No document element found"),
        ("<scene", "bad.xml"),
        ('<bsdf version="3.0.0" type="diffuse"/>', "not <scene>"),
        (edited((BALL, 'type="blob" id="ball"')), '"blob" not found'),
        ('<scene version="3.0.0"><shape type="sphere"/></scene>', "no sensor"),
        (edited(('"perspective"', '"orthographic"'), (FOV, "")), "cannot be flown"),
        (edited(('value="50"', 'value="400"')), "field of view"),
        (edited((BALL, 'type="ply" id="ball"'), (CENTER, '<string name="filename" value="gone.ply"/>')), "gone.ply"),
        (edited((RED, TEXTURE)), "gone.png"),
    ],
)
def test_bad_scenes_are_one_line_and_code_2(
    xml: str,
    cause: str,
    tmp_path: Path,
    cache_dir: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.xml").write_text(xml)
    code = main(["bad.xml", "--headless", "--quiet", "--cache-dir", str(cache_dir)])
    refused(code, *capsys.readouterr(), "bad.xml", cause)
    assert not (tmp_path / "runs").exists()


def refused(code: int, stdout: str, stderr: str, *parts: str) -> None:
    """Checks: one line on standard error with these parts, nothing on standard output, exit code 2."""
    assert code == 2, stderr
    assert stdout == "" and stderr.count("\n") == 1, stderr
    assert stderr.startswith("noisewalk: error: ") and len(stderr) < 700
    for part in parts:
        assert part in stderr


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("absent.xml",), ("absent.xml", "no such scene")),
        (("tiny.xml", "--width", "0"), ("--width", "0 is not between")),
        (("tiny.xml", "--width", "99999999"), ("--width", "99999999")),
        (("tiny.xml", "--width", "8192", "--height", "8192", "--spp", "4096"), ("8192x8192",)),
        (("tiny.xml", "--frames", "-3"), ("--frames", "-3")),
        (("tiny.xml", "--spp", "many"), ("--spp", "many")),
        (("tiny.xml", "--learning-rate", "nan"), ("--learning-rate", "nan")),
        (("tiny.xml", "--variant", "gpu_rgb"), ("gpu_rgb", "scalar_rgb")),
        (("tiny.xml", "--device", "warp"), ("warp",)),
        (("tiny.xml", "--out", "file/run"), ("file",)),
        (("tiny.xml", "--path", "file"), ("file", "keyframes")),
        (("tiny.xml", "--path", "absent.json"), ("absent.json", "cannot read")),
        (("tiny.xml", "--weights", "bad.safetensors"), ("bad.safetensors", "cut short")),
        (("tiny.xml", "--weights", "absent.safetensors"), ("absent.safetensors", "no such file")),
        (("tiny.xml", "--targets", "dirty"), ("--targets", "dirty", "clean")),
        (("tiny.xml", "--bogus"), ("--bogus",)),
    ],
)
def test_bad_words_are_one_line_and_code_2(
    words: tuple[str, ...],
    parts: tuple[str, ...],
    tiny_xml: Path,
    tmp_path: Path,
    cache_dir: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tiny_xml.parent)
    (tmp_path / "file").write_text("{}")
    (tmp_path / "bad.safetensors").write_bytes(b"\x00" * 50)
    code = main([*words, "--headless", "--quiet", "--cache-dir", str(cache_dir)])
    refused(code, *capsys.readouterr(), *parts)
    assert not (tmp_path / "runs").exists()


def test_bad_input_in_a_real_process(noisewalk: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.xml").write_text(edited((RED, TEXTURE)))
    for words, part in (
        (("bad.xml", "--headless", "--quiet"), "gone.png"),
        (("bad.xml",), "--headless"),
        (("bad.xml", "--targets", "clean"), "--targets is for --headless"),
        (("path", "cornell", "-o", "p.json", "--frames", "3"), "--frames"),
        (("compare", "cornell", "--reference-every", "2"), "--reference-every"),
        (("export", "absent", "-o", "x.safetensors"), "absent"),
        (("export", "absent", "-o", "nodir/x.onnx"), "nodir/x.onnx: there is no folder nodir"),
        (("export", "absent", "-o", "x"), ".safetensors, .onnx, .tza"),
    ):
        done = noisewalk(*words)
        refused(done.returncode, done.stdout, done.stderr, part)


def test_a_corrupt_cache_is_named_and_nothing_else_is_lost(noisewalk: Run, tiny_xml: Path, tmp_path: Path) -> None:
    words = (*walk_words(tiny_xml, 1), "--cache-dir", tmp_path / "c", "--quiet")
    assert noisewalk(*words, "--out", "first").returncode == 0
    (stored,) = (tmp_path / "c" / "references").glob("*.safetensors")
    stored.write_bytes(stored.read_bytes()[:1000])
    second = noisewalk(*words, "--out", "second")
    refused(second.returncode, second.stdout, second.stderr, stored.name, "corrupt")
    stored.unlink()
    assert noisewalk(*words, "--out", "second").returncode == 0


def test_what_mitsuba_passes_over_in_silence_is_warned_about(noisewalk: Run, tmp_path: Path) -> None:
    (tmp_path / "dark.xml").write_text(NO_LAMP)
    done = noisewalk(*walk_words(Path("dark.xml"), 1), "--quiet")
    assert done.returncode == 0 and "warning: dark.xml: the scene has no emitters" in done.stderr


def test_without_llvm_the_scalar_variant_walks(tiny_xml: Path, tmp_path: Path) -> None:
    """A machine without GPU and LLVM: the child process searches for them, and finds none."""
    hide = "import noisewalk.renderer.backend as b, sys; b.find_llvm = list; b.can_load = lambda library: False; "
    hide += "from noisewalk.app.__main__ import main; sys.exit(main())"
    environment = child_environment(tmp_path / "cache")
    environment.pop("DRJIT_LIBLLVM_PATH", None)
    words = walk_words(tiny_xml, 2, "--json")
    done = subprocess.run(
        [sys.executable, "-c", hide, *map(str, words)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    machine = json.loads((tmp_path / "runs" / "tiny" / "run.json").read_text())["machine"]
    assert machine["variant"] == "scalar_rgb"
