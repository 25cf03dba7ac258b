"""`noisewalk bench`: what is counted and computed, and the command itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from rich.progress import Progress

from noisewalk.app.bench.bench import WARM_UP_ROUNDS, Limit, Rounds, bench, time_first_picture
from noisewalk.app.bench.floors import COUNTED_SIZE, Cost, Rates, network_cost, padded_pixels
from noisewalk.app.bench.stages import LABELS
from noisewalk.app.bench.timings import Size, conditions, stage_table
from noisewalk.app.bench.trace import shared_time
from noisewalk.app.console import StopSignal, Talk
from noisewalk.app.errors import EXIT_INTERRUPTED
from noisewalk.app.options import Output, WalkOptions
from noisewalk.renderer.backend import Backend
from tests.conftest import Run, child_environment, last_json

# (channels in, channels out, share of the pixels) of the paper's convolutions, from its table 2.
ENCODER = [(9, 48, 1.0), *((48, 48, 0.25**level) for level in (0, 1, 2, 3, 4, 5))]
DECODER = [(channels, 96, 0.25**level) for level, channels in ((4, 96), (3, 144), (2, 144), (1, 144))]
DECODER += [(96, 96, 0.25**level) for level in (4, 3, 2, 1)]
PAPER = [*ENCODER, *DECODER, (105, 64, 1.0), (64, 32, 1.0), (32, 3, 1.0)]


def test_the_networks_arithmetic_is_that_of_its_convolutions() -> None:
    cost = network_cost("paper", torch.device("cpu"))
    products = [2 * 9 * channels_in * channels_out * share for channels_in, channels_out, share in PAPER]
    assert cost.denoise.flops == pytest.approx(sum(products))
    # Backward costs twice as much, except in the first layer: nobody needs the gradient of the picture.
    assert cost.train.flops == pytest.approx(3 * sum(products) - products[0])
    traffic = sum((channels_in + channels_out) * share for channels_in, channels_out, share in PAPER)
    weights = sum(9 * channels_in * channels_out for channels_in, channels_out, _ in PAPER) / COUNTED_SIZE**2
    values = traffic + weights
    assert any(cost.denoise.bytes == pytest.approx(size * values, rel=0.02) for size in (2, 4))  # bfloat16 or float32


def test_floors_are_the_slower_of_arithmetic_and_traffic() -> None:
    rates = Rates({"float32": 10.0, "bfloat16": 40.0}, copy=5.0)
    assert rates.seconds(Cost(flops=80.0, bytes=5.0)) == 2.0
    assert rates.seconds(Cost(flops=80.0, bytes=5.0).times(3)) == 6.0
    assert rates.seconds(Cost(flops=80.0, bytes=50.0)) == 10.0
    assert padded_pixels(256, 256) == 256**2 and padded_pixels(33, 1) == 64 * 32


def test_ratios_pair_what_was_measured_in_the_same_round() -> None:
    rounds = {
        "render": [10.0, 30.0, 20.0],
        "input": [2.0, 6.0, 4.0],
        "train": [5.0, 15.0, 10.0],
        "denoise": [4.0, 12.0, 8.0],
        "estimate": [1.0, 3.0, 2.0],
        "lockstep": [24.2, 72.6, 55.0],
        "bare": [8.0, 24.0, 40.0],
    }
    size = Size(64, 32, rounds, {"train": 4.0, "denoise": 1.0})
    assert size.overhead() == pytest.approx(1.1)
    assert size.ratio("render") == 1.25 and size.floor("render") == 24.0
    assert size.ratio("train") == 2.5 and size.ratio("bare") is None
    assert size.floor("lockstep") == 29.0
    lines = stage_table(size).splitlines()
    assert lines[0].startswith("64x32") and lines[1].split() == [
        "render",
        "pair",
        "20",
        "15",
        "-",
        "25",
        "24",
        "1.25",
        "380",
    ]
    assert lines[-1].endswith("1.100")
    assert Size(64, 32).overhead() is None


def test_bench_measures_every_stage(noisewalk: Run, tiny_xml: Path, tmp_path: Path) -> None:
    quick = ("--sizes", "48x32", "--repeats", "1", "--spp", "1", "--json")
    done = noisewalk("bench", tiny_xml, *quick, "--trace", "trace.json")
    assert done.returncode == 0, done.stderr
    result = last_json(done)
    assert result["state"] == "complete" and [size["height"] for size in result["sizes"]] == [32]
    for size in result["sizes"]:
        assert set(LABELS) - set(size["stages"]) <= {"upload"}  # where there is no GL
        assert all(stage["median_ms"] > 0 and stage["samples"] == 1 for stage in size["stages"].values())
        assert size["overhead_ratio"] > 0
    assert set(result["first_picture_s"]) == {"cold", "warm"} and result["peak_memory_mb"]["cpu"] > 100
    assert all(rate > 1e6 for rate in (*result["rates"]["matrix_flops"].values(), result["rates"]["copy_bytes"]))
    assert "whole frame, overlapped" in done.stderr
    assert noisewalk("bench", tiny_xml, "--sizes", "32x").returncode == 2
    refused = noisewalk("bench", tiny_xml, *quick, "--trace", "nowhere/trace.json")
    assert refused.returncode == 2 and "there is no folder nowhere" in refused.stderr

    assert "https://ui.perfetto.dev: trace.json" in done.stderr
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    trains = "cudaGraphLaunch" if result["machine"]["device"] == "cuda" else "aten::convolution_backward"
    training = {event["tid"] for event in events if event.get("name") == trains}
    showing = {event["tid"] for event in events if event.get("name") == "aten::var_mean"}
    assert training - showing and showing  # training runs in another thread


def test_the_time_that_training_shares_with_rendering() -> None:
    def kernel(correlation: int, start: float, duration: float) -> dict[str, Any]:
        return {"cat": "kernel", "ts": start, "dur": duration, "args": {"stream": 7, "correlation": correlation}}

    def call(correlation: int, tid: int, cat: str = "cuda_runtime") -> dict[str, Any]:
        return {"cat": cat, "ts": 0, "dur": 1, "tid": tid, "args": {"correlation": correlation}}

    rendering = [call(1, 50, "cuda_driver"), kernel(1, 0, 10), kernel(1, 5, 10), kernel(1, 30, 10)]  # busy for 25
    training = [call(2, 51), kernel(2, 10, 10), kernel(2, 38, 4)]  # busy for 14, of them 5 + 2 together
    other = [{"cat": "cpu_op", "ts": 0, "dur": 50}]
    assert shared_time([*training, *other, *rendering], thread=50) == pytest.approx(7 / 14)
    assert shared_time(rendering, thread=50) is None and shared_time([], thread=50) is None


@pytest.mark.parametrize(("seconds_left", "expected"), [(-1.0, WARM_UP_ROUNDS + 1), (3600.0, WARM_UP_ROUNDS + 5)])
def test_where_time_is_short_there_are_fewer_rounds_but_one(seconds_left: float, expected: int) -> None:
    limit = Limit(time.monotonic() + seconds_left, StopSignal(""))
    assert list(Rounds(5, limit, share=0.5).indices(0.5)) == list(range(expected))


def test_a_first_picture_that_fails_says_why(backend: Backend, tmp_path: Path, cache_dir: Path) -> None:
    options = WalkOptions(scene="nosuch.xml", variant=backend.variant, cache_dir=cache_dir)
    seconds, problem = time_first_picture(options, child_environment(cache_dir))
    assert seconds is None and problem is not None
    assert problem.startswith("failed: ") and "nosuch.xml: no such scene" in problem
    about = {"scene": "s", "model": "kernel", "state": "complete", "peak_memory_mb": {"cpu": 1.0}}
    about |= {"first_picture_s": {"cold": None, "warm": 8.04}, "no_first_picture": {"cold": problem}}
    (line,) = (line for line in conditions(about).splitlines() if line.startswith("first picture"))
    assert line.endswith(f"compiled: cold {problem}, warm 8.0 s")


class InterruptedTalk(Talk):
    """Sends Ctrl-C a moment after the first progress display has appeared."""

    def progress(self) -> Progress:
        threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
        return super().progress()


def test_ctrl_c_leaves_what_was_measured(
    backend: Backend, tiny_xml: Path, cache_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = WalkOptions(scene=str(tiny_xml), spp=1, iterations=1, variant=backend.variant)
    talk = InterruptedTalk(Output(quiet=True))
    code = bench(replace(options, cache_dir=cache_dir), [(32, 32)], repeats=10**6, minutes=1.0, talk=talk)
    printed = capsys.readouterr().out
    assert code == EXIT_INTERRUPTED and "32x32" in printed and "interrupted" in printed


def test_minutes_that_run_out_before_the_timeline_are_told(
    backend: Backend, tiny_xml: Path, cache_dir: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = WalkOptions(scene=str(tiny_xml), spp=1, iterations=1, variant=backend.variant, cache_dir=cache_dir)
    trace = tmp_path / "trace.json"
    assert bench(options, [(32, 32)], repeats=1, minutes=0.0, talk=Talk(Output(quiet=True)), trace=trace) == 0
    printed = capsys.readouterr()
    assert "stopped after 0 minutes" in printed.out and not trace.exists()
    assert f"{trace}: no timeline was written" in printed.err


def test_busy_programs_end_with_their_parent() -> None:
    words = "import time; from noisewalk.app.bench.crowd import Crowd; c = Crowd(); print(flush=True); time.sleep(99)"
    parent = subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.PIPE)
    assert parent.stdout is not None and parent.stdout.readline() == b"\n"
    members = psutil.Process(parent.pid).children()
    parent.kill()
    parent.wait()
    assert members
    _, alive = psutil.wait_procs(members, timeout=30)
    assert not alive
