"""`noisewalk bench [SCENE]`: how long each stage of a frame takes, and how long it would take at best."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch

from noisewalk.app.bench.floors import NetworkCost, Rates, measure_rates, network_cost, padded_pixels
from noisewalk.app.bench.stages import LABELS, Stages
from noisewalk.app.bench.timings import Size, conditions, document, stage_table
from noisewalk.app.bench.trace import write_trace
from noisewalk.app.clock import synchronise
from noisewalk.app.console import StopSignal, Talk
from noisewalk.app.doctor import machine, versions
from noisewalk.app.errors import EXIT_INTERRUPTED, Interrupted
from noisewalk.app.files import require_folder
from noisewalk.app.memory import keep_freed_memory
from noisewalk.app.options import ResolvedOptions, WalkOptions
from noisewalk.app.session import Session, open_session
from noisewalk.denoiser import streams
from noisewalk.renderer import RenderCancelled

# Dr.Jit compiles in the first round and records in the second. torch does so after a warm-up of its own.
WARM_UP_ROUNDS = streams.WARM_UP + 1
# Rounds of stages may take the first share of a size's time. Overlapped frames may take the second share of the rest.
ROUNDS_SHARE, OVERLAPPED_SHARE = 0.6, 0.5
TRACED_FRAMES = 4
FIRST_PICTURE_SECONDS = 60
_CHILD = """
import pickle, sys
from noisewalk.app.bench.bench import first_picture
first_picture(pickle.load(sys.stdin.buffer))
"""
FrameSize = tuple[int | None, int | None]  # width and height in pixels; None: the default of the machine


class _OutOfTime(Exception):
    pass


@dataclass(frozen=True)
class Limit:
    """Measuring ends at `deadline` (time.monotonic, seconds), or when `stop` has noticed a Ctrl-C."""

    deadline: float
    stop: StopSignal

    def check(self) -> None:
        """Raises Interrupted after a Ctrl-C, and _OutOfTime after the deadline."""
        self.stop.check()
        if time.monotonic() > self.deadline:
            raise _OutOfTime


@dataclass(frozen=True)
class Rounds:
    """Up to `repeats` rounds after the warm-up, at least one. They end when `share` of the remaining time is over."""

    repeats: int
    limit: Limit
    share: float

    def indices(self, share: float) -> Iterator[int]:
        """Numbers of rounds, with those of the warm-up, within `share` of the share of this object."""
        start = time.monotonic()
        end = start + share * self.share * (self.limit.deadline - start)
        for index in range(WARM_UP_ROUNDS + self.repeats):
            if index > WARM_UP_ROUNDS and time.monotonic() > end:
                return  # what comes after them needs time too
            yield index


def bench(
    options: WalkOptions,
    sizes: Sequence[FrameSize],
    repeats: int,
    minutes: float,
    talk: Talk,
    trace: Path | None = None,
) -> int:
    """Measures stages for at most `minutes`, then the first picture, and prints the table. Returns the exit code.

    What was measured is printed after Ctrl-C and after a failure too.

    sizes:   of frames, in pixels.
    repeats: rounds for each size.
    trace:   a file for a timeline of some overlapped frames of the last size. Raises OSError if it cannot be written.
    """
    if trace is not None:
        require_folder(trace)  # now, and not after minutes of measuring
    measured: list[Size] = []
    about: dict[str, Any] = {"scene": options.scene, "model": options.model, "versions": versions(), "state": "failed"}
    try:
        with StopSignal("stopping; what is measured is kept") as stop:
            state = "complete"
            limit = Limit(time.monotonic() + 60 * minutes, stop)
            try:
                for number, (width, height) in enumerate(sizes, start=1):
                    last = trace if number == len(sizes) else None
                    share = 1 / (len(sizes) + 1 - number)
                    sized = replace(options, width=width, height=height)
                    _one_size(sized, Rounds(repeats, limit, share), talk, measured, about, last)
            except _OutOfTime:
                state = f"stopped after {minutes:g} minutes"
                if trace is not None:
                    talk.warn(f"{trace}: no timeline was written: the minutes ran out before its frames")
            first = replace(options, width=measured[0].width, height=measured[0].height)
            _time_first_pictures(first, talk, stop, about)
            about["state"] = state
    except (Interrupted, RenderCancelled):
        about["state"] = "interrupted"
    finally:
        if measured:
            _print(measured, about | {"peak_memory_mb": peak_memory()}, talk)
    return EXIT_INTERRUPTED if about["state"] == "interrupted" else 0


def _print(measured: list[Size], about: dict[str, Any], talk: Talk) -> None:
    text = "\n\n".join([*map(stage_table, measured), conditions(about)])
    if talk.output.json:
        talk.note(text)
        talk.result(about | {"sizes": [document(size) for size in measured]})
    else:
        print(text)


def _one_size(
    options: WalkOptions,
    rounds: Rounds,
    talk: Talk,
    measured: list[Size],
    about: dict[str, Any],
    trace: Path | None,
) -> None:
    session = open_session(options, talk)
    try:
        resolved, device = session.options, session.denoiser.device
        about["machine"] = machine(session.backend, device)
        about["settings"] = {name: getattr(resolved, name) for name in ("spp", "iterations", "crop")}
        rates = measure_rates(device)
        if torch.cuda.is_initialized():
            torch.cuda.reset_peak_memory_stats()  # the memory for measuring rates is not the program's
        about["rates"] = {"matrix_flops": rates.matrix, "copy_bytes": rates.copy}
        floors = _floors(resolved, rates, network_cost(resolved.model, device))
        size = Size(resolved.width, resolved.height, floors=floors)
        measured.append(size)
        stages = Stages(session)
        try:
            _rounds(stages, size, rounds, talk)
            _overlapped(session, stages, size, rounds, talk)
            if trace is not None:
                about["trace"] = {"file": str(trace), "shared": write_trace(trace, partial(_frames, stages))}
        finally:
            stages.close()
    finally:
        session.close()


def _rounds(stages: Stages, size: Size, rounds: Rounds, talk: Talk) -> None:
    """Each round measures every stage once: other work on the machine then disturbs all stages equally."""
    names = [name for name in LABELS if name != "overlapped"]
    if (problem := stages.open_gl()) is not None:
        talk.note(f"upload to texture left out: {problem}")
        names.remove("upload")
    with talk.progress() as progress:
        task = progress.add_task(f"{size.width}x{size.height}, stages", total=rounds.repeats, note="")
        for index in rounds.indices(ROUNDS_SHARE):
            for name in names:
                rounds.limit.check()
                took = _milliseconds(getattr(stages, name), index)
                if index >= WARM_UP_ROUNDS:
                    size.rounds.setdefault(name, []).append(took)
            progress.update(task, completed=max(0, index + 1 - WARM_UP_ROUNDS))


def _overlapped(session: Session, stages: Stages, size: Size, rounds: Rounds, talk: Talk) -> None:
    stages.overlap()
    with talk.progress() as progress:
        task = progress.add_task(f"{size.width}x{size.height}, overlapped", total=rounds.repeats, note="")
        steps = 0
        for index in rounds.indices(OVERLAPPED_SHARE):
            rounds.limit.check()
            start = time.perf_counter()
            stages.overlapped(index)
            took = 1e3 * (time.perf_counter() - start)
            if index >= WARM_UP_ROUNDS:
                size.rounds.setdefault("overlapped", []).append(took)
                size.trained_share = (session.denoiser.weights().steps - steps) / (
                    session.options.iterations * (index + 1 - WARM_UP_ROUNDS)
                )
            else:
                steps = session.denoiser.weights().steps
            progress.update(task, completed=max(0, index + 1 - WARM_UP_ROUNDS))


def _frames(stages: Stages) -> None:
    for index in range(TRACED_FRAMES):
        stages.overlapped(index)


def _milliseconds(stage: Callable[[int], None], index: int) -> float:
    synchronise()
    start = time.perf_counter()
    stage(index)
    synchronise()
    return 1e3 * (time.perf_counter() - start)


def _floors(options: ResolvedOptions, rates: Rates, cost: NetworkCost) -> dict[str, float]:
    crop = padded_pixels(min(options.crop, options.width), min(options.crop, options.height))
    one = rates.seconds(cost.train.times(crop))
    image = 3 * 4 * options.width * options.height  # bytes
    seconds = {
        "train_one": one,
        "train": one * options.iterations,
        "denoise": rates.seconds(cost.denoise.times(2 * padded_pixels(options.width, options.height))),
        "upload": 2 * image / rates.copy,
    }
    return {name: 1e3 * value for name, value in seconds.items()}


def _time_first_pictures(options: WalkOptions, talk: Talk, stop: StopSignal, about: dict[str, Any]) -> None:
    """Seconds from a new process to its first denoised picture: cold (no compiled kernel on disk) and warm (all)."""
    about["first_picture_s"], about["no_first_picture"] = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        caches = dict.fromkeys(("DRJIT_CACHE_DIR", "CUDA_CACHE_PATH", "OPTIX_CACHE_PATH"), folder)
        stop.check()
        for name in ("cold", "warm"):
            talk.note(f"first picture, {name} ...")
            seconds, problem = time_first_picture(options, os.environ | caches)
            stop.check()  # a Ctrl-C in the terminal also ends the child
            about["first_picture_s"][name] = seconds
            if problem is not None:
                about["no_first_picture"][name] = problem


def time_first_picture(options: WalkOptions, environment: Mapping[str, str]) -> tuple[float | None, str | None]:
    """Seconds from a new process, with this environment, to its first denoised picture; or None and the reason."""
    try:
        child = subprocess.run(
            [sys.executable, "-c", _CHILD],
            input=pickle.dumps(options),
            env=environment,
            capture_output=True,
            timeout=FIRST_PICTURE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return None, f"not within {FIRST_PICTURE_SECONDS} s"
    if child.returncode != 0:
        said = child.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {child.returncode}"]
        return None, f"failed: {said[-1]}"
    return round(float(child.stdout), 2), None


def first_picture(options: WalkOptions) -> None:
    """Makes one picture, and prints how old this process then is, in seconds."""
    keep_freed_memory()
    session = Session(options, "free")
    session.advance(session.camera(0), 0, None, train=False)
    print(time.time() - psutil.Process().create_time())
    session.close()


def peak_memory() -> dict[str, float]:
    """Peak memory in MiB: of this process, and what torch has allocated on the GPU."""
    if sys.platform == "win32":
        peak = psutil.Process().memory_info().peak_wset
    else:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    memory = {"cpu": peak / 2**20}
    if torch.cuda.is_initialized():
        free, total = torch.cuda.mem_get_info()
        memory |= {"gpu_torch": torch.cuda.max_memory_allocated() / 2**20, "gpu_in_use_now": (total - free) / 2**20}
    return {name: round(value, 1) for name, value in memory.items()}
