"""Shifted lenses and cropped films: the camera says where its axis meets the picture, and all agree with it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from noisewalk.renderer.backend import Backend
from noisewalk.renderer.camera_path import CameraPath, Keyframe, load_path, save_path
from noisewalk.renderer.default_path import default_path
from noisewalk.renderer.frame import Camera
from noisewalk.renderer.path_tracer import PathTracer
from noisewalk.renderer.rays import pick
from noisewalk.renderer.reference import ReferenceCache
from noisewalk.renderer.scene import Scene, open_scene
from tests.conftest import TINY_XML

SHIFT = '<float name="principal_point_offset_x" value="0.25"/><float name="principal_point_offset_y" value="-0.2"/>'
CROP = """<integer name="crop_width" value="24"/><integer name="crop_height" value="16"/>
  <integer name="crop_offset_x" value="3"/><integer name="crop_offset_y" value="14"/>"""
LENS = '<sensor type="thinlens"><float name="aperture_radius" value="0.001"/><float name="focus_distance" value="4"/>'
SCENES = {  # changes of the tiny scene, and where the axis then meets the picture
    "plain": ("", "", "", (0.5, 0.5)),
    "shifted": (SHIFT, "", "", (0.25, 0.7)),
    "cropped": ("", CROP, "", ((24 - 3) / 24, (16 - 14) / 16)),
    "both": (SHIFT, CROP, "", ((0.25 * 48 - 3) / 24, (0.7 * 32 - 14) / 16)),
    "thin lens": ("", CROP, LENS, ((24 - 3) / 24, (16 - 14) / 16)),
}


def opened(tmp_path: Path, backend: Backend, name: str) -> Scene:
    shift, crop, lens, _ = SCENES[name]
    film = '<film type="hdrfilm">'
    sensor = '<sensor type="perspective">'
    file = tmp_path / "scene.xml"
    file.write_text(TINY_XML.replace(film, shift + film + crop).replace(sensor, lens or sensor))
    return open_scene(str(file), backend.variant)


def seen_at(camera: Camera, points: np.ndarray) -> np.ndarray:
    """(..., 2) in pixels from the top left, by the formula in `Camera`."""
    left, up, forward = np.moveaxis((points - camera.to_world[:3, 3]) @ camera.to_world[:3, :3], -1, 0)
    focal = camera.height / (2 * math.tan(math.radians(camera.fov_y) / 2))
    x, y = camera.principal_point
    return np.stack([x * camera.width - left / forward * focal, y * camera.height - up / forward * focal], axis=-1)


def positions(scene: Scene, camera: Camera) -> np.ndarray:
    pair = PathTracer(scene, camera.width, camera.height, 16, 0).render_pair(camera, 0)
    return pair.a.position.cpu().numpy()


@pytest.mark.parametrize("name", SCENES)
def test_the_camera_says_where_in_the_picture_a_point_is_seen(tmp_path: Path, backend: Backend, name: str) -> None:
    scene = opened(tmp_path, backend, name)
    assert scene.start.principal_point == pytest.approx(SCENES[name][3], abs=1e-6)
    moved = scene.start.to_world.copy()
    moved[:3, 3] += 0.1, 0.2, -0.3
    for camera in (scene.start, replace(scene.start, to_world=moved, width=40, height=36, fov_y=40.0)):
        found = positions(scene, camera)
        rows, columns = np.indices(found.shape[:2])
        error = np.abs(seen_at(camera, found) - np.stack([columns, rows], axis=-1) - 0.5)
        floor = (np.abs(found[..., 1]) < 1e-4) & found.any(axis=-1)
        assert floor.sum() > 20 and np.median(error[floor]) < 0.2 and np.quantile(error[floor], 0.9) < 0.5


@pytest.mark.parametrize("name", SCENES)
def test_the_picture_is_bare_mitsubas(tmp_path: Path, backend: Backend, name: str) -> None:
    import mitsuba as mi

    scene = opened(tmp_path, backend, name)
    tracer = PathTracer(scene, scene.start.width, scene.start.height, 64, 0)
    bare = mi.load_file(str(scene.file))
    images = np.array(mi.render(bare, integrator=tracer.features, spp=64))[..., -3:]
    ours = tracer.render_pair(scene.start, 0).a.position
    assert np.abs(ours.cpu().numpy()[2:-2, 2:-2] - images[2:-2, 2:-2]).mean() < 0.05


@pytest.mark.parametrize("name", SCENES)
def test_a_point_that_is_picked_is_the_one_under_the_cursor(tmp_path: Path, backend: Backend, name: str) -> None:
    scene = opened(tmp_path, backend, name)
    for x, y in ((0.4, 0.9), (0.7, 0.8)):
        point = pick(scene, scene.start, x, y)
        assert point is not None
        assert seen_at(scene.start, point) == pytest.approx((x * scene.start.width, y * scene.start.height), abs=1e-2)


def test_a_changed_principal_point_changes_recorded_pictures(tmp_path: Path, backend: Backend) -> None:
    scene = opened(tmp_path, backend, "plain")
    tracer = PathTracer(scene, 48, 32, 4, 0)
    for shift in (0.5, 0.6, 0.7):
        camera = replace(scene.start, principal_point=(shift, 0.5))
        position = tracer.render_pair(camera, 0).a.position.cpu().numpy()[-1]
        assert np.median(np.abs(seen_at(camera, position)[:, 0] - np.arange(48) - 0.5)) < 0.3


def test_references_of_other_principal_points_are_others(tiny_scene: Scene, tmp_path: Path) -> None:
    cache = ReferenceCache(tmp_path, tiny_scene, 48, 32)
    shifted = replace(tiny_scene.start, principal_point=(0.5, 0.6))
    assert cache.file(shifted) != cache.file(tiny_scene.start)


def test_paths_keep_the_principal_point(tmp_path: Path, backend: Backend) -> None:
    scene = opened(tmp_path, backend, "both")
    path = default_path(scene)
    assert {path.camera(index, 8, 8).principal_point for index in range(0, 1000, 97)} == {scene.start.principal_point}
    save_path(path, tmp_path / "p.json")
    assert [k.principal_point for k in load_path(tmp_path / "p.json").keyframes] == [scene.start.principal_point] * 33


def test_a_path_that_names_no_principal_point_takes_the_scenes(tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    save_path(CameraPath((Keyframe(np.eye(4), 45.0),), 1, 1), file)
    assert load_path(file, (0.1, 0.2)).keyframes[0].principal_point == (0.5, 0.5)
    file.write_text(file.read_text().replace(', "principal_point": [0.5, 0.5]', ""))
    assert load_path(file, (0.1, 0.2)).keyframes[0].principal_point == (0.1, 0.2)
