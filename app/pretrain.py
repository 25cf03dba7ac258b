"""`noisewalk pretrain`: trains the weights that the kernel model starts from, on random rooms."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from noisewalk.app.console import StopSignal, Talk
from noisewalk.app.errors import EXIT_INTERRUPTED, Interrupted
from noisewalk.app.files import require_folder
from noisewalk.app.options import PretrainOptions
from noisewalk.denoiser.guide import require_guide
from noisewalk.denoiser.inputs import InputMaker
from noisewalk.denoiser.online import choose_device
from noisewalk.denoiser.planes import ALBEDO, COLOR, GUIDE, HISTORY, PAST
from noisewalk.denoiser.trainer import Trainer, TrainingSettings
from noisewalk.denoiser.weights import read_tensors, save_weights, write_tensors
from noisewalk.renderer import RenderCancelled
from noisewalk.renderer.backend import Backend, choose_backend
from noisewalk.renderer.frame import Camera
from noisewalk.renderer.path_tracer import PathTracer
from noisewalk.renderer.rays import viewing_distance
from noisewalk.renderer.scene import Scene, open_scene
from noisewalk.scenes.rooms import write_room

# Training uses these of each clip's twelve frames. They have histories of all ages, and differ enough.
CLIP = (0, 1, 2, 4, 7, 11)
SPP = 8
BATCH = 2
LEARNING_RATES = (1e-3, 1e-4)  # first and last, with a cosine between them
WITHOUT_GUIDE, WITHOUT_HISTORY = 0.3, 0.15  # how often they are hidden, because the model must work without them too
STOPS = 2.0  # exposures vary by up to this many stops
SAVE_STEPS = 500
LARGEST = 6e4  # radiance in float16


def pretrain(options: PretrainOptions, talk: Talk) -> int:
    """Renders short flights through random rooms, trains the kernel model on their noise alone, and writes weights.

    Returns the exit code. Raises UsageError if there is no folder for the weights, DenoiserError without the guide.
    """
    require_folder(options.output)
    require_guide()
    backend = choose_backend(options.variant, options.cache_dir)
    backend.activate()
    try:
        with (
            tempfile.TemporaryDirectory() as temporary,
            StopSignal("stopping; the last weights that were written are kept") as stop,
        ):
            folder = options.data or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            clips = _clips(options, folder, backend, talk, stop)
            trainer = _trained(options, clips, talk, stop)
    except (Interrupted, RenderCancelled):
        return EXIT_INTERRUPTED
    talk.result({"file": str(options.output), "steps": trainer.steps})
    return 0


def _clips(
    options: PretrainOptions, folder: Path, backend: Backend, talk: Talk, stop: StopSignal
) -> list[torch.Tensor]:
    """For each room, both halves of the frames of its clip: (frames, 2, 16, size, size) float16."""
    clips = []
    with talk.progress() as progress:
        task = progress.add_task("rooms", total=options.rooms, note="")
        for number in range(options.rooms):
            file = folder / f"room-{options.seed}-{number:04d}-{options.size}.safetensors"
            if not file.exists():
                clip = _render_clip(options, number, folder / "room", backend, stop)
                write_tensors(file, {"halves": clip}, {})
            clips.append(read_tensors(file)[0]["halves"])
            progress.advance(task)
    return clips


def _render_clip(
    options: PretrainOptions, number: int, folder: Path, backend: Backend, stop: StopSignal
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
            kept.append(pair.both.nan_to_num(0.0, LARGEST).clamp(-LARGEST, LARGEST).half())
        stop.check()
    return torch.stack(kept)


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


def _trained(options: PretrainOptions, clips: list[torch.Tensor], talk: Talk, stop: StopSignal) -> Trainer:
    device = choose_device(options.device)
    trainer = Trainer(TrainingSettings("kernel", pretrained=False, seed=options.seed), device)
    frames = torch.cat(clips)
    random = torch.Generator().manual_seed(options.seed)
    first, last = LEARNING_RATES
    recent = math.nan
    with talk.progress() as progress:
        task = progress.add_task("steps", total=options.steps, note="")
        for step in range(options.steps):
            fraction = step / options.steps
            trainer.set_learning_rate(last + (first - last) * (1 + math.cos(math.pi * fraction)) / 2)
            chosen = torch.randint(len(frames), (BATCH,), generator=random)
            image, target = _varied(frames[chosen].float(), random)
            loss = float(trainer.step(image.to(device), target.to(device)))
            if math.isfinite(loss):
                recent = loss if math.isnan(recent) else recent + 0.01 * (loss - recent)
            progress.update(task, completed=step + 1, note=f"loss {recent:.3f}")
            if trainer.steps % SAVE_STEPS == 0 or trainer.steps == options.steps:
                _save(options, trainer)
                talk.note(f"{options.output}: {trainer.steps} steps, loss {recent:.3f}")
            stop.check()
    return trainer


def _save(options: PretrainOptions, trainer: Trainer) -> None:
    about = {"scene": f"{options.rooms} random rooms", "steps": trainer.steps, "seed": options.seed}
    # Half precision halves the size. Its error is far smaller than the changes of the first training steps.
    halved = {name: value.half() for name, value in trainer.inference_parameters.items()}
    save_weights(options.output, "kernel", halved, about)


def _varied(halves: torch.Tensor, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Input (N, 16, H, W) and target (N, 3, H, W) from halves (N, 2, 16, H, W), varied so that few rooms are enough."""

    def chance(share: float) -> bool:
        return float(torch.rand((), generator=random)) < share

    if chance(0.5):
        halves = halves.flip(1)  # trains in the other direction
    if chance(0.5):
        halves = halves.flip(-1)
    if chance(0.5):
        halves = halves.flip(-2)
    if chance(0.5):
        halves = halves.transpose(-1, -2)
    halves = halves.clone()
    exposure = 2.0 ** (STOPS * (2.0 * float(torch.rand((), generator=random)) - 1.0))
    channels = torch.randperm(3, generator=random)
    for colored in (COLOR, ALBEDO, GUIDE, HISTORY):
        permuted = halves[:, :, colored][:, :, channels]
        halves[:, :, colored] = permuted if colored == ALBEDO else permuted * exposure
    if chance(WITHOUT_GUIDE):
        halves[:, :, GUIDE] = 0.0
    if chance(WITHOUT_HISTORY):
        halves[:, :, PAST] = 0.0
    return halves[:, 0], halves[:, 1, COLOR]
