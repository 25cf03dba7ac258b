"""All defaults of the program, and the options of its commands as frozen dataclasses."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import platformdirs

from noisewalk.denoiser import GUIDED_MODELS

CACHE_DIR = Path(platformdirs.user_cache_dir("noisewalk"))

GUIDES = ("auto", "oidn", "none")
# (with a CUDA GPU, without one): the side of a square frame in pixels, of the paper and of what a processor can do.
FRAME_SIZE = (512, 256)
SIDE_STEP = 8
REFERENCE_SPP = (2048, 512)
COMPARED_FRAMES = 200
TARGETS = ("noisy", "clean")
SAVED_FRAMES = ("exr", "png")
FILMS = (".mp4", ".png", ".exr")
SPLITS = ("noisy", "oidn")
STUDY_FEATURES = 16  # of the network in a study; the paper has 48
CAPTURES = 400  # noisy pictures in all, in the study budget
BENCH_REPEATS = 20
BENCH_MINUTES = 5
BROWSER_HOST, BROWSER_PORT = "127.0.0.1", 8080

# Who takes part in a comparison, and what differs from the options of a walk.
CONTENDERS: dict[str, dict[str, Any]] = {
    "kernel": {"model": "kernel"},
    "kernel-cold": {"model": "kernel", "cold": True},
    "kernel-unguided": {"model": "kernel", "guide": "none"},
    "adaptive-oidn": {"model": "adaptive-oidn"},
    "paper": {"model": "paper"},
}


@dataclass(frozen=True, kw_only=True)
class _Walk:
    """Options of a walk that do not depend on the machine. Defaults are the paper's, where it gives them."""

    model: str = "kernel"
    cold: bool = False
    targets: str = "noisy"  # clean: a twin of the model also trains, on references
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
    save_frames: str | None = None  # exr or png
    out: Path | None = None
    cache_dir: Path = CACHE_DIR


@dataclass(frozen=True, kw_only=True)
class WalkOptions(_Walk):
    """One walk as it was asked for. `resolve` fills in None and `auto`."""

    scene: str = "cornell"
    width: int | None = None
    height: int | None = None
    reference_spp: int | None = None
    guide: str = "auto"  # auto, oidn or none


@dataclass(frozen=True, kw_only=True)
class ResolvedOptions(_Walk):
    """One walk as it is done. Sizes in pixels; guide is oidn or none."""

    scene: str
    width: int
    height: int
    reference_spp: int
    guide: str


@dataclass(frozen=True)
class Machine:
    """What decides where the options leave something open.

    gpu: Mitsuba or torch runs on a GPU. guide: Open Image Denoise is installed.
    """

    gpu: bool
    guide: bool


def resolve(options: WalkOptions, machine: Machine, film: tuple[int, int]) -> ResolvedOptions:
    """Fills in what the options leave open. film: width and height of the scene's own picture, for its aspect."""
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
    """`oidn` if the model can use Open Image Denoise, and it is wanted and installed; else `none`."""
    if model not in GUIDED_MODELS:
        return "none"
    return guide if guide != "auto" else "oidn" if machine.guide else "none"


def frame_size(width: int | None, height: int | None, film: tuple[int, int], pixels: int) -> tuple[int, int]:
    """Width and height of the frames in pixels. If only one is given, the other follows from the film's aspect.

    If none is given, the frame has about `pixels` pixels, the film's aspect, and sides that are multiples of SIDE_STEP.
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
class DenoiseOptions:
    """One shot of frames that another renderer has made.

    half: names second halves; layers: `ROLE=NAME,...`; also: further color layers; cameras: a file that has them.
    passes: the last one writes; where there are several, it learns no more.
    memory: in GiB; half of what the device has where it is None.
    """

    frames: tuple[str, ...]
    half: tuple[str, ...] | None = None
    layers: str = ""
    also: tuple[str, ...] = ()
    cameras: Path | None = None
    model: str = WalkOptions.model
    guide: str = WalkOptions.guide
    cold: bool = WalkOptions.cold
    weights: Path | None = None
    passes: int = 1
    iterations: int = WalkOptions.iterations
    seed: int = 0
    device: str = "auto"
    memory: float | None = None
    output: Path = Path("denoised")
    noisy: bool = False
    png: bool = False


@dataclass(frozen=True)
class PretrainOptions:
    """How much to pretrain on. data: a folder for the rendered clips, so that the next run can use them again."""

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
    """One of the paper's studies, or all. Each has its own number of steps, crops a step and their size, unless told.

    images, volumes: folders to take the place of the pictures that come with packages.
    """

    name: str
    images: Path | None = None
    volumes: Path | None = None
    steps: int | None = None
    crop: int | None = None
    batch: int | None = None
    features: int = STUDY_FEATURES
    captures: int = CAPTURES
    seed: int = 0
    sweep: bool = False
    device: str = "auto"
    variant: str = "auto"
    out: Path | None = None
    cache_dir: Path = CACHE_DIR


@dataclass(frozen=True)
class Output:
    """What a command prints. quiet: no notes, no progress. json: the result as one line on standard output."""

    quiet: bool = False
    json: bool = False
