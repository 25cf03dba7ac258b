"""Command lines in processes of their own that begin quickly: they are forked from one that has imported everything.

To import torch and Mitsuba takes seconds. All that comes after it happens in the child alone, as in a new process:
Mitsuba's variant, threads, signals, the way it ends. The tests that look at the start itself use `subprocess`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
IMPORTED = (
    "noisewalk.app.walk.headless",
    "torch._dynamo",
    "mitsuba",
    "drjit",
    "matplotlib.figure",
    "PIL.PngImagePlugin",
)
POLL_SECONDS = 0.01


class Child:
    """A process that `Parent` has started; the part of `subprocess.Popen` that the tests use."""

    def __init__(self, status: int, out: int, err: int) -> None:
        self._status = os.fdopen(status)
        self.pid = int(self._status.readline())
        self.stdout: IO[str] = os.fdopen(out, encoding="utf-8")
        self.stderr: IO[str] = os.fdopen(err, encoding="utf-8")
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self.returncode = int(self._status.readline())
        return self.returncode

    def wait(self, timeout: float) -> int:
        """The exit code; negative if a signal has ended it. Raises subprocess.TimeoutExpired."""
        if self.returncode is None and not select.select([self._status], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("noisewalk", timeout)
        code = self.poll()
        assert code is not None
        return code

    def communicate(self, timeout: float = 60) -> tuple[str, str]:
        """Waits for the end. Returns what was printed. Raises subprocess.TimeoutExpired."""
        read = {}
        readers = [
            threading.Thread(target=lambda name=name: read.update({name: getattr(self, name).read()}))
            for name in ("stdout", "stderr")
        ]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        return read["stdout"], read["stderr"]

    def send_signal(self, number: int) -> None:
        """Sends a signal to it."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it at once."""
        self.send_signal(signal.SIGKILL)


class Parent:
    """The process that children are forked from. environment: some of it decides while modules are imported."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._socket, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.children", str(theirs.fileno())],
            cwd=ROOT,
            env={**environment, "OMP_NUM_THREADS": "1"},  # threads of OpenMP would not be there after a fork
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()

    def start(self, words: Sequence[str | Path], cwd: Path, environment: Mapping[str, str]) -> Child:
        """Starts `noisewalk` with these words."""
        pipes = [os.pipe() for _ in range(3)]
        order = json.dumps({"words": [str(word) for word in words], "cwd": str(cwd), "environment": dict(environment)})
        socket.send_fds(self._socket, [f"{order}\n".encode()], [write for _, write in pipes])
        for _, write in pipes:
            os.close(write)
        return Child(*(read for read, _ in pipes))

    def close(self) -> None:
        """Ends it."""
        self._socket.close()
        self._process.wait()


def _serve(orders: socket.socket) -> dict | None:
    """Forks a child for each order. Returns the order in the child, and None in the parent when no more can come."""
    running: dict[int, int] = {}
    while True:
        for pid, status in list(running.items()):
            ended, code = os.waitpid(pid, os.WNOHANG)
            if ended:
                os.write(running.pop(pid), f"{os.waitstatus_to_exitcode(code)}\n".encode())
                os.close(status)
        if not select.select([orders], [], [], POLL_SECONDS)[0]:
            continue
        text, files, _, _ = socket.recv_fds(orders, 1 << 20, 3)
        if not text:
            return None
        status, out, err = files
        pid = os.fork()
        if pid == 0:
            os.dup2(out, 1)
            os.dup2(err, 2)
            for file in (*files, *running.values()):
                os.close(file)
            orders.close()
            return dict(json.loads(text))
        running[pid] = status
        os.write(status, f"{pid}\n".encode())
        os.close(out)
        os.close(err)


def _main() -> int:
    for module in IMPORTED:
        import_module(module)
    order = _serve(socket.socket(fileno=int(sys.argv[1])))
    if order is None:
        os._exit(0)
    from noisewalk.app.__main__ import main

    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = ["noisewalk", *order["words"]]
    try:
        code = main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    except Exception:  # noqa: BLE001 (a new process would say the same)
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Not the usual end: Dr.Jit's library would wait for threads that stay in the process that has imported it.
    os._exit(code)


if __name__ == "__main__":
    sys.exit(_main())
