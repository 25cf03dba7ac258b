"""What a depth layer means: the distance ahead of the camera, or along the rays. Renderers differ, so frames tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch

from noisewalk.app.denoise.loaded import Loaded
from noisewalk.denoiser.history import accumulate

ENOUGH = 3  # pairs of frames


def find_along_rays(steps: Iterable[tuple[Loaded, Loaded]]) -> tuple[bool, int]:
    """Whether depth is along the rays, and how many pairs of a frame and the next have told it.

    It is what lets more points of a frame be found in the frame before. Where nothing decides, it is not.
    """
    found, seen = torch.zeros(2), 0
    for before, now in steps:
        if before.camera is not None and now.camera is not None:
            found += torch.tensor([_found(before, now, along_rays) for along_rays in (False, True)])
            seen += 1
        if seen == ENOUGH:
            break
    return bool(found[1] > found[0]), seen


def _found(before: Loaded, now: Loaded, along_rays: bool) -> float:
    """The share of the points that are found in the frame before."""
    old, new = (replace(one, along_rays=along_rays, motion=None).pair() for one in (before, now))
    nothing = torch.zeros(*old.a.color.shape[:2], 4)
    history = accumulate(old, nothing, nothing)
    return 0.0 if history is None else float((history.reproject(new.middle)[..., 3] > 0).float().mean())
