"""Trains the variants of a study side by side, and measures them now and then."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch

from noisewalk.app.console import StopSignal, Talk
from noisewalk.app.errors import Interrupted
from noisewalk.app.options import Output, StudyOptions
from noisewalk.app.study.classic import CLASSIC_PACKAGE, classic_is_installed
from noisewalk.app.study.draws import seeded
from noisewalk.app.study.pictures import TESTED_SIDE, Pictures, middle, to_float
from noisewalk.app.study.table import Study, Variant
from noisewalk.denoiser.losses import AnnealedL0
from noisewalk.denoiser.metrics import decibels
from noisewalk.denoiser.online import choose_device
from noisewalk.denoiser.trainer import Trainer, TrainingSettings
from noisewalk.renderer import RenderCancelled

QUIET = Talk(Output(quiet=True))
NEVER = StopSignal("")
MEASUREMENTS = 6  # along a study
RAMP_DOWN = 0.5  # of the steps at the end, in which the learning rate goes smoothly to zero


@dataclass(eq=False)
class Measured:
    """What a study found so far. curves: (step, dB) of each variant, the mean over the pictures that are tested on.

    input, classic: dB of what is given, and of methods that learn nothing. strip: the first of these pictures as it is
    shown, by name: its own dB, (H, W, C). seconds: of training, without measuring. state: complete, interrupted or
    failed.
    """

    study: Study
    settings: dict[str, int] = field(default_factory=dict)
    pictures: str = ""
    input: float = math.nan
    classic: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    strip: dict[str, tuple[float, torch.Tensor]] = field(default_factory=dict)
    seconds: float = 0.0
    state: str = "failed"

    @property
    def psnr(self) -> dict[str, float]:
        """The newest dB of all."""
        newest = {name: points[-1][1] for name, points in self.curves.items() if points}
        return {"input": self.input} | newest | self.classic


@dataclass(frozen=True, eq=False)
class _Test:
    """A corrupted picture (1, planes, H, W), and how it should look (1, C, H, W)."""

    seen: torch.Tensor
    truth: torch.Tensor


def measure(
    study: Study,
    options: StudyOptions,
    talk: Talk = QUIET,
    stop: StopSignal = NEVER,
    measured: Callable[[Measured], None] = lambda done: None,
) -> Measured:
    """Runs a study, and returns what it found, also where it is stopped. `measured` is called with it now and then.

    From Python: `measure(STUDIES["gaussian"], StudyOptions("gaussian"))`.

    All variants see the same crops at the same steps, and the same corruption of them; only targets and losses differ.
    """
    steps, crop = options.steps or study.steps, options.crop or study.crop
    settings = {"steps": steps, "crop": crop, "batch": options.batch, "seed": options.seed}
    done = Measured(study, settings)
    try:
        pictures = study.pictures(options, crop, talk)
        done.pictures = pictures.about
        tests = _tests(study, pictures, crop, options.seed)
        _measure_others(done, tests, talk)
        _train(done, pictures, tests, steps, options, talk, stop, measured)
        done.state = "complete"
    except (Interrupted, RenderCancelled):
        done.state = "interrupted"
    return done


def _tests(study: Study, pictures: Pictures, crop: int, seed: int) -> list[_Test]:
    whole = [to_float(middle(picture, max(TESTED_SIDE, 2 * crop)))[None] for picture in pictures.test]
    return [
        _Test(study.test(picture, seeded(seed, 2, index)), study.shown(study.truth(picture)))
        for index, picture in enumerate(whole)
    ]


def _measure_others(done: Measured, tests: list[_Test], talk: Talk) -> None:
    done.input = _measure(done, "input", lambda seen: seen[:, : done.study.channels].nan_to_num(0.0), tests)
    if done.study.classic and not classic_is_installed():
        talk.note(f"not installed, and left out: {CLASSIC_PACKAGE} ({', '.join(done.study.classic)})")
        return
    for name, method in done.study.classic.items():
        done.classic[name] = _measure(done, name, method, tests)


def _measure(done: Measured, name: str, method: Callable[[torch.Tensor], torch.Tensor], tests: list[_Test]) -> float:
    """The mean dB of a method; keeps its first picture for the strip."""
    pictures = [done.study.shown(method(test.seen)).clamp(0.0, 1.0).cpu() for test in tests]
    values = [
        decibels((picture - test.truth).double().square().mean().item())
        for picture, test in zip(pictures, tests, strict=True)
    ]
    done.strip[name] = values[0], pictures[0][0].movedim(0, -1)
    done.strip["truth"] = math.inf, tests[0].truth[0].movedim(0, -1)
    return sum(values) / len(values)


def _train(
    done: Measured,
    pictures: Pictures,
    tests: list[_Test],
    steps: int,
    options: StudyOptions,
    talk: Talk,
    stop: StopSignal,
    measured: Callable[[Measured], None],
) -> None:
    study = done.study
    device = choose_device(options.device)
    settings = TrainingSettings(pretrained=False, learning_rate=study.learning_rate, seed=options.seed)
    # Not recorded for a GPU: Cholesky factors (the blind spot's) wait for the device, which no recording can.
    learners = [(variant, Trainer(settings, device, None, variant.build)) for variant in study.variants]
    crops = partial(pictures.crops, options.batch, done.settings["crop"])
    due = {max(1, steps * count // MEASUREMENTS) for count in range(1, MEASUREMENTS + 1)}
    with talk.progress() as progress:
        task = progress.add_task(study.name, total=steps, note="")
        for step in range(steps):
            start = time.perf_counter()
            for variant, trainer in learners:
                _step(variant, trainer, crops, study.learning_rate, step / steps, seeded(options.seed, 3, step), device)
            done.seconds += time.perf_counter() - start
            if step + 1 in due or stop.requested:
                for variant, trainer in learners:
                    shown = partial(_shown, trainer)
                    done.curves.setdefault(variant.name, []).append(
                        (step + 1, _measure(done, variant.name, shown, tests))
                    )
                measured(done)
            note = ", ".join(f"{name} {points[-1][1]:.2f}" for name, points in done.curves.items())
            progress.update(task, completed=step + 1, note=f"{note} dB" if note else "")
            if step + 1 < steps:
                stop.check()


def _step(
    variant: Variant,
    trainer: Trainer,
    crops: Callable[[torch.Generator], torch.Tensor],
    learning_rate: float,
    progress: float,
    generator: torch.Generator,
    device: torch.device,
) -> None:
    for module in trainer.network.modules():
        if isinstance(module, AnnealedL0):
            module.progress.fill_(progress)
    trainer.set_learning_rate(learning_rate * ramp(progress))
    image, target = variant.draw(crops, generator)
    trainer.step(image.to(device), target.to(device))


def ramp(progress: float) -> float:
    """What the learning rate is multiplied with: 1, and in the last part of the training smoothly down to 0."""
    left = min(1.0, (1.0 - progress) / RAMP_DOWN)
    return (0.5 - 0.5 * math.cos(math.pi * left)) ** 2


@torch.no_grad()
def _shown(trainer: Trainer, seen: torch.Tensor) -> torch.Tensor:
    network: torch.nn.Module = trainer.network
    output: torch.Tensor = network(seen.to(trainer.device))
    return output
