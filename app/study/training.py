"""Trains the variants of a study side by side, and measures them now and then."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch

from noisewalk.app.clock import timed
from noisewalk.app.console import StopSignal, Talk
from noisewalk.app.errors import Interrupted
from noisewalk.app.options import Output, StudyOptions
from noisewalk.app.study.classic import CLASSIC_PACKAGE, classic_is_installed
from noisewalk.app.study.draws import Crops, seeded
from noisewalk.app.study.pictures import TESTED_SIDE, Pictures, middle, to_float
from noisewalk.app.study.table import Study
from noisewalk.denoiser.losses import AnnealedL0
from noisewalk.denoiser.metrics import decibels
from noisewalk.denoiser.online import choose_device
from noisewalk.denoiser.trainer import Trainer, TrainingSettings
from noisewalk.denoiser.unet import FEATURES
from noisewalk.renderer import RenderCancelled

QUIET = Talk(Output(quiet=True))
NEVER = StopSignal("")
MEASUREMENTS = 6  # along a study
RAMP_DOWN = 0.3  # of the steps, at the end: the learning rate goes smoothly to zero, as in the authors' program


@dataclass(eq=False)
class Measured:
    """What a study has found so far.

    curves:         (step, dB) of each variant, the mean over the tested pictures.
    input, classic: dB of the corrupted pictures, and of methods without learning.
    strip:          by name, the first tested picture as it is shown: its dB, (H, W, C).
    seconds:        of training, without measuring.
    state:          complete, interrupted or failed.
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
    """Runs a study, and returns what it found, also if it is stopped. Calls `measured` with that now and then.

    From Python: `measure(STUDIES["gaussian"], StudyOptions("gaussian"))`.

    All variants see the same crops at the same steps, and the same corruption of them; only targets and losses differ.
    """
    steps, crop, batch = options.steps or study.steps, options.crop or study.crop, options.batch or study.batch
    settings = {"steps": steps, "crop": crop, "batch": batch, "features": options.features}
    done = Measured(study, settings | {"seed": options.seed})
    try:
        pictures = study.pictures(options, crop, talk, stop.check)
        done.pictures = pictures.about
        tests = _tests(study, pictures, crop, options.seed)
        _measure_others(done, tests, talk)
        learners = _Learners(study, options, partial(pictures.crops, batch, crop))
        with talk.progress() as progress:
            task = progress.add_task(study.name, total=steps, note="")
            for step in range(steps):
                done.seconds += timed(partial(learners.learn, step, step / steps))[1] / 1e3
                if _is_due(step + 1, steps) or stop.requested:
                    _measure_learners(done, learners, tests, step + 1)
                    measured(done)
                progress.update(task, completed=step + 1, note=_note(done))
                if step + 1 < steps:
                    stop.check()
        done.state = "complete"
    except (Interrupted, RenderCancelled):
        done.state = "interrupted"
    return done


def _is_due(step: int, steps: int) -> bool:
    return step * MEASUREMENTS // steps > (step - 1) * MEASUREMENTS // steps


def _note(done: Measured) -> str:
    newest = [f"{name} {points[-1][1]:.2f}" for name, points in done.curves.items()]
    return f"{', '.join(newest)} dB" if newest else ""


def _tests(study: Study, pictures: Pictures, crop: int, seed: int) -> list[_Test]:
    whole = [to_float(middle(picture, max(TESTED_SIDE, 2 * crop)))[None] for picture in pictures.test]
    return [
        _Test(study.test(picture, seeded(seed, 2, index)), study.shown(study.truth(picture)))
        for index, picture in enumerate(whole)
    ]


def _measure_others(done: Measured, tests: list[_Test], talk: Talk) -> None:
    done.strip["truth"] = math.inf, tests[0].truth[0].movedim(0, -1)
    done.input = _measure(done, "input", lambda seen: seen[:, : done.study.channels].nan_to_num(0.0), tests)
    if done.study.classic and not classic_is_installed():
        talk.note(f"not installed, and left out: {CLASSIC_PACKAGE} ({', '.join(done.study.classic)})")
        return
    for name, method in done.study.classic.items():
        done.classic[name] = _measure(done, name, method, tests)


def _measure_learners(done: Measured, learners: _Learners, tests: list[_Test], step: int) -> None:
    for name in learners.trainers:
        point = step, _measure(done, name, partial(learners.denoise, name), tests)
        done.curves.setdefault(name, []).append(point)


def _measure(done: Measured, name: str, method: Callable[[torch.Tensor], torch.Tensor], tests: list[_Test]) -> float:
    """The mean dB of a method. Keeps its first picture for the strip."""
    pictures = [done.study.shown(method(test.seen)).clamp(0.0, 1.0).cpu() for test in tests]
    values = [
        decibels((picture - test.truth).double().square().mean().item())
        for picture, test in zip(pictures, tests, strict=True)
    ]
    done.strip[name] = values[0], pictures[0][0].movedim(0, -1)
    return sum(values) / len(values)


class _Learners:
    """The variants of a study, each with a trainer."""

    def __init__(self, study: Study, options: StudyOptions, crops: Crops) -> None:
        device = choose_device(options.device)
        # Adam's best rate falls as a network gets wider (Yang et al. 2021, "Tensor Programs V").
        rate = study.learning_rate * FEATURES / options.features
        settings = TrainingSettings(pretrained=False, learning_rate=rate, seed=options.seed)
        # Not recorded on a GPU: the blind spot's Cholesky factors wait for the device, which a recording cannot do.
        builds = {variant.name: partial(variant.build, features=options.features) for variant in study.variants}
        self.trainers = {name: Trainer(settings, device, None, build) for name, build in builds.items()}
        self._draws = {variant.name: variant.draw for variant in study.variants}
        self._crops, self._seed = crops, options.seed

    def learn(self, step: int, progress: float) -> None:
        """One training step of each variant. progress: of the training, from 0 to 1."""
        # Each step has its own generator, so that variants that draw more numbers still see the same crops later.
        drawn = {draw: draw(self._crops, seeded(self._seed, 3, step)) for draw in set(self._draws.values())}
        for name, trainer in self.trainers.items():
            for module in trainer.network.modules():
                if isinstance(module, AnnealedL0):
                    module.progress.fill_(progress)
            trainer.set_learning_rate(trainer.settings.learning_rate * ramp(progress))
            image, target = drawn[self._draws[name]]
            trainer.step(image.to(trainer.device), target.to(trainer.device))

    @torch.no_grad()
    def denoise(self, name: str, seen: torch.Tensor) -> torch.Tensor:
        """A variant's picture of a corrupted one, (1, planes, H, W) -> (1, C, H, W)."""
        trainer = self.trainers[name]
        network: torch.nn.Module = trainer.network
        output: torch.Tensor = network(seen.to(trainer.device))
        return output


def ramp(progress: float) -> float:
    """The factor of the learning rate: 1, and in the last part of the training smoothly down to 0."""
    left = min(1.0, (1.0 - progress) / RAMP_DOWN)
    return (0.5 - 0.5 * math.cos(math.pi * left)) ** 2
