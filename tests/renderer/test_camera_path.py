"""Paths: interpolation and the JSON file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.interpolate import Akima1DInterpolator
from scipy.spatial.transform import Rotation, RotationSpline

from noisewalk.renderer.camera_path import CameraPath, Keyframe, PathError, load_path, save_path


def keyframes(count: int = 4, mirrored: bool = False) -> tuple[Keyframe, ...]:
    made = []
    for i in range(count):
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_euler("yx", [40 * i, 5 * i], degrees=True).as_matrix()
        pose[:3, :3] @= np.diag([-1.0 if mirrored else 1.0, 1, 1])
        pose[:3, 3] = i, np.sin(i), 2
        made.append(Keyframe(pose, 40 + i))
    return tuple(made)


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_flight_meets_every_keyframe_and_stays_rigid(mirrored: bool) -> None:
    keys = keyframes(mirrored=mirrored)
    path = CameraPath(keys, fps=10, seconds=3.1)
    assert len(path) == 31
    for i, key in enumerate(keys):
        camera = path.camera(10 * i, 64, 48)
        np.testing.assert_allclose(camera.to_world, key.to_world, atol=1e-9)
        assert camera.fov_y == pytest.approx(key.fov_y) and (camera.width, camera.height) == (64, 48)
    axes = np.stack([path.camera(i, 8, 8).to_world[:3, :3] for i in range(31)])
    np.testing.assert_allclose(axes.transpose(0, 2, 1) @ axes, np.tile(np.eye(3), (31, 1, 1)), atol=1e-9)


def test_a_frame_by_itself_is_what_the_splines_say_for_all_frames_at_once() -> None:
    path = CameraPath(keyframes(5), fps=24, seconds=5.7)
    knots, times = np.linspace(0, 1, 5), np.linspace(0, 1, len(path))
    poses = np.stack([k.to_world for k in path.keyframes])
    rotations = RotationSpline(knots, Rotation.from_matrix(poses[:, :3, :3]))(times).as_matrix()
    positions = Akima1DInterpolator(knots, poses[:, :3, 3], method="makima")(times)
    for i in range(len(path)):
        to_world = path.camera(i, 8, 8).to_world
        np.testing.assert_allclose(to_world[:3, :3], rotations[i], atol=1e-12, rtol=0)
        np.testing.assert_allclose(to_world[:3, 3], positions[i], atol=1e-12, rtol=0)
        assert to_world[3].tolist() == [0, 0, 0, 1]


def test_two_keyframes_in_one_frame_are_the_first() -> None:
    path = CameraPath(keyframes(2), fps=25, seconds=1 / 25)
    np.testing.assert_allclose(path.camera(3, 8, 8).to_world, path.keyframes[0].to_world, atol=1e-12)


def test_past_its_end_the_flight_goes_back() -> None:
    path = CameraPath(keyframes(), fps=10, seconds=1)
    for index, same in ((10, 8), (17, 1), (18, 0), (19, 1), (9, 9)):
        assert np.array_equal(path.camera(index, 8, 8).to_world, path.camera(same, 8, 8).to_world)
    still = CameraPath(keyframes(1), fps=1, seconds=1)
    assert np.array_equal(still.camera(7, 8, 8).to_world, still.keyframes[0].to_world)


def test_keyframes_survive_the_file(tmp_path: Path) -> None:
    path = CameraPath(keyframes(), fps=24, seconds=2)
    save_path(path, tmp_path / "p.json")
    loaded = load_path(tmp_path / "p.json")
    for i in range(len(path)):
        np.testing.assert_allclose(loaded.camera(i, 8, 8).to_world, path.camera(i, 8, 8).to_world, atol=1e-4)


def test_a_saved_path_takes_the_place_of_the_old_file_in_one_step(tmp_path: Path) -> None:
    file, old = tmp_path / "p.json", tmp_path / "old.json"
    save_path(CameraPath(keyframes(2), fps=24, seconds=2), file)
    old.hardlink_to(file)  # sees what is written into the old file
    before = old.read_bytes()
    save_path(CameraPath(keyframes(3), fps=24, seconds=2), file)
    assert old.read_bytes() == before and len(load_path(file).keyframes) == 3
    assert sorted(f.name for f in tmp_path.iterdir()) == ["old.json", "p.json"]


def test_axes_in_the_file_are_opengls(tmp_path: Path) -> None:
    """Mitsuba looks along +z with +x to the left; the file's camera looks along -z with +x to the right."""
    save_path(CameraPath((Keyframe(np.eye(4), 45.0),), 1, 1), tmp_path / "p.json")
    matrix = np.array(json.loads((tmp_path / "p.json").read_text())["keyframes"][0]["matrix"]).reshape(4, 4)
    np.testing.assert_array_equal(matrix, np.diag([-1.0, 1.0, -1.0, 1.0]))


def test_every_frame_given_is_flown_as_given(tmp_path: Path) -> None:
    matrices = [np.eye(4) for _ in range(5)]
    for i, matrix in enumerate(matrices):
        matrix[0, 3] = i**2
    frames = [{"camera_to_world": m.ravel().tolist(), "fov": 50, "aspect": 1} for m in matrices]
    (tmp_path / "p.json").write_text(json.dumps({"camera_path": frames, "fps": 24, "keyframes": []}))
    path = load_path(tmp_path / "p.json")
    assert [path.camera(i, 8, 8).to_world[0, 3] for i in range(5)] == pytest.approx([0, 1, 4, 9, 16])


GOOD = {"fps": 25, "seconds": 4, "keyframes": [{"matrix": np.eye(4).ravel().tolist(), "fov": 45}]}


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"keyframes": None}, "neither 'camera_path' nor 'keyframes'"),
        ({"fps": None}, "'fps' is missing"),
        ({"fps": 0}, "'fps' is not a number above zero"),
        ({"fps": "25"}, "'fps' is not a number above zero"),
        ({"seconds": 1e9}, "more than 1000000 frames"),
        ({"keyframes": {"a": 1}}, "'keyframes' is not a list"),
        ({"keyframes": [7]}, r"keyframes\[0\] is not an object"),
        ({"keyframes": [{"fov": 45}]}, r"keyframes\[0\]: 'matrix' is missing"),
        ({"keyframes": [{"matrix": [1, 2], "fov": 45}]}, "not 16 numbers"),
        ({"keyframes": [{"matrix": "eye", "fov": 45}]}, "not 16 numbers"),
        ({"keyframes": [{"matrix": [2.0] * 16, "fov": 45}]}, "not a rotation"),
        ({"keyframes": [{"matrix": [float("nan")] * 16, "fov": 45}]}, "not a rotation"),
        ({"keyframes": [{"matrix": np.eye(4).ravel().tolist(), "fov": 180}]}, "below 180"),
    ],
)
def test_wrong_files_are_refused_with_file_and_cause(tmp_path: Path, change: dict, cause: str) -> None:
    document = {key: value for key, value in (GOOD | change).items() if value is not None}
    (tmp_path / "bad.json").write_text(json.dumps(document))
    with pytest.raises(PathError, match=cause) as raised:
        load_path(tmp_path / "bad.json")
    assert "bad.json" in str(raised.value) and "\n" not in str(raised.value)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    for name, content, cause in (("text", b"hello", "not valid JSON"), ("bytes", b"\xff\xfe\x00", "not a text file")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PathError, match=cause):
            load_path(tmp_path / name)
    with pytest.raises(PathError, match="cannot read"):
        load_path(tmp_path / "absent")
