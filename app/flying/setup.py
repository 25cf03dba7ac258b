"""Size, model, guide and path depth of an open scene: what a person can choose, and what follows from it."""

from __future__ import annotations

from dataclasses import replace

from noisewalk.app.flying.messages import SceneFacts, Setup
from noisewalk.app.options import CONTENDERS, WalkOptions, frame_size
from noisewalk.denoiser import GUIDED_MODELS

SIDES = (96, 128, 192, 256, 384, 512, 768, 1024)  # of squares with as many pixels as the offered sizes
SIDE_RANGE = (16, 4096)
MODELS = tuple(dict.fromkeys(contender["model"] for contender in CONTENDERS.values()))
DEPTHS = (None, 1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 64)


def with_setup(options: WalkOptions, setup: Setup) -> WalkOptions:
    """The same walk with another setup. Weights from a file belong to the walk as it began."""
    guide = "oidn" if setup.guide else "none"
    sized = replace(options, width=setup.width, height=setup.height)
    return replace(sized, model=setup.model, guide=guide, max_depth=setup.max_depth, weights=None)


def sizes(scene: SceneFacts, film_aspect: bool) -> list[tuple[int, int]]:
    """Widths and heights to choose from: of the film's aspect, or squares. The film's own size is the last."""
    film = scene.film if film_aspect else (1, 1)
    offered = [frame_size(None, None, film, side**2) for side in SIDES]
    return offered + ([scene.film] if film_aspect and scene.film not in offered else [])


def resized(scene: SceneFacts, width: int, height: int, film_aspect: bool) -> Setup:
    """The setup with another size, within SIDE_RANGE. film_aspect: the side that was not changed follows."""
    setup = scene.setup
    if film_aspect and height != setup.height:
        width, height = frame_size(None, _bounded(height), scene.film, 0)
    elif film_aspect:
        width, height = frame_size(_bounded(width), None, scene.film, 0)
    return replace(setup, width=_bounded(width), height=_bounded(height))


def can_be_guided(scene: SceneFacts, model: str) -> bool:
    """Whether Open Image Denoise is there, and can advise this model."""
    return scene.oidn and model in GUIDED_MODELS


def _bounded(side: int) -> int:
    return min(max(side, SIDE_RANGE[0]), SIDE_RANGE[1])
