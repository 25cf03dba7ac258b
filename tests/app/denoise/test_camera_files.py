"""Cameras in headers and in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noisewalk.app.denoise.camera_files import header_camera, load_cameras
from noisewalk.app.denoise.sequence import ShotFrame
from noisewalk.app.errors import UsageError
from noisewalk.renderer import RendererError
from noisewalk.renderer.camera_path import CameraPath, Keyframe, save_path
from noisewalk.renderer.frame import Camera
from tests.app.denoise.conftest import ndc_of_pbrt

WIDTH, HEIGHT = 60, 40


def camera(mirrored: bool = False, shift: tuple[float, float] = (0.5, 0.5)) -> Camera:
    """One turned about all axes, away from the origin; pbrt's world may be mirrored."""
    rotation, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))
    to_world = np.eye(4)
    to_world[:3, :3] = rotation * np.sign(np.linalg.det(rotation)) * (-1 if mirrored else 1)
    to_world[:3, 3] = 3.0, -2.0, 5.0
    return Camera(to_world, 40.0, WIDTH, HEIGHT, shift)


def same(one: Camera | None, other: Camera) -> bool:
    return (
        one is not None
        and np.allclose(one.to_world, other.to_world, atol=1e-3)
        and abs(one.fov_y - other.fov_y) < 0.01
        and np.allclose(one.principal_point, other.principal_point, atol=1e-3)
    )


def header(matrix: np.ndarray, **windows: tuple[tuple[int, int], tuple[int, int]]) -> dict[str, Any]:
    whole = ((0, 0), (WIDTH - 1, HEIGHT - 1))
    return {"worldToNDC": matrix.astype(np.float32), "displayWindow": whole, "dataWindow": whole} | windows


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_header_of_pbrt(mirrored: bool) -> None:
    here = camera(mirrored)
    matrix = ndc_of_pbrt(here)
    assert same(header_camera(header(matrix), WIDTH, HEIGHT), here)


def test_the_header_of_others_multiplies_rows() -> None:
    """-1 to 1 across both sides, as OpenEXR's standard attribute."""
    here = camera()
    world_to_camera = np.linalg.inv(here.to_world @ np.diag([-1.0, 1.0, 1.0, 1.0]))
    focal = 1 / np.tan(np.radians(here.fov_y) / 2)
    projection = np.array([[focal * HEIGHT / WIDTH, 0, 0, 0], [0, focal, 0, 0], [0, 0, 1.01, -0.1], [0, 0, 1, 0]])
    matrix = (projection @ world_to_camera).T
    assert same(header_camera(header(matrix), WIDTH, HEIGHT), here)
    # Only the right half was rendered: then the optical axis is at its left edge.
    right = {"displayWindow": ((-WIDTH, 0), (WIDTH - 1, HEIGHT - 1)), "dataWindow": ((0, 0), (WIDTH - 1, HEIGHT - 1))}
    projection[0, 0] /= 2
    matrix = (projection @ world_to_camera).T
    assert same(header_camera(header(matrix, **right), WIDTH, HEIGHT), camera(shift=(0.0, 0.5)))


def test_other_headers_tell_no_camera() -> None:
    assert header_camera({}, WIDTH, HEIGHT) is None
    for matrix in (np.arange(16.0).reshape(4, 4), np.full((4, 4), np.nan), np.eye(4)):
        assert header_camera(header(matrix), WIDTH, HEIGHT) is None


def shot(*names: str) -> list[ShotFrame]:
    return [ShotFrame(Path(name)) for name in names]


def test_a_path_has_a_camera_for_each_number(tmp_path: Path) -> None:
    here = camera()
    away = here.to_world.copy()
    away[0, 3] += 4.0
    save_path(CameraPath((Keyframe(here.to_world, 40.0), Keyframe(away, 40.0)), 5, 1), tmp_path / "path.json")
    cameras = load_cameras(tmp_path / "path.json", shot("s.10.exr", "s.11.exr", "s.14.exr"), WIDTH, HEIGHT)
    assert same(cameras[0], here)
    assert [one.to_world[0, 3] for one in cameras] == pytest.approx([3.0, 4.0, 7.0])
    cameras = load_cameras(tmp_path / "path.json", shot("one.exr", "two.exr"), WIDTH, HEIGHT)
    assert [one.to_world[0, 3] for one in cameras] == pytest.approx([3.0, 4.0])


def transforms(file: Path, **changes: Any) -> Path:
    """Two cameras as nerfstudio has them, for pictures of twice the size."""
    matrix = camera().to_world @ np.diag([-1.0, 1.0, -1.0, 1.0])
    behind = matrix.copy()
    behind[0, 3] = 9.0
    names, matrices = ("images/s.2.png", "images/s.1.png"), (behind, matrix)
    frames = [{"file_path": n, "transform_matrix": m.tolist()} for n, m in zip(names, matrices, strict=True)]
    lens = {"fl_y": HEIGHT / np.tan(np.radians(20.0)), "cx": 1.4 * WIDTH, "cy": 0.2 * HEIGHT}
    size = {"w": 2 * WIDTH, "h": 2 * HEIGHT, "camera_model": "OPENCV"}
    document = lens | size | {"frames": frames} | changes
    file.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))
    return file


def test_the_cameras_of_nerfstudio(tmp_path: Path) -> None:
    file = transforms(tmp_path / "transforms.json")
    cameras = load_cameras(file, shot("s.1.exr", "s.2.exr"), WIDTH, HEIGHT)  # by their names
    assert same(cameras[0], camera(shift=(0.7, 0.1))) and cameras[1].to_world[0, 3] == 9.0
    assert load_cameras(file, shot("x.1.exr", "x.2.exr"), WIDTH, HEIGHT)[0].to_world[0, 3] == 9.0  # in their order
    across = 2 * np.arctan(np.tan(np.radians(20.0)) * WIDTH / HEIGHT)
    transforms(file, fl_y=None, cx=None, cy=None, w=None, h=None, camera_angle_x=across)
    assert same(load_cameras(file, shot("s.1.exr"), WIDTH, HEIGHT)[0], camera())


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"camera_model": "OPENCV_FISHEYE"}, "only perspective cameras"),
        ({"frames": [{"file_path": "s.1.png"}]}, "a frame has no 'transform_matrix'"),
        ({"frames": [{"transform_matrix": [[2, 0, 0, 0]] * 4}]}, "not a rotation and a position"),
        ({"frames": [1]}, "not cameras"),
        ({"frames": []}, "has 0 cameras for 1 frames"),
        ({"fl_y": None}, "a frame has no 'camera_angle_x'"),
    ],
)
def test_files_without_cameras_are_refused(changes: dict[str, Any], cause: str, tmp_path: Path) -> None:
    file = transforms(tmp_path / "transforms.json", **changes)
    with pytest.raises(UsageError, match=cause) as raised:
        load_cameras(file, shot("s.1.exr"), WIDTH, HEIGHT)
    assert str(file) in str(raised.value)


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    for name, cause in (("x.json", "not valid JSON"), ("nowhere.json", "cannot read")):
        with pytest.raises(RendererError, match=cause):
            load_cameras(tmp_path / name, shot("s.1.exr"), WIDTH, HEIGHT)
