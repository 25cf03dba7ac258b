"""Paths: interpolation and the JSON file."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
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
    old.hardlink_to(file)  # is another name of the old file
    before = old.read_bytes()
    save_path(CameraPath(keyframes(3), fps=24, seconds=2), file)
    assert old.read_bytes() == before and len(load_path(file).keyframes) == 3
    assert sorted(f.name for f in tmp_path.iterdir()) == ["old.json", "p.json"]


def test_axes_in_the_file_are_opengls(tmp_path: Path) -> None:
    """Mitsuba looks along +z, with +x to the left. The camera of the file looks along -z, with +x to the right."""
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


GOOD: dict = {"fps": 25, "seconds": 4, "keyframes": [{"matrix": np.eye(4).ravel().tolist(), "fov": 45}]}


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
        ({"keyframes": [{"matrix": np.eye(4).ravel().tolist(), "fov": 0.785}]}, "degrees or radians"),
        ({"fov_unit": "turns"}, "'fov_unit' is neither"),
        ({"camera_type": "equirectangular"}, r"'camera_type' is \"equirectangular\": only perspective"),
        ({"camera_type": "fisheye"}, "only perspective"),
        ({"keyframes": [GOOD["keyframes"][0] | {"camera_type": "vr180"}]}, r"keyframes\[0\]: 'camera_type'"),
        ({"fps": 1e-9}, "'fps' must be from"),
        ({"keyframes": [{"matrix": (np.eye(4) + 1e30 * np.eye(4, k=3)).tolist(), "fov": 45}]}, "not a rotation"),
        ({"keyframes": [GOOD["keyframes"][0] | {"principal_point": [0.5]}]}, "not two numbers"),
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


@pytest.mark.parametrize("fov", [0.001, 45.0, 179.0])
@pytest.mark.parametrize("unit", [1e-7, 1.0, 1e7])
def test_what_is_written_reads_back_to_a_hundredth_of_a_pixel_at_any_scale(
    tmp_path: Path, unit: float, fov: float
) -> None:
    keys = []
    for index in range(3):
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_rotvec([1 + 1e-7 * index, 2, 3]).as_matrix()
        pose[:3, 3] = unit * (np.array([1, 2, 3]) + 1e-3 * index)
        keys.append(Keyframe(pose, fov))
    written = CameraPath(tuple(keys), 24, 2.123456789)
    save_path(written, tmp_path / "p.json")
    read = load_path(tmp_path / "p.json")
    assert read.digest() == written.digest() and read.seconds == written.seconds
    for index in range(0, len(written), 7):
        before, after = (path.camera(index, 64, 48) for path in (written, read))
        assert after.fov_y == pytest.approx(before.fov_y, rel=1e-9)
        point = before.to_world[:3, 3] + unit * before.to_world[:3, 2]
        seen = (point - after.to_world[:3, 3]) @ after.to_world[:3, :3]
        pixels = 48 / (2 * math.tan(math.radians(fov) / 2))
        assert np.abs(seen[:2] / seen[2] * pixels).max() < 0.01
    changed = CameraPath(tuple(replace(k, fov_y=k.fov_y * (1 - 1e-6)) for k in keys), 24, written.seconds)
    assert changed.digest() != written.digest()


def test_fields_of_view_never_reach_zero_or_180_degrees() -> None:
    fovs = 170.0, 0.001, 0.001, 0.001, 179.9
    keys = tuple(replace(k, fov_y=fov) for k, fov in zip(keyframes(5), fovs, strict=True))
    path = CameraPath(keys, 10, 10)
    fields = [path.camera(index, 8, 8).fov_y for index in range(len(path))]
    assert min(fields) >= 0.001 and max(fields) <= 179.9


POSE = np.eye(4)
POSE[:3, 3] = 1, 2, 3
PUBLIC = {  # as other programs write them
    "keyframes as text": {"fps": 24, "seconds": 1, "camera_type": "perspective", "camera_path": []}
    | {"keyframes": [{"matrix": json.dumps(POSE.T.ravel().tolist()), "fov": 45, "aspect": 1.7}]},
    "columns first": {"fps": 24, "seconds": 1, "keyframes": [{"matrix": POSE.T.ravel().tolist(), "fov": 45}]},
    "rows of rows": {"camera_path": [{"camera_to_world": POSE.tolist(), "fov": 45}]},
    "radians": {"fov_unit": "radians", "camera_path": [{"camera_to_world": POSE.tolist(), "fov": math.pi / 4}]},
    "five digits": {"camera_path": [{"camera_to_world": (POSE * [1.0001, 1, 1, 1]).tolist(), "fov": 45}]},
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", PUBLIC)
def test_what_other_programs_write_is_understood(tmp_path: Path, name: str, encoding: str) -> None:
    (tmp_path / "p.json").write_text(json.dumps(PUBLIC[name]), encoding=encoding)
    (keyframe,) = load_path(tmp_path / "p.json").keyframes
    assert keyframe.fov_y == pytest.approx(45)
    assert keyframe.to_world == pytest.approx(POSE @ np.diag([-1, 1, -1, 1]), abs=1e-9)


def test_a_telescopes_path_says_its_unit(tmp_path: Path) -> None:
    save_path(CameraPath((Keyframe(np.eye(4), 0.08),), 1, 1), tmp_path / "p.json")
    assert load_path(tmp_path / "p.json").keyframes[0].fov_y == 0.08


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
FIELDS = st.sampled_from(
    ["camera_path", "keyframes", "matrix", "camera_to_world", "fov", "fps", "seconds", "camera_type", "fov_unit"]
)
NUMBERS = st.floats(-2, 2) | st.integers(-1, 1) | st.sampled_from([10**400, 1e308, float("nan"), 5e-324])
FRAMES = st.fixed_dictionaries(
    {"fov": NUMBERS | SCALARS},
    optional={
        "matrix": st.lists(NUMBERS, min_size=16, max_size=16) | st.just(POSE.ravel().tolist()) | SCALARS,
        "camera_to_world": st.just(POSE.tolist()) | SCALARS,
        "principal_point": st.lists(NUMBERS, max_size=3) | SCALARS,
    },
)
DOCUMENTS = st.recursive(SCALARS, lambda part: st.lists(part, max_size=3) | st.dictionaries(FIELDS, part, max_size=5))
PATHS = st.fixed_dictionaries(
    {"fps": NUMBERS, "seconds": NUMBERS},
    optional={
        "keyframes": st.lists(FRAMES, max_size=3) | DOCUMENTS,
        "camera_path": st.lists(FRAMES, max_size=3) | DOCUMENTS,
        "fov_unit": st.sampled_from(["degrees", "radians"]) | SCALARS,
    },
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=(DOCUMENTS | PATHS).map(json.dumps).map(str.encode) | st.binary(max_size=40))
def test_no_file_raises_anything_but_a_path_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "p.json"
    file.write_bytes(content)
    try:
        path = load_path(file)
    except PathError as error:
        assert "\n" not in str(error) and str(file) in str(error)
    else:
        for index in (0, len(path) // 2, len(path) - 1):
            camera = path.camera(index, 8, 8)
            assert np.isfinite(camera.to_world).all() and 0 < camera.fov_y < 180


@pytest.mark.parametrize("content", ["[" * 100_000, '{"fps": ' + "9" * 5000 + "}", '{"keyframes": ' + "[" * 100_000])
def test_absurd_files_are_refused_too(tmp_path: Path, content: str) -> None:
    (tmp_path / "p.json").write_text(content)
    with pytest.raises(PathError):
        load_path(tmp_path / "p.json")
