"""All defaults of the program, and what a walk is told: one frozen dataclass."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import platformdirs

CACHE_DIR = Path(platformdirs.user_cache_dir("noisewalk"))

# (with a CUDA GPU, without): the paper's frame, and one that a processor can walk with.
FRAME_SIZE = (512, 256)
REFERENCE_SPP = (2048, 512)
COMPARED_FRAMES = 200
BENCH_REPEATS = 20
BENCH_MINUTES = 5


@dataclass(frozen=True)
class WalkOptions:
    """One walk. The paper's values, where it gives them; frame size and reference spp are filled in by the machine."""

    scene: str = "cornell"
    model: str = "kernel"
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
class Output:
    """How a command talks: `quiet` without progress, `json` with the result as one line on standard output."""

    quiet: bool = False
    json: bool = False
