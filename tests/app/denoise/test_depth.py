"""Depth with a camera: positions, and so past frames."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from noisewalk.app.denoise.frames import Frames
from noisewalk.app.denoise.sequence import find_shot
from noisewalk.denoiser.inputs import InputMaker
from noisewalk.denoiser.planes import AGE, part
from tests.app.denoise.conftest import RenderedShot, Run, channels, halves, ndc_of_pbrt, write


def write_depth(folder: Path, shot: RenderedShot, along_rays: bool, header: bool) -> list[str]:
    """Color, albedo, normal and Z, with the cameras in the headers or not at all."""
    folder.mkdir()
    for index, seed, of in halves(shot):
        camera = shot.cameras[index]
        seen = of["position"] - camera.to_world[:3, 3]
        depth = np.linalg.norm(seen, axis=-1) if along_rays else seen @ camera.to_world[:3, 2]
        matrices = {"worldToNDC": ndc_of_pbrt(camera).astype(np.float32)} if header else {}
        write(
            folder / f"d_h{seed}_{index}.exr",
            channels("", of["color"])
            | channels("albedo", of["albedo"])
            | channels("N", of["normal"], "XYZ")
            | {"Z": np.where(of["position"].any(axis=-1), depth, np.inf).astype(np.float32)},
            **matrices,
        )
    return [str(folder)]


def write_transforms(file: Path, shot: RenderedShot) -> Path:
    frames = [
        {"file_path": f"d_h0_{i}.exr", "transform_matrix": (c.to_world @ np.diag([-1.0, 1.0, -1.0, 1.0])).tolist()}
        for i, c in enumerate(shot.cameras)
    ]
    focal = 16 / np.tan(np.radians(shot.cameras[0].fov_y) / 2)
    file.write_text(json.dumps({"fl_y": focal, "frames": frames}))
    return file


@pytest.mark.parametrize("along_rays", [False, True])
@pytest.mark.parametrize("header", [False, True])
def test_depth_brings_a_history(along_rays: bool, header: bool, shot: RenderedShot, tmp_path: Path) -> None:
    words = write_depth(tmp_path / "in", shot, along_rays, header)
    cameras = None if header else write_transforms(tmp_path / "cameras.json", shot)
    frames = Frames(find_shot(words, None), {}, [], cameras)
    meaning = "along the rays" if along_rays else "ahead of the camera"
    assert frames.find_conventions() == [f"depth: {meaning} (compared in 1 of the frames)"]
    maker = InputMaker(torch.device("cpu"), guided=False, context=True)
    for index in range(2):
        prepared = maker.prepare(frames.read(index).pair())
    for half in (prepared.a, prepared.b):
        assert (part(half, AGE) > 0).float().mean() > 0.5


def test_the_command_takes_cameras_and_says_what_depth_is(denoise: Run, shot: RenderedShot, tmp_path: Path) -> None:
    words = [*write_depth(tmp_path / "in", shot, True, False), "-o", tmp_path / "out", "--guide", "none"]
    code, _, printed = denoise(*words, "--iterations", "1", "--cameras", write_transforms(tmp_path / "c.json", shot))
    assert code == 0 and "depth: Z\n" in printed and "depth: along the rays (" in printed
    code, _, printed = denoise(*words, "--cameras", tmp_path / "nowhere.json", "--quiet")
    assert code == 2 and printed.count("\n") == 1 and "nowhere.json: cannot read" in printed


def test_depth_without_cameras_is_left_out(shot: RenderedShot, tmp_path: Path) -> None:
    frames = Frames(find_shot(write_depth(tmp_path / "in", shot, False, False), None), {}, [])
    (said,) = frames.find_conventions()
    assert "depth is left out: it needs cameras" in said
    assert frames.read(0).pair().a.position is None
