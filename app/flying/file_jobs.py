"""Reads and writes files on a thread of their own. The window's thread gets the results."""

from __future__ import annotations

import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from noisewalk.app.flying.messages import SceneFacts
from noisewalk.denoiser import DenoiserError
from noisewalk.renderer import RendererError

if TYPE_CHECKING:
    from noisewalk.renderer.camera_path import CameraPath

MAX_WAITING = 16
JOIN_SECONDS = 20.0
T = TypeVar("T")


class FileJobs:
    """Does one job after the other. Only `finished`, on the window's thread, changes what the window shows."""

    def __init__(self) -> None:
        self._jobs: deque[Callable[[], Callable[[], None]]] = deque()
        self._outcomes: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="files", daemon=True)

    def add(self, job: Callable[[], T], done: Callable[[T], None], failed: Callable[[str], None]) -> bool:
        """Runs `job` on the thread. Returns False, and does nothing, if MAX_WAITING others are waiting.

        `finished` later calls `done` with its result, or `failed` with its exception.
        """

        def run() -> Callable[[], None]:
            try:
                result = job()
            except (RendererError, DenoiserError, OSError) as error:
                cause = str(error)
            except Exception as error:  # noqa: BLE001 (whatever it is, the window must say it, and the thread go on)
                traceback.print_exc(file=sys.stderr)
                cause = f"{type(error).__name__}: {error}"
            else:
                return lambda: done(result)
            return lambda: failed(cause)

        with self._changed:
            if self._closing or len(self._jobs) >= MAX_WAITING:
                return False
            self._jobs.append(run)
            self._changed.notify_all()
        if self._thread.ident is None:
            self._thread.start()
        return True

    def finished(self) -> None:
        """Calls `done` or `failed` for all jobs that have ended since the last call."""
        while self._outcomes:
            self._outcomes.popleft()()

    def close(self) -> bool:
        """Ends the thread after all waiting jobs. Returns False if they did not end within JOIN_SECONDS."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(JOIN_SECONDS)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            self._outcomes.append(job())

    def _next(self) -> Callable[[], Callable[[], None]] | None:
        with self._changed:
            while not self._jobs and not self._closing:
                self._changed.wait()
            return self._jobs.popleft() if self._jobs else None


def read_path(file: Path, principal_point: tuple[float, float]) -> CameraPath:
    """A camera path, ready to be flown; `principal_point` of frames that name none. Raises PathError."""
    from noisewalk.renderer.camera_path import load_path

    path = load_path(file, principal_point)
    path.camera(0, 1, 1)  # makes the splines on this thread, which takes seconds with many keyframes
    return path


def write_screenshot(scene: SceneFacts, pixels: np.ndarray, layers: dict[str, np.ndarray]) -> str:
    """What is shown, (H, W, 3) uint8, as PNG, and all its layers as EXR, both numbered, in the current folder.

    Returns the message to show. Raises OSError.
    """
    from PIL import Image

    stem = _unused(f"{scene.name}-")
    Image.fromarray(pixels).save(f"{stem}.png")
    write_layers(Path(f"{stem}.exr"), scene, layers)
    return f"saved {stem}.png and {stem}.exr in {Path.cwd()}"


def write_layers(file: Path, scene: SceneFacts, layers: dict[str, np.ndarray]) -> None:
    """All layers of a picture, (H, W, 3) float32, as one EXR. Raises OSError."""
    from noisewalk.renderer import exr

    names = ("denoised", "noisy", "half", "reference", "albedo", "estimated_error", "oidn")
    images = {"" if name == "denoised" else name: layers[name] for name in names if name in layers}
    exr.write_layers(file, images | {"sh_normal": layers["normal"]})


def _unused(prefix: str) -> str:
    """The first of prefix0001, prefix0002, ... for which there is no PNG and no EXR yet."""
    number = 1
    while any(Path(f"{prefix}{number:04d}{suffix}").exists() for suffix in (".png", ".exr")):
        number += 1
    return f"{prefix}{number:04d}"
