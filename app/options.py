"""All defaults of the program, and what its commands are told: frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

CACHE_DIR = Path(platformdirs.user_cache_dir("noisewalk"))

GUIDES = ("auto", "oidn", "none")
# (with a CUDA GPU, without): the paper's frame, and one that a processor can walk with.
FRAME_SIZE = (512, 256)
REFERENCE_SPP = (2048, 512)
COMPARED_FRAMES = 200
TARGETS = ("noisy", "clean")
BENCH_REPEATS = 20
BENCH_MINUTES = 5

# Who takes part in a comparison: what is different from a walk's own options.
CONTENDERS: dict[str, dict[str, Any]] = {
    "kernel": {"model": "kernel"},
    "kernel-cold": {"model": "kernel", "cold": True},
    "kernel-unguided": {"model": "kernel", "guide": "none"},
    "paper": {"model": "paper"},
}


@dataclass(frozen=True)
class WalkOptions:
    """One walk. The paper's values, where it gives them; the machine fills in frame size, reference spp and guide."""

    scene: str = "cornell"
    model: str = "kernel"
    guide: str = "auto"  # auto, oidn or none; filled in
    cold: bool = False
    targets: str = "noisy"  # with clean ones, a twin of the model trains on references beside it
    frames: int = 1000
    width: int | None = None
    height: int | None = None
    spp: int = 8
    iterations: int = 8
    crop: int = 256
    learning_rate: float = 3e-4
    seed: int = 0
    max_depth: int | None = None
    device: str = "auto"
    variant: str = "auto"
    path: Path | None = None
    reference_spp: int | None = None
    reference_every: int = 50
    weights: Path | None = None
    out: Path | None = None
    cache_dir: Path = CACHE_DIR


@dataclass(frozen=True)
class DenoiseOptions:
    """One shot of frames that another renderer has made.

    half: names second halves; layers: `ROLE=NAME,...`; also: further color layers.
    passes: the last one writes; where there are several, it learns no more.
    memory: in GiB; half of what the device has where it is None.
    """

    frames: tuple[str, ...]
    half: tuple[str, ...] | None = None
    layers: str = ""
    also: tuple[str, ...] = ()
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
class Output:
    """How a command talks: `quiet` without progress, `json` with the result as one line on standard output."""

    quiet: bool = False
    json: bool = False
