"""The worker of a cluster. It renders passes of references, for which it opens the scene once, and random rooms."""

from __future__ import annotations

import hashlib
import io
import signal
import tempfile
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from noisewalk.app.options import PretrainOptions
from noisewalk.denoiser import DenoiserError
from noisewalk.renderer import RendererError
from noisewalk.renderer import reference as reference_module
from noisewalk.renderer.backend import choose_backend
from noisewalk.renderer.frame import Camera
from noisewalk.renderer.path_tracer import Sensor
from noisewalk.renderer.scene import open_scene

OPEN_SCENES = 2
Versions = tuple[tuple[str, str], ...]  # names and versions
_PROGRAM = Path(reference_module.__file__).parents[1]
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
    versions: Versions


@dataclass(frozen=True)
class Refusal:
    """The reason why a worker cannot render this."""

    worker: str
    reason: str


def renderer_versions() -> Versions:
    """The versions that must be the same on all machines that render one picture."""
    return _versions(("noisewalk", "mitsuba", "drjit"), ("renderer",))


def program_versions() -> Versions:
    """The versions that must be the same where the results of training or of Open Image Denoise are compared."""
    packages = ("noisewalk", "mitsuba", "drjit", "torch", "pyoidn")
    return _versions(packages, ("app", "denoiser", "renderer", "scenes"))


def _versions(packages: tuple[str, ...], folders: tuple[str, ...]) -> Versions:
    """Of those packages that are installed, and a hash of the sources in these folders of the program."""
    digest = hashlib.sha256()
    for file in sorted(file for folder in folders for file in (_PROGRAM / folder).rglob("*.py")):
        digest.update(file.read_bytes())
    installed = ((name, version(name)) for name in packages if find_spec(name) is not None)
    return (*installed, (f"sources of {', '.join(folders)}", digest.hexdigest()[:12]))


def render_pass(scene: bytes, passes: Passes, camera: Camera, index: int, spp: int) -> bytes | Refusal:
    """Both halves of pass `index` with `spp` samples per pixel each, (2, H, W, 3) float32 as bytes, or why not.

    scene: a zip archive of the scene's files.
    """
    return answer(renderer_versions(), passes.versions, _render, scene, passes, camera, index, spp)


def render_room(options: PretrainOptions, number: int, asked: Versions) -> bytes | Refusal:
    """The file of the clip of room `number`, see `clip`, or why not. asked: `program_versions` of who asks."""
    return answer(program_versions(), asked, _room, options, number)


def _room(options: PretrainOptions, number: int) -> bytes:
    from noisewalk.app.clips import clip, clip_file

    backend = choose_backend(options.variant)
    backend.activate()
    with tempfile.TemporaryDirectory(prefix="noisewalk-") as folder:
        clip(options, number, Path(folder), backend, lambda: None)
        return clip_file(options, number, Path(folder)).read_bytes()


def answer(own: Versions, asked: Versions, function: Callable[..., Any], *arguments: Any) -> Any:
    """What `function` gives on the worker's one thread; a Refusal if its versions differ or it cannot render."""
    from distributed import get_worker

    present = dict(own)
    different = [
        f"{name} {present.get(name)}, not {version}" for name, version in asked if present.get(name) != version
    ]
    if different:
        return Refusal(get_worker().address, "; ".join(different))
    try:
        return _thread().submit(function, *arguments).result()
    except (RendererError, DenoiserError) as error:
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


def unpack(scene: bytes, folder: Path) -> None:
    """Writes the scene's files into `folder`."""
    with zipfile.ZipFile(io.BytesIO(scene)) as archive:
        archive.extractall(folder)


def _open(scene: bytes, passes: Passes) -> Sensor:
    backend = choose_backend(passes.variant)
    backend.activate()
    with tempfile.TemporaryDirectory(prefix="noisewalk-") as folder:
        unpack(scene, Path(folder))
        opened = open_scene(str(Path(folder) / passes.file), backend.variant, passes.max_depth)
    if opened.content_hash != passes.content_hash:
        raise RendererError(f"{passes.file}: arrived as another scene")
    return Sensor(opened, passes.width, passes.height)
