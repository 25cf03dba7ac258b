"""Rooms from a seed: the same each time, different from each other, and fit to be rendered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from noisewalk.renderer.backend import Backend, choose_backend
from noisewalk.renderer.path_tracer import Sensor
from noisewalk.renderer.rays import distances
from noisewalk.renderer.scene import Scene, open_scene
from noisewalk.scenes.rooms import write_room
from noisewalk.scenes.rooms.shapes import SOLIDS, boxes, standing


@pytest.fixture(scope="module")
def scalar() -> Backend:
    """The variant that compiles no kernels, which would take longer than these pictures."""
    return choose_backend("scalar_rgb")


def opened(seed: int, folder: Path, backend: Backend) -> Scene:
    backend.activate()
    return open_scene(str(write_room(seed, folder)), backend.variant)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_seed_decides_every_byte(tmp_path: Path) -> None:
    for seed, name in ((3, "a"), (3, "b"), (4, "c")):
        write_room(seed, tmp_path / name)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a")["scene.xml"] != contents(tmp_path / "c")["scene.xml"]


@pytest.mark.parametrize("seed", [0, 9])  # a closed room, and one under the sky
def test_a_room_is_neither_black_nor_blown_out(tmp_path: Path, scalar: Backend, seed: int) -> None:
    scene = opened(seed, tmp_path, scalar)
    assert scene.warnings == ()
    camera = replace(scene.start, width=24, height=24)
    picture = np.array(Sensor(scene, 24, 24).render(camera, [(scene.integrator, 0)], 32)[0])
    assert np.isfinite(picture).all()
    median = np.median(picture.reshape(6, 4, 6, 4, 3).mean(axis=(1, 3, 4)))  # of blocks: less noise
    assert 0.15 < (median / (1 + median)) ** (1 / 2.2) < 0.85


def test_the_camera_has_space_around_it(tmp_path: Path, scalar: Backend) -> None:
    directions = np.random.default_rng(0).normal(size=(200, 3))
    for seed in range(8):
        scene = opened(seed, tmp_path / str(seed), scalar)
        found = distances(scene, scene.start.to_world[None, :3, 3], directions)
        assert found.min() > 0.1, f"seed {seed}: something is {found.min():.3f} m from the eye"


def test_solids_are_closed_with_normals_outwards() -> None:
    rng = np.random.default_rng(5)
    for solid in SOLIDS:
        mesh = standing(solid(rng), 1.0)
        corners = mesh.points[mesh.faces]
        # The divergence theorem: the volume, and no net area, except a pinhole at the poles.
        volume = np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
        area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) / 2
        assert volume > 0, solid.__name__
        assert np.linalg.norm(area.sum(axis=0)) < 1e-3 * np.linalg.norm(area, axis=1).sum(), solid.__name__
        assert np.linalg.norm(mesh.normals, axis=1) == pytest.approx(1), solid.__name__
        agree = np.einsum("ij,ij->i", area, mesh.normals[mesh.faces].mean(axis=1)) >= -1e-9
        assert agree.mean() > 0.97, solid.__name__


def test_a_box_is_as_large_as_asked() -> None:
    mesh = boxes([(1, 2, 3, 0.5, 1.5, 2.5)])
    assert mesh.points.min(axis=0) == pytest.approx((1, 2, 3)) and mesh.points.max(axis=0) == pytest.approx(
        (1.5, 3.5, 5.5)
    )
    corners = mesh.points[mesh.faces] - (1.25, 2.75, 4.25)
    assert np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6 == pytest.approx(1.875)
