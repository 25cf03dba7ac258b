"""Short flights through random rooms, on which the kernel model is pretrained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from noisewalk.app.options import PretrainOptions
from noisewalk.app.recipe import CLIP_CODE, recipe
from noisewalk.denoiser.inputs import InputMaker
from noisewalk.denoiser.planes import COLOR
from noisewalk.denoiser.weights import read_tensors, write_tensors
from noisewalk.renderer.backend import Backend
from noisewalk.renderer.frame import Camera
from noisewalk.renderer.path_tracer import PathTracer
from noisewalk.renderer.rays import viewing_distance
from noisewalk.renderer.scene import Scene, open_scene
from noisewalk.scenes.rooms import write_room

# Training uses these of each clip's twelve frames. They have histories of all ages, and differ enough.
CLIP = (0, 1, 2, 4, 7, 11)
SPP = 8
LARGEST = 6e4  # radiance in float16


def clip(
    options: PretrainOptions, number: int, folder: Path, backend: Backend, check: Callable[[], None]
) -> torch.Tensor:
    """Room `number`: both halves of the clip's frames, (len(CLIP), 2, 16, size, size) float16.

    It is kept in its file in `folder`. check: called now and then. What it raises ends the clip.
    """
    file = clip_file(options, number, folder)
    if not file.exists():
        write_tensors(file, {"halves": _rendered(options, number, folder / "room", backend, check)}, {})
    return read_tensors(file)[0]["halves"]


def clip_file(options: PretrainOptions, number: int, folder: Path) -> Path:
    """The file of room `number`. Its name has the hash of all that decides the clip, so that no old one is used."""
    return folder / f"room-{recipe(CLIP_CODE)}-{options.seed}-{number:04d}-{options.size}.safetensors"


def _rendered(
    options: PretrainOptions, number: int, folder: Path, backend: Backend, check: Callable[[], None]
) -> torch.Tensor:
    seed = options.seed * 2**20 + number
    scene = open_scene(str(write_room(seed, folder)), backend.variant, None)
    tracer = PathTracer(scene, options.size, options.size, SPP, seed)
    inputs = InputMaker(torch.device("cpu"), guided=True, context=True)
    cameras = _flight(scene, options.size, max(CLIP) + 1, np.random.default_rng(seed))
    kept = []
    for index, camera in enumerate(cameras):
        pair = inputs.prepare(tracer.render_pair(camera, index))
        if index in CLIP:
            kept.append(compact(pair.both))
        check()
    return torch.stack(kept)


def compact(planes: torch.Tensor) -> torch.Tensor:
    """Planes as float16. A broken pixel of the color stays NaN: as a target it is left out, and is not black."""
    color = planes[:, COLOR]
    broken = ~torch.isfinite(color)
    compact = planes.nan_to_num(0.0).clamp(-LARGEST, LARGEST).half()
    compact[:, COLOR] = compact[:, COLOR].masked_fill(broken, torch.nan)
    return compact


def _flight(scene: Scene, size: int, frames: int, random: np.random.Generator) -> list[Camera]:
    """A straight, turning flight from the scene's own view: 1.5% of its distance and 0.8 degrees a frame at most."""
    start = replace(scene.start, width=size, height=size)
    move = random.normal(size=3)
    move *= viewing_distance(scene) * random.uniform(0.0, 0.015) / np.linalg.norm(move)
    axis = random.normal(size=3)
    turn = np.radians(random.uniform(0.0, 0.8)) * axis / np.linalg.norm(axis)
    cameras = []
    for index in range(frames):
        pose = start.to_world.copy()
        pose[:3, 3] += index * move
        pose[:3, :3] = Rotation.from_rotvec(index * turn).as_matrix() @ pose[:3, :3]
        cameras.append(replace(start, to_world=pose))
    return cameras
