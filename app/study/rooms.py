"""Rendered rooms for the study of Monte Carlo noise: planes of one half, and its possible targets."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from noisewalk.app.console import Talk
from noisewalk.app.options import StudyOptions
from noisewalk.app.study.pictures import Pictures
from noisewalk.denoiser.features import tone_map
from noisewalk.denoiser.planes import CHANNELS, COLOR, frame_planes
from noisewalk.renderer.backend import choose_backend
from noisewalk.renderer.path_tracer import PathTracer
from noisewalk.renderer.scene import Scene, open_scene
from noisewalk.scenes.rooms import write_room

SPP = 64  # of each half
CLEAN_PAIRS = 4  # their mean is the clean picture; the noisy pair is not among them
TRAINED, TESTED = 10, 3  # rooms
SIZE = 64  # pixels a side, or the crop if that is larger
EXPOSED = 0.3  # the median radiance of a room, so that dark and bright ones count alike in the PSNR
# A lamp in view is dimmed to this radiance: one of 1000 would be all that L_HDR sees. How much a pixel is dimmed
# depends on the clean picture alone. So the noise of the pair stays independent, and zero on the average.
BRIGHTEST = 5.0
OTHER, CLEAN = slice(CHANNELS, CHANNELS + 3), slice(CHANNELS + 3, CHANNELS + 6)  # of a room's planes
ROOM_SEED = 10_000  # the kernel model was not pretrained on these


def rendered_rooms(options: StudyOptions, crop: int, talk: Talk, check: Callable[[], None]) -> Pictures:
    """(22, H, W) float32 each: the 16 planes of half a, the radiance of half b, and the clean radiance."""
    backend = choose_backend(options.variant, options.cache_dir)
    backend.activate()
    rooms = []
    with talk.progress() as progress, tempfile.TemporaryDirectory() as folder:
        task = progress.add_task("rooms", total=TRAINED + TESTED, note=f"{SPP} spp")
        for number in range(TRAINED + TESTED):
            scene = open_scene(str(write_room(ROOM_SEED + number, Path(folder) / "room")), backend.variant, None)
            rooms.append(render_room(scene, max(SIZE, crop), options.seed, number))
            progress.advance(task)
            check()
    about = f"rooms of {SPP} spp: {TRAINED} to train on, {TESTED} to test on; clean: {2 * SPP * CLEAN_PAIRS} spp"
    return Pictures(rooms[:TRAINED], rooms[TRAINED:], about)


def render_room(scene: Scene, size: int, seed: int, number: int) -> torch.Tensor:
    """Room `number` for `rendered_rooms`, seen by its own camera."""
    tracer = PathTracer(scene, size, size, SPP, seed)
    camera = replace(scene.start, width=size, height=size)
    first = number * (CLEAN_PAIRS + 1)  # no two frames of a run have the same index
    pair = tracer.render_pair(camera, first)
    others = [tracer.render_pair(camera, first + 1 + index).mean("color") for index in range(CLEAN_PAIRS)]
    radiance = torch.stack([pair.b.color, torch.stack(others).mean(0)])
    planes = [frame_planes(pair.a), *radiance.permute(0, 3, 1, 2).split(1)]
    room = torch.cat(planes, dim=1)[0].cpu().nan_to_num(0.0, 0.0, 0.0)
    exposure = EXPOSED / room[CLEAN].median().clamp(min=1e-4)
    brightest = room[CLEAN].amax(0) * exposure
    factor = exposure * (BRIGHTEST / brightest.clamp(min=BRIGHTEST))
    for radiant in (COLOR, OTHER, CLEAN):
        room[radiant] *= factor
    return room


def seen(room: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """What the network sees: (N, 16, H, W)."""
    return room[:, :CHANNELS]


def other_half(room: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The noisy target: (N, 3, H, W)."""
    return room[:, OTHER]


def clean(room: torch.Tensor) -> torch.Tensor:
    """The clean picture: (N, 3, H, W)."""
    return room[:, CLEAN]


def displayed(radiance: torch.Tensor) -> torch.Tensor:
    """Radiance as it is shown and measured."""
    return tone_map(radiance.nan_to_num(0.0))
