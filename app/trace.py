"""A timeline of overlapped frames, and how much of it two GPU streams share."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch._C._profiler import _ExperimentalConfig

from app.files import written_aside

Interval = tuple[float, float]


def write_trace(file: Path, run: Callable[[], None]) -> float | None:
    """Runs `run` and writes what all threads and streams did meanwhile, for https://ui.perfetto.dev.

    Returns what `shared_time` finds in it. Raises OSError where the file cannot be written.
    """
    activities = [torch.profiler.ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    # By default, only the calling thread would be seen, and training has its own.
    everyone = _ExperimentalConfig(profile_all_threads=True)
    with torch.profiler.profile(activities=activities, experimental_config=everyone) as profiler:
        run()
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
    with written_aside(file) as temporary:
        profiler.export_chrome_trace(str(temporary))
        return shared_time(json.loads(temporary.read_text(encoding="utf-8"))["traceEvents"])


def shared_time(events: Iterable[Mapping[str, Any]]) -> float | None:
    """Of the time for which the second busiest GPU stream is busy, the share in which the busiest is too: 0 to 1.

    events: of a Chrome trace. None where fewer than two streams were.
    """
    streams: dict[Any, list[Interval]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "kernel":
            streams[event["args"]["stream"]].append((event["ts"], event["ts"] + event["dur"]))
    lanes = sorted((_merged(intervals) for intervals in streams.values()), key=_length, reverse=True)
    if len(lanes) < 2:
        return None
    busiest, second = lanes[:2]
    return (_length(busiest) + _length(second) - _length(_merged(busiest + second))) / _length(second)


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
