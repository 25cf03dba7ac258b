"""The worker of a cluster. It opens the scene that it got, once, and renders single passes of its references."""

from __future__ import annotations

import hashlib
import io
import signal
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from noisewalk.renderer import RendererError
from noisewalk.renderer import reference as reference_module
from noisewalk.renderer.backend import choose_backend
from noisewalk.renderer.frame import Camera
from noisewalk.renderer.path_tracer import Sensor
from noisewalk.renderer.scene import open_scene

OPEN_SCENES = 2
_OPENED: dict[Passes, Sensor] = {}  # kept from task to task


@dataclass(frozen=True)
class Passes:
    """What all passes share: the packed scene, and how it is rendered. versions: of the side that asks."""

    file: str
    content_hash: str
    variant: str
    max_depth: int | None
    width: int
    height: int
    versions: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Refusal:
    """The reason why a worker cannot render this."""

    worker: str
    reason: str


def versions() -> tuple[tuple[str, str], ...]:
    """The versions that must be the same on all machines that render one picture."""
    folder = Path(reference_module.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.py")):
        digest.update(file.read_bytes())
    packages = tuple((name, version(name)) for name in ("noisewalk", "mitsuba", "drjit"))
    return (*packages, ("renderer sources", digest.hexdigest()[:12]))


def render_pass(scene: bytes, passes: Passes, camera: Camera, index: int, spp: int) -> bytes | Refusal:
    """Both halves of pass `index` with `spp` samples per pixel each, (2, H, W, 3) float32 as bytes, or why not.

    scene: a zip archive of the scene's files.
    """
    from distributed import get_worker

    own = dict(versions())
    different = [f"{name} {own[name]}, not {asked}" for name, asked in passes.versions if own[name] != asked]
    if different:
        return Refusal(get_worker().address, "; ".join(different))
    try:
        return _thread().submit(_render, scene, passes, camera, index, spp).result()
    except RendererError as error:
        return Refusal(get_worker().address, str(error))


def dask_setup(worker: Any) -> None:
    """Called when a worker of our own starts. It ignores Ctrl-C: the side that asks then cancels the tasks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@cache
def _thread() -> ThreadPoolExecutor:
    """One thread for all tasks: Mitsuba keeps its variant per thread, and one picture uses all cores."""
    return ThreadPoolExecutor(1)


def _render(scene: bytes, passes: Passes, camera: Camera, index: int, spp: int) -> bytes:
    if passes not in _OPENED:
        while len(_OPENED) >= OPEN_SCENES:
            del _OPENED[next(iter(_OPENED))]
        _OPENED[passes] = _open(scene, passes)
    return np.stack(reference_module.render_pass(_OPENED[passes], camera, index, spp)).tobytes()


def _open(scene: bytes, passes: Passes) -> Sensor:
    backend = choose_backend(passes.variant)
    backend.activate()
    with tempfile.TemporaryDirectory(prefix="noisewalk-") as folder:
        with zipfile.ZipFile(io.BytesIO(scene)) as archive:
            archive.extractall(folder)
        opened = open_scene(str(Path(folder) / passes.file), backend.variant, passes.max_depth)
    if opened.content_hash != passes.content_hash:
        raise RendererError(f"{passes.file}: arrived as another scene")
    return Sensor(opened, passes.width, passes.height)
