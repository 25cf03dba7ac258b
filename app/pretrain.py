"""`noisewalk pretrain`: trains the weights that the kernel model starts from, on random rooms."""

from __future__ import annotations

import math
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import torch

from noisewalk.app.clips import clip, clip_file
from noisewalk.app.console import StopSignal, Talk
from noisewalk.app.errors import EXIT_INTERRUPTED, Interrupted
from noisewalk.app.files import require_folder
from noisewalk.app.machines import connect
from noisewalk.app.options import PretrainOptions
from noisewalk.app.recipe import TRAINING_CODE, recipe
from noisewalk.denoiser.checkpoint import load_checkpoint, save_checkpoint
from noisewalk.denoiser.guide import require_guide
from noisewalk.denoiser.online import choose_device
from noisewalk.denoiser.planes import ALBEDO, COLOR, GUIDE, HISTORY, PAST
from noisewalk.denoiser.trainer import Trainer, TrainingSettings
from noisewalk.denoiser.weights import WeightsError, save_weights
from noisewalk.renderer import RenderCancelled
from noisewalk.renderer.backend import Backend, choose_backend
from noisewalk.renderer.files import written_aside

BATCH = 2
LEARNING_RATES = (1e-3, 1e-4)  # first and last, with a cosine between them
WITHOUT_GUIDE, WITHOUT_HISTORY = 0.3, 0.15  # how often they are hidden, because the model must work without them too
STOPS = 2.0  # exposures vary by up to this many stops
SAVE_STEPS = 500


def pretrain(options: PretrainOptions, talk: Talk, cluster: str | None = None) -> int:
    """Renders short flights through random rooms, trains the kernel model on their noise alone, and writes weights.

    cluster: renders the flights, see `connect`. Returns the exit code. Raises UsageError if there is no folder for the
    weights, DenoiserError without the guide.
    """
    require_folder(options.output)
    require_guide()
    backend = choose_backend(options.variant, options.cache_dir)
    backend.activate()
    try:
        with (
            tempfile.TemporaryDirectory() as temporary,
            StopSignal("stopping; the same command goes on from here") as stop,
        ):
            folder = options.data or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            if cluster is not None:
                _render_there(cluster, options, folder, talk, stop)
            clips = _clips(options, folder, backend, talk, stop)
            trainer = _trained(options, clips, talk, stop)
    except (Interrupted, RenderCancelled):
        return EXIT_INTERRUPTED
    talk.result({"file": str(options.output), "steps": trainer.steps})
    return 0


def _render_there(address: str, options: PretrainOptions, folder: Path, talk: Talk, stop: StopSignal) -> None:
    """Leaves the files of all clips in `folder`. Those that are there already stay."""
    cluster = connect(address)
    from noisewalk.app.cluster import Job
    from noisewalk.app.cluster_worker import program_versions, render_room

    files = {number: clip_file(options, number, folder) for number in range(options.rooms)}
    missing = [number for number, file in files.items() if not file.exists()]
    asked = replace(options, output=Path(), data=None, cache_dir=PretrainOptions.cache_dir)
    versions = program_versions()
    jobs = (Job(f"room-{number}", render_room, (asked, number, versions), number) for number in missing)
    try:
        with talk.progress() as progress, closing(cluster.run(jobs, talk, stop)) as results:
            task = progress.add_task("rooms", total=len(missing), note=f"on {address}")
            for job, content in results:
                with written_aside(files[job.about]) as temporary:
                    temporary.write_bytes(content)
                progress.advance(task)
    finally:
        cluster.close()


def _clips(
    options: PretrainOptions, folder: Path, backend: Backend, talk: Talk, stop: StopSignal
) -> list[torch.Tensor]:
    """The clips of all rooms, see `clip`."""
    clips = []
    with talk.progress() as progress:
        task = progress.add_task("rooms", total=options.rooms, note="")
        for number in range(options.rooms):
            clips.append(clip(options, number, folder, backend, stop.check))
            progress.advance(task)
    return clips


def _trained(options: PretrainOptions, clips: list[torch.Tensor], talk: Talk, stop: StopSignal) -> Trainer:
    device = choose_device(options.device)
    trainer = Trainer(TrainingSettings("kernel", pretrained=False, seed=options.seed), device)
    frames = torch.cat(clips)
    recent = _resumed(options, trainer, talk)
    with talk.progress() as progress:
        task = progress.add_task("steps", total=options.steps, note="")
        try:
            while trainer.steps < options.steps:
                loss = _step(options, trainer, frames, device)
                if math.isfinite(loss):
                    recent = loss if math.isnan(recent) else recent + 0.01 * (loss - recent)
                progress.update(task, completed=trainer.steps, note=f"loss {recent:.3f}")
                if trainer.steps % SAVE_STEPS == 0 or trainer.steps == options.steps:
                    _save(options, trainer, recent)
                    talk.note(f"{options.output}: {trainer.steps} steps, loss {recent:.3f}")
                stop.check()
        except Interrupted:
            _save(options, trainer, recent)
            raise
    _checkpoint(options).unlink(missing_ok=True)
    return trainer


def _step(options: PretrainOptions, trainer: Trainer, frames: torch.Tensor, device: torch.device) -> float:
    """Makes the next step. Returns its loss."""
    first, last = LEARNING_RATES
    fraction = trainer.steps / options.steps
    trainer.set_learning_rate(last + (first - last) * (1 + math.cos(math.pi * fraction)) / 2)
    # Each step has its own generator, so that a resumed run draws the same numbers as one that was never stopped.
    random = torch.Generator().manual_seed(options.seed * 2**32 + trainer.steps)
    chosen = torch.randint(len(frames), (BATCH,), generator=random)
    image, target = _varied(frames[chosen].float(), random)
    return float(trainer.step(image.to(device), target.to(device)))


def _about(options: PretrainOptions) -> dict[str, object]:
    """All that decides the training, for the metadata."""
    settings = {"rooms": options.rooms, "size": options.size, "steps": options.steps, "seed": options.seed}
    return settings | {"code": recipe(TRAINING_CODE)}


def _checkpoint(options: PretrainOptions) -> Path:
    return options.output.with_name(options.output.name + ".checkpoint")


def _resumed(options: PretrainOptions, trainer: Trainer, talk: Talk) -> float:
    """Continues from the checkpoint beside the output if all that decides is the same. Returns its recent loss."""
    file = _checkpoint(options)
    if not file.exists():
        return math.nan
    try:
        progress = load_checkpoint(file, trainer)[1]
    except WeightsError:  # usually the model has changed
        progress = {}
    if progress.get("about") != _about(options):
        talk.warn(f"{file}: made by other code or settings: training begins again")
        trainer.restart()
        return math.nan
    talk.note(f"{file}: going on at step {trainer.steps}")
    return float(str(progress["loss"]))


def _save(options: PretrainOptions, trainer: Trainer, recent: float) -> None:
    save_checkpoint(_checkpoint(options), trainer, None, {"about": _about(options), "loss": str(recent)})
    about = {"scene": f"{options.rooms} random rooms"} | _about(options) | {"steps": trainer.steps}
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
