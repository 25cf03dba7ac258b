"""A timeline of overlapped frames. It also says for how much of training's time a GPU does other work."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch._C._profiler import _ExperimentalConfig

from noisewalk.renderer.files import written_aside

Interval = tuple[float, float]


def write_trace(file: Path, run: Callable[[], None]) -> float | None:
    """Runs `run`, and writes what all threads and streams did meanwhile. https://ui.perfetto.dev shows the file.

    Returns `shared_time` for the calling thread. Raises OSError where the file cannot be written.
    """
    activities = [torch.profiler.ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    # By default, only the calling thread is seen. Training has a thread of its own.
    everyone = _ExperimentalConfig(profile_all_threads=True)
    with torch.profiler.profile(activities=activities, experimental_config=everyone) as profiler:
        run()
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
    with written_aside(file) as temporary:
        profiler.export_chrome_trace(str(temporary))
        events = json.loads(temporary.read_text(encoding="utf-8"))["traceEvents"]
        return shared_time(events, threading.get_native_id())


def shared_time(events: Sequence[Mapping[str, Any]], thread: int) -> float | None:
    """Of the time that a GPU works for other threads, the share in which it also works for `thread`: 0 to 1.

    events: of a Chrome trace. None where it never works for other threads.
    """
    calls = [event for event in events if event.get("cat") in ("cuda_runtime", "cuda_driver")]
    caller = {event["args"].get("correlation"): event["tid"] for event in calls}
    mine: list[Interval] = []
    others: list[Interval] = []
    for event in events:
        if event.get("cat") == "kernel":
            own = caller.get(event["args"].get("correlation"), thread) == thread
            (mine if own else others).append((event["ts"], event["ts"] + event["dur"]))
    if not others:
        return None
    mine, others = _merged(mine), _merged(others)
    return (_length(mine) + _length(others) - _length(_merged(mine + others))) / _length(others)


def _merged(intervals: Iterable[Interval]) -> list[Interval]:
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged


def _length(intervals: Iterable[Interval]) -> float:
    return sum(end - start for start, end in intervals)
