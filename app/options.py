"""All defaults of the program, and what its commands are told: frozen dataclasses."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import platformdirs

from noisewalk.denoiser import GUIDED_MODELS

CACHE_DIR = Path(platformdirs.user_cache_dir("noisewalk"))

GUIDES = ("auto", "oidn", "none")
# (with a CUDA GPU, without): the side of the paper's frame, and of one that a processor can walk with.
FRAME_SIZE = (512, 256)
SIDE_STEP = 8
REFERENCE_SPP = (2048, 512)
COMPARED_FRAMES = 200
TARGETS = ("noisy", "clean")
FILMS = (".mp4", ".png", ".exr")
SPLITS = ("noisy", "oidn")
CAPTURES = 200  # noisy pictures in all, in the study budget
BENCH_REPEATS = 20
BENCH_MINUTES = 5
BROWSER_HOST, BROWSER_PORT = "127.0.0.1", 8080

# Who takes part in a comparison: what is different from a walk's own options.
CONTENDERS: dict[str, dict[str, Any]] = {
    "kernel": {"model": "kernel"},
    "kernel-cold": {"model": "kernel", "cold": True},
    "kernel-unguided": {"model": "kernel", "guide": "none"},
    "paper": {"model": "paper"},
}


@dataclass(frozen=True, kw_only=True)
class _Walk:
    """What a person decides of a walk, whatever the machine. The paper's values, where it gives them."""

    model: str = "kernel"
    cold: bool = False
    targets: str = "noisy"  # with clean ones, a twin of the model trains on references beside it
    frames: int = 1000
    spp: int = 8
    iterations: int = 8
    crop: int = 256
    learning_rate: float = 3e-4
    seed: int = 0
    max_depth: int | None = None  # the scene's own
    device: str = "auto"
    variant: str = "auto"
    path: Path | None = None
    reference_every: int = 50
    weights: Path | None = None
    out: Path | None = None
    cache_dir: Path = CACHE_DIR


@dataclass(frozen=True)
class WalkOptions(_Walk):
    """One walk as it was asked for. None and `auto` are for `resolve` to fill in."""

    scene: str = "cornell"
    width: int | None = None
    height: int | None = None
    reference_spp: int | None = None
    guide: str = "auto"  # auto, oidn or none


@dataclass(frozen=True, kw_only=True)
class ResolvedOptions(_Walk):
    """One walk as it is done: frame size in pixels, reference spp; guide is oidn or none."""

    scene: str
    width: int
    height: int
    reference_spp: int
    guide: str


@dataclass(frozen=True)
class Machine:
    """What decides where the options leave it open.

    gpu: Mitsuba or torch runs on one. guide: Open Image Denoise is installed.
    """

    gpu: bool
    guide: bool


def resolve(options: WalkOptions, machine: Machine, film: tuple[int, int]) -> ResolvedOptions:
    """Fills in what the options leave open. film: width and height of the scene's own picture, for the aspect."""
    column = 0 if machine.gpu else 1
    width, height = frame_size(options.width, options.height, film, FRAME_SIZE[column] ** 2)
    given = {field.name: getattr(options, field.name) for field in fields(options)}
    return ResolvedOptions(
        **given
        | {
            "width": width,
            "height": height,
            "reference_spp": options.reference_spp or REFERENCE_SPP[column],
            "guide": choose_guide(options.model, options.guide, machine),
        }
    )


def choose_guide(model: str, guide: str, machine: Machine) -> str:
    """`oidn` or `none`: whether the model has a use for Open Image Denoise, and it is wanted and installed."""
    if model not in GUIDED_MODELS:
        return "none"
    return guide if guide != "auto" else "oidn" if machine.guide else "none"


def frame_size(width: int | None, height: int | None, film: tuple[int, int], pixels: int) -> tuple[int, int]:
    """Width and height of the frames: those given; one of them alone keeps the film's aspect.

    With none given, the frame has about so many pixels, the film's aspect, and sides that are multiples of SIDE_STEP.
    """
    aspect = film[0] / film[1]
    if width is not None:
        return width, height or max(1, round(width / aspect))
    if height is not None:
        return max(1, round(height * aspect)), height
    across, down = math.sqrt(pixels * aspect), math.sqrt(pixels / aspect)
    return _multiple(across), _multiple(down)


def _multiple(side: float) -> int:
    return SIDE_STEP * max(1, round(side / SIDE_STEP))


@dataclass(frozen=True)
class PretrainOptions:
    """How much to pretrain on. `data` keeps the rendered clips, so that the next run need not render them again."""

    output: Path
    data: Path | None = None
    rooms: int = 80
    size: int = 160  # pixels a side
    steps: int = 8000
    seed: int = 0
    device: str = "auto"
    variant: str = "auto"
    cache_dir: Path = CACHE_DIR


@dataclass(frozen=True)
class StudyOptions:
    """One of the paper's studies, or all. Each has its own number of steps and size of crop unless told.

    images, volumes: folders to take the place of the pictures that come with packages.
    """

    name: str
    images: Path | None = None
    volumes: Path | None = None
    steps: int | None = None
    crop: int | None = None
    batch: int = 1
    captures: int = CAPTURES
    seed: int = 0
    sweep: bool = False
    device: str = "auto"
    variant: str = "auto"
    out: Path | None = None
    cache_dir: Path = CACHE_DIR


@dataclass(frozen=True)
class Output:
    """How a command talks: `quiet` without progress, `json` with the result as one line on standard output."""

    quiet: bool = False
    json: bool = False
