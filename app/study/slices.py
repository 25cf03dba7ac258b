"""Slices of brains, or of phantoms, for the study of magnetic resonance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from noisewalk.app.console import Talk
from noisewalk.app.errors import UsageError
from noisewalk.app.options import StudyOptions
from noisewalk.app.study.pictures import EXTRA_HINT, Pictures, split

NIFTI = (".nii", ".nii.gz", ".mgz")
MIDDLE = (0.25, 0.72)  # of a volume's slices, from below; the others show little
TESTED = (0.45, 0.6)  # if there is only one volume
GAP = 0.04  # between those slices and the others, because neighbours show nearly the same
PHANTOMS, PHANTOM_SLICES = 12, 24
ELLIPSOIDS = 24


def brains(options: StudyOptions, crop: int, talk: Talk, check: Callable[[], None]) -> Pictures:
    """Slices (1, crop, crop) of `--volumes`, of nilearn's template, or else of phantoms. Raises UsageError."""
    if options.volumes is not None:
        volumes = _read_volumes(options.volumes, talk)
        return _of_volumes([_slices(volume, crop) for volume in volumes], f"{options.volumes}: {len(volumes)} volumes")
    if find_spec("nilearn") is not None and find_spec("nibabel") is not None:
        from nilearn.datasets import load_mni152_template

        template = load_mni152_template(resolution=2)
        return _of_volumes([_slices(_array(template), crop)], "nilearn's template brain, MNI152")
    talk.note("mri: nilearn is not installed: phantoms take the place of its brain")
    return _of_volumes([phantom(seed, crop) for seed in range(PHANTOMS)], f"{PHANTOMS} generated phantoms")


def phantom(seed: int, side: int) -> list[torch.Tensor]:
    """Slices (1, side, side) in [0, 1] through a head of random ellipsoids, after Shepp and Logan 1974."""
    random = np.random.default_rng(seed)
    grid = np.linspace(-1.0, 1.0, side)
    points = np.stack(np.meshgrid(np.linspace(-0.5, 0.5, PHANTOM_SLICES), grid, grid, indexing="ij"), axis=-1)
    skull = random.uniform(0.75, 0.95, 3)
    volume = 0.9 * (np.linalg.norm(points / skull, axis=-1) < 1.0)
    volume[np.linalg.norm(points / (0.9 * skull), axis=-1) < 1.0] = 0.4
    for _ in range(ELLIPSOIDS):
        turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
        local = (points - random.uniform(-0.5, 0.5, 3)) @ turn / random.uniform(0.05, 0.35, 3)
        inside = (np.linalg.norm(local, axis=-1) < 1.0) & (np.linalg.norm(points / (0.9 * skull), axis=-1) < 1.0)
        volume[inside] += random.uniform(-0.25, 0.35)
    return list(torch.from_numpy(volume.clip(0.0, 1.0)).float()[:, None])


def _of_volumes(volumes: Sequence[Sequence[torch.Tensor]], about: str) -> Pictures:
    """If there are several volumes, whole ones are for testing. Of a single one, slices from its middle are."""
    if len(volumes) == 1:
        (only,) = volumes
        low, high = (int(share * len(only)) for share in TESTED)
        gap = max(1, int(GAP * len(only)))
        train = [*only[: max(1, low - gap)], *only[high + gap :]]
        return Pictures(train, only[low:high:2] or only[-1:], f"{about}: other slices to test on")
    parts = split([torch.stack(list(slices)) for slices in volumes], about)
    train = [one for volume in parts.train for one in volume]
    return Pictures(train, [one for volume in parts.test for one in volume[:: max(1, len(volume) // 6)]], parts.about)


def _read_volumes(folder: Path, talk: Talk) -> list[np.ndarray]:
    if find_spec("nibabel") is None:
        raise UsageError(f"--volumes needs the package 'nibabel': {EXTRA_HINT}")
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    volumes = []
    for file in sorted(file for file in folder.rglob("*") if file.name.endswith(NIFTI)):
        try:
            volumes.append(_array(nibabel.load(file)))
        except (OSError, ValueError, EOFError, ImageFileError) as error:
            talk.warn(f"{file}: left out: cannot be read: {error}")
    if not volumes:
        raise UsageError(f"{folder}: no volume of three dimensions that can be read (NIfTI: .nii, .nii.gz)")
    return volumes


def _array(image: Any) -> np.ndarray:
    """(X, Y, Z) float32 in [0, 1]. The last axis points up, if the file says so."""
    import nibabel

    volume = np.asarray(nibabel.as_closest_canonical(image).dataobj, np.float32)
    if volume.ndim != 3 or min(volume.shape) < 8:
        raise ValueError(f"of shape {volume.shape}, not a volume")
    low, high = np.percentile(volume, (0.0, 99.9))
    return ((volume - low) / max(high - low, 1e-12)).clip(0.0, 1.0).astype(np.float32)


def _slices(volume: np.ndarray, side: int) -> list[torch.Tensor]:
    """Axial slices (1, side, side), each padded to a square and averaged down, or enlarged."""
    first, last = (int(share * volume.shape[2]) for share in MIDDLE)
    planes = torch.from_numpy(volume[:, :, first:last].transpose(2, 1, 0)[:, ::-1].copy())[:, None]
    height, width = planes.shape[-2:]
    wide, high = max(0, height - width), max(0, width - height)
    square = functional.pad(planes, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
    return list(functional.interpolate(square, size=(side, side), mode="bilinear", antialias=True, align_corners=False))
