"""Cameras from positions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from noisewalk.app.denoise.cameras import fit_camera, placed, points_at
from noisewalk.renderer.frame import Camera
from tests.app.denoise.conftest import RenderedShot, seen_at

HEIGHT, WIDTH = 40, 60


def pose() -> np.ndarray:
    """A camera turned about all axes, away from the origin."""
    rotation, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    to_world = np.eye(4)
    to_world[:3, :3] = rotation * np.sign(np.linalg.det(rotation))
    to_world[:3, 3] = 3.0, -2.0, 5.0
    return to_world


def seen(to_world: np.ndarray, fov_y: float, depth: np.ndarray, shift: tuple[float, float] = (0.5, 0.5)) -> np.ndarray:
    """(H, W, 3): what each pixel's center shows at these depths."""
    half = np.tan(np.radians(fov_y) / 2)
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    left = -2 * (x / WIDTH - shift[0]) * half * WIDTH / HEIGHT
    up = -2 * (y / HEIGHT - shift[1]) * half
    rays = np.stack([left, up, np.ones_like(left)], axis=-1) @ to_world[:3, :3].T
    return to_world[:3, 3] + rays * depth[..., None]


def bumps() -> np.ndarray:
    return 4.0 + np.random.default_rng(0).random((HEIGHT, WIDTH))


@pytest.mark.parametrize("shift", [(0.5, 0.5), (0.7, 0.1)])
def test_the_camera_is_found_again(shift: tuple[float, float]) -> None:
    position = seen(pose(), 33.0, bumps(), shift)
    position[:10] = 0.0  # the background
    position[10] = 1e10  # what some write for it
    position[20, ::7] += 2.0  # a pixel's mean on an edge is a point of neither surface
    camera = fit_camera(position.astype(np.float32))
    assert camera is not None and (camera.width, camera.height) == (WIDTH, HEIGHT)
    np.testing.assert_allclose(camera.to_world, pose(), atol=1e-3)
    assert camera.fov_y == pytest.approx(33.0, abs=0.01)
    assert camera.principal_point == pytest.approx(shift, abs=1e-3)


def test_no_camera_is_invented() -> None:
    assert fit_camera(np.zeros((HEIGHT, WIDTH, 3))) is None
    assert fit_camera(np.random.default_rng(0).random((HEIGHT, WIDTH, 3))) is None
    y, x = np.mgrid[:HEIGHT, :WIDTH] / 10.0
    assert fit_camera(np.stack([x, y, np.full_like(x, 5.0)], axis=-1)) is None  # a wall tells too little
    assert fit_camera(seen(np.eye(4), 33.0, bumps())) is None  # relative to the camera, wherever that moves


def camera(shift: tuple[float, float] = (0.5, 0.5)) -> Camera:
    return Camera(pose(), 33.0, WIDTH, HEIGHT, shift)


@pytest.mark.parametrize("axes", [pose()[:3, :3] * (-1, 1, 1), pose()[:3, :3] * (-1, 1, -1), np.eye(3)])
def test_positions_relative_to_a_known_camera_are_moved_to_the_world(axes: np.ndarray) -> None:
    """In the axes of pbrt's camera, of OpenGL's, and of the world."""
    world = seen(pose(), 33.0, bumps())
    relative = (world - pose()[:3, 3]) @ axes
    relative[:10] = world[:10] = 0.0  # the background
    for given in (world, relative):
        both = [torch.from_numpy(given.astype(np.float32))] * 2
        positions, found = placed(both, camera())
        assert found is not None and np.array_equal(found.to_world, pose())
        np.testing.assert_allclose(positions[1].numpy(), world, atol=1e-3)
    assert placed([torch.from_numpy(relative)] * 2, None)[1] is None


def test_a_camera_that_does_not_see_the_positions_is_another_one() -> None:
    both = [torch.from_numpy(seen(pose(), 33.0, bumps()))] * 2
    elsewhere = Camera(np.eye(4), 33.0, WIDTH, HEIGHT)
    positions, found = placed(both, elsewhere)
    assert positions is both and found is not None
    np.testing.assert_allclose(found.to_world, pose(), atol=1e-3)


@pytest.mark.parametrize("shift", [(0.5, 0.5), (0.7, 0.1)])
def test_depth_and_camera_give_positions(shift: tuple[float, float]) -> None:
    ahead = bumps()
    ahead[0, :4] = 0.0, np.inf, np.nan, 1e10
    world = np.where(np.isfinite(ahead)[..., None] & (ahead > 0)[..., None], seen(pose(), 33.0, bumps(), shift), 0.0)
    world[0, 3] = 0.0
    np.testing.assert_allclose(points_at(camera(shift), ahead, along_rays=False), world, atol=1e-4)
    distance = np.linalg.norm(seen(pose(), 33.0, bumps(), shift) - pose()[:3, 3], axis=-1)
    distance[0, :4] = ahead[0, :4]
    np.testing.assert_allclose(points_at(camera(shift), distance, along_rays=True), world, atol=1e-4)


def test_it_is_the_camera_that_rendered(shot: RenderedShot) -> None:
    for pair, camera in zip(shot.pairs, shot.cameras, strict=True):
        position = pair.mean("position").numpy()
        found = fit_camera(position)
        assert found is not None
        assert _apart(found, camera, position) < 0.3


def _apart(one: Camera, other: Camera, position: np.ndarray) -> float:
    """The median distance, in pixels, between where two cameras have the same points in their pictures."""
    points = torch.from_numpy(position[position.any(axis=-1)])
    return float((seen_at(one, points) - seen_at(other, points)).norm(dim=-1).median())
