"""The flight of scenes without a path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from noisewalk.renderer.backend import Backend, choose_backend
from noisewalk.renderer.default_path import default_path
from noisewalk.renderer.frame import Camera
from noisewalk.renderer.rays import pick
from noisewalk.renderer.scene import Scene, open_scene
from tests.conftest import TINY_XML


def test_default_path_is_gentle_deterministic_and_stays_inside(backend: Backend, tmp_path: Path) -> None:
    room = TINY_XML.replace(
        "</scene>",
        '<shape type="cube" id="room"><transform name="to_world"><scale value="5"/></transform></shape></scene>',
    )
    file = tmp_path / "room.xml"
    file.write_text(room)
    scene = open_scene(str(file), backend.variant)
    path, again = default_path(scene), default_path(scene)
    poses = np.stack([path.camera(i, 8, 8).to_world for i in range(len(path))])
    assert len(path) == 1000
    assert np.array_equal(poses[500], again.camera(500, 8, 8).to_world)
    np.testing.assert_allclose(poses[0], scene.start.to_world, atol=1e-4)
    assert (np.abs(poses[:, :3, 3]) < 5).all()
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    assert 0 < steps.max() < 0.02
    turned = np.degrees(np.arccos(np.clip((poses[:, :3, 2] @ poses[0, :3, 2]), -1, 1)))
    assert 3 < turned.max() < 25


BEHIND = '<shape type="sphere"><point name="center" x="0" y="0" z="99"/></shape>'
SHIFT = '<float name="principal_point_offset_x" value="0.2"/>'
BALL = '<emitter type="constant"/><shape type="sphere"/>'
ROOM = """<shape type="cube"><transform name="to_world"><scale value="9"/></transform></shape>"""
LOOKING = """<scene version="3.0.0"><integrator type="path"/>
  <sensor type="perspective"><float name="fov" value="{fov}"/>
  <transform name="to_world"><lookat origin="{eye}" target="0, 0, 0" up="0, 1, 0"/></transform>{lens}
  <film type="hdrfilm"><integer name="width" value="32"/><integer name="height" value="24"/></film></sensor>
  {shapes}</scene>"""


def looking(tmp_path: Path, backend: Backend, eye: str, shapes: str, fov: float = 35.0, lens: str = "") -> Scene:
    file = tmp_path / "looking.xml"
    file.write_text(LOOKING.format(eye=eye, shapes=shapes, fov=fov, lens=lens))
    return open_scene(str(file), backend.variant)


@pytest.mark.parametrize(
    ("radii", "shapes", "fov", "lens"),
    [
        (3, BALL, 35, ""),
        (6, BALL, 35, ""),
        (100, BALL, 35, ""),
        (100, BALL, 0.05, ""),
        (6, BALL, 35, SHIFT),
        (3, BALL + ROOM, 35, ""),
        (100, BALL + ROOM.replace("9", "900"), 0.9, SHIFT),
    ],
)
def test_it_orbits_what_the_scene_looks_at(
    tmp_path: Path, backend: Backend, radii: int, shapes: str, fov: float, lens: str
) -> None:
    scene = looking(tmp_path, backend, f"0, 0, {radii}", shapes, fov, lens)
    middle = pick(scene, scene.start, 0.5, 0.5)
    assert middle is not None
    path = default_path(scene)
    positions = np.stack([path.camera(index, 32, 24).to_world[:3, 3] for index in range(0, 1000, 10)])
    away = np.linalg.norm(positions - [0, 0, radii], axis=1).max()
    assert 0.01 * (radii - 1) < away < 0.3 * radii
    assert np.linalg.norm(positions, axis=1).min() > 1.2
    assert np.linalg.norm(np.diff(positions, axis=0), axis=1).max() < 0.03 * radii
    for index in range(0, 1000, 50):
        assert np.abs(_where(path.camera(index, 32, 24), middle) - 0.5).max() < 0.3


def _where(camera: Camera, point: np.ndarray) -> np.ndarray:
    left, up, forward = (point - camera.to_world[:3, 3]) @ camera.to_world[:3, :3]
    height = 2 * forward * np.tan(np.radians(camera.fov_y) / 2)
    x, y = camera.principal_point
    return np.array([x - left / height * camera.height / camera.width, y - up / height])


@pytest.mark.parametrize("variant", ["scalar_rgb", "llvm"])
@pytest.mark.parametrize("shapes", ["", '<emitter type="constant"/>', '<emitter type="sunsky"/>', BEHIND])
def test_scenes_that_show_nothing_have_one_too(
    tmp_path: Path, shapes: str, variant: str, request: pytest.FixtureRequest
) -> None:
    backend = request.getfixturevalue("llvm_backend") if variant == "llvm" else choose_backend(variant)
    backend.activate()
    scene = looking(tmp_path, backend, "0, 5, 9", shapes)
    poses = np.stack([default_path(scene).camera(index, 8, 8).to_world for index in (0, 250, 500, 750)])
    assert np.isfinite(poses).all() and np.linalg.norm(poses[2, :3, 3] - poses[0, :3, 3]) > 0.01
