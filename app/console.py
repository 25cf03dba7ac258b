"""What a command prints: notes, progress and Ctrl-C on standard error, the result on standard output."""

from __future__ import annotations

import json
import signal
import sys
import time
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from noisewalk.app.errors import Interrupted
from noisewalk.app.options import Output

LOG_SECONDS = 30.0


class Talk:
    """Notes and progress of one command. With `quiet` there are none; warnings are always printed."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self._console = Console(stderr=True, quiet=output.quiet, highlight=False, soft_wrap=True)
        self._stderr = Console(stderr=True, highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """A line of information."""
        self._console.print(text, markup=False)

    def warn(self, text: str) -> None:
        """A line that is printed even with `quiet`."""
        self._stderr.print(f"noisewalk: warning: {text}", markup=False)

    def progress(self) -> Progress:
        """A progress display. Each task has a field `note`, a text."""
        return _Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[note]}"),
            console=self._console,
            disable=self.output.quiet,
            refresh_per_second=4,
        )

    def listing(self, found: dict[str, Any]) -> None:
        """The result: with `json` as one line, else as a line for each name."""
        self.result(found)
        if not self.output.json:
            width = max(map(len, found)) + 2
            print("\n".join(f"{name:<{width}}{value}" for name, value in found.items()))

    def result(self, document: dict[str, Any]) -> None:
        """With `json`, the result as one line on standard output."""
        if self.output.json:
            print(json.dumps(document), flush=True)


class _Progress(Progress):
    """Where nobody watches (a pipe, a log file), whole lines now and then and at the end: rich would cut its bar."""

    def __init__(self, *columns: ProgressColumn, console: Console, disable: bool, **settings: Any) -> None:
        super().__init__(*columns, console=console, disable=disable or not console.is_terminal, **settings)
        self._logs = not disable and not console.is_terminal
        self._logged_at, self._logged = time.monotonic(), ""

    def update(self, task_id: TaskID, **changes: Any) -> None:
        super().update(task_id, **changes)
        self._log_now_and_then(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        self._log_now_and_then(task_id)

    def stop(self) -> None:
        """Also at the end of a `with` block."""
        super().stop()
        for task_id in self.task_ids:
            self._log(task_id)

    def _log_now_and_then(self, task_id: TaskID) -> None:
        if time.monotonic() - self._logged_at >= LOG_SECONDS:
            self._logged_at = time.monotonic()
            self._log(task_id)

    def _log(self, task_id: TaskID) -> None:
        task = self._tasks[task_id]
        line = f"{task.description} {task.completed:.0f}/{task.total:.0f} {task.fields['note']}".strip()
        if self._logs and line != self._logged:
            self._logged = line
            self.console.print(line, markup=False)


class StopSignal:
    """Notes the first Ctrl-C or SIGTERM, so that the work in hand can end well. A second Ctrl-C ends it at once."""

    def __init__(self, message: str) -> None:
        self._message = message
        self.requested = False

    def __enter__(self) -> StopSignal:
        self._previous = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raises Interrupted if a stop was asked for."""
        if self.requested:
            raise Interrupted

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        print(f"\nnoisewalk: {self._message}", file=sys.stderr, flush=True)
