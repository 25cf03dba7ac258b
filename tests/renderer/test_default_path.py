"""The flight of scenes that bring none."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from noisewalk.renderer.backend import Backend
from noisewalk.renderer.default_path import default_path
from noisewalk.renderer.scene import open_scene
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
