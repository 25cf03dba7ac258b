"""Camera, flight, series, preferences and picture area of the viewer: no window, no GL, no threads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from noisewalk.app.flying.controls import MAX_PITCH, FlyCamera, Steering, reprojection
from noisewalk.app.flying.flight import MAX_KEYFRAMES, RECORD_SECONDS, Flight
from noisewalk.app.flying.messages import Viewpoint
from noisewalk.app.flying.preferences import Preferences, load_preferences, save_preferences
from noisewalk.app.flying.series import LENGTH, Sample, Series
from noisewalk.app.flying.view import DisplaySettings
from noisewalk.app.viewer.display import Area
from noisewalk.renderer.camera_path import CameraPath, load_path, look_at, save_path

PROPER = look_at((0, 1, 4), (0, 1, 0), 50.0).to_world
MIRRORED = PROPER @ np.diag([-1.0, 1.0, 1.0, 1.0])


def project(
    to_world: np.ndarray, fov_y: float, aspect: float, point: np.ndarray, centre: tuple[float, float] = (0.5, 0.5)
) -> np.ndarray:
    """Where a point of the world is in the picture, in [0, 1] from the top left."""
    left, up, forward, _ = np.linalg.inv(to_world) @ [*point, 1.0]
    height = 2 * np.tan(np.radians(fov_y) / 2)
    return np.array([centre[0] - left / forward / (height * aspect), centre[1] - up / forward / height])


def camera(pose: np.ndarray) -> FlyCamera:
    placed = FlyCamera()
    placed.place(Viewpoint(pose, 50.0), distance=4.0)
    return placed


@pytest.mark.parametrize("pose", [PROPER, MIRRORED], ids=["proper", "mirrored"])
def test_looking_right_and_down_moves_the_picture_left_and_up(pose: np.ndarray) -> None:
    ahead = pose[:3, 3] + 4 * pose[:3, 2]
    for drag, moves in (((0.1, 0.0), (-1, 0)), ((-0.1, 0.0), (1, 0)), ((0.0, 0.1), (0, -1)), ((0.0, -0.1), (0, 1))):
        turned = camera(pose)
        assert turned.look(*drag)
        shift = project(turned.pose, 50.0, 1.0, ahead) - 0.5
        assert np.sign(shift.round(6)).tolist() == list(moves)
        assert np.linalg.det(turned.pose[:3, :3]) == pytest.approx(np.linalg.det(pose[:3, :3]))


@pytest.mark.parametrize("pose", [PROPER, MIRRORED], ids=["proper", "mirrored"])
def test_steering_right_moves_what_is_seen_to_the_left(pose: np.ndarray) -> None:
    ahead = pose[:3, 3] + 4 * pose[:3, 2]
    steered = camera(pose)
    assert steered.steer(Steering(1.0, 0.0, 0.0, False, 0.1))
    assert project(steered.pose, 50.0, 1.0, ahead)[0] < 0.5
    # Half a viewing distance of 4 a second, and four times as fast with Shift.
    assert np.linalg.norm(steered.pose[:3, 3] - pose[:3, 3]) == pytest.approx(0.2)
    steered.reset()
    assert steered.steer(Steering(0.0, 0.0, 1.0, True, 0.1))
    assert steered.pose[:3, 3] == pytest.approx(pose[:3, 3] + 0.8 * pose[:3, 2])


def test_the_horizon_stays_level_and_nobody_looks_over_the_zenith() -> None:
    turned = camera(PROPER)
    rng = np.random.default_rng(0)
    for right, down in rng.normal(scale=0.3, size=(500, 2)):
        turned.look(right, down)
        assert abs(turned.pose[1, 0]) < 1e-9  # left is horizontal
        assert abs(np.arcsin(turned.pose[1, 2])) <= MAX_PITCH + 1e-9
    rotation = turned.pose[:3, :3]
    assert rotation.T @ rotation == pytest.approx(np.eye(3), abs=1e-12)


def test_orbiting_keeps_the_pivot_where_it_is_in_the_picture() -> None:
    pivot = np.array([0.7, 0.4, 0.5])
    turned = camera(PROPER)
    before = project(turned.pose, 50.0, 1.5, pivot)
    for _ in range(20):
        assert turned.orbit(pivot, 0.02, -0.01)
    assert project(turned.pose, 50.0, 1.5, pivot) == pytest.approx(before, abs=1e-9)
    assert np.linalg.norm(turned.pose[:3, 3] - pivot) == pytest.approx(np.linalg.norm(PROPER[:3, 3] - pivot))


def test_a_camera_that_does_not_move_keeps_its_pose() -> None:
    still = camera(PROPER)
    pose = still.pose
    assert not still.steer(Steering(0.0, 0.0, 0.0, True, 0.1)) and not still.look(0.0, 0.0)
    assert still.pose is pose


@pytest.mark.parametrize("centre", [(0.5, 0.5), (0.25, 1.7)])
def test_reprojection_finds_what_lies_in_the_plane(centre: tuple[float, float]) -> None:
    moved = camera(PROPER)
    moved.look(0.05, 0.03)
    moved.steer(Steering(1.0, 0.5, 1.0, False, 0.2))
    then_seen = Viewpoint(PROPER, 50.0, centre)
    matrix = reprojection(Viewpoint(moved.pose, 60.0, (0.4, 0.5)), then_seen, 1.5, distance=4.0)
    for left, up in ((0.0, 0.0), (1.0, 0.5), (-0.7, 0.9)):
        point = moved.pose @ [left, up, 4.0, 1.0]
        now = project(moved.pose, 60.0, 1.5, point[:3], (0.4, 0.5))
        then = matrix @ [*now, 1.0]
        assert then[:2] / then[2] == pytest.approx(project(PROPER, 50.0, 1.5, point[:3], centre), abs=1e-9)
    same = reprojection(then_seen, then_seen, 1.5, distance=4.0)
    assert same / same[2, 2] == pytest.approx(np.eye(3), abs=1e-12)


def path(keys: int = 3, seconds: float = 2.0) -> CameraPath:
    return CameraPath(tuple(look_at((x, 1, 4), (0, 1, 0), 50.0) for x in range(keys)), 10.0, seconds)


def flown(seconds: float, at_end: str) -> Flight:
    flight = Flight()
    flight.take(path(seconds=seconds))
    flight.at_end = at_end
    return flight


@pytest.mark.parametrize(
    ("at_end", "expected"), [("round", [0, 1, 2, 3, 0, 1, 2, 3]), ("back", [0, 1, 2, 3, 2, 1, 0, 1])]
)
def test_a_walk_along_the_path_waits_for_every_frame(at_end: str, expected: list[int]) -> None:
    flight = flown(0.4, at_end)
    assert not flight.tick(0, now=100.0)  # not playing
    flight.play(every_frame=True)
    seen, now = [flight.frame], 100.0
    while len(seen) < 8:
        now += 0.2
        assert not flight.tick(None, now) and not flight.tick(seen[-1] + 7, now)  # its own frame is not shown yet
        assert flight.tick(seen[-1], now)
        assert not flight.tick(flight.frame, now)  # not faster than its rate
        seen.append(flight.frame)
    assert seen == expected and flight.walking


@pytest.mark.parametrize(
    ("at_end", "expected"), [("round", [0, 1, 3, 0, 1, 3]), ("back", [0, 1, 3, 2, 1, 1]), ("stop", [0, 1, 3, 3, 3, 3])]
)
def test_playing_keeps_the_paths_speed_whatever_is_shown(at_end: str, expected: list[int]) -> None:
    flight = flown(0.4, at_end)
    flight.play()
    seen = []
    for now in (100.0, 100.15, 100.31, 100.45, 100.55, 100.75):  # ten frames a second
        flight.tick(None, now)
        seen.append(flight.frame)
    assert seen == expected and flight.playing == (at_end != "stop") and not flight.walking


def test_a_path_that_has_ended_starts_over() -> None:
    flight = flown(0.2, "stop")
    flight.play(every_frame=True)
    assert flight.tick(0, 100.0) and not flight.tick(1, 101.0)
    assert not flight.playing and flight.frame == 1
    flight.play()
    assert flight.playing and flight.frame == 0


def test_a_recorded_flight_is_flown_again_at_the_same_pace(tmp_path: Path) -> None:
    flight, poses = Flight(), [look_at((x, 1, 4), (0, 1, 0), 50.0).to_world for x in range(4)]
    assert not flight.record(Viewpoint(poses[0], 50.0))
    for step, pose in enumerate(poses[1:], start=1):
        flight.record_tick(Viewpoint(pose, 50.0), now=1e9 + step * RECORD_SECONDS)
        flight.record_tick(Viewpoint(pose, 50.0), now=1e9 + step * RECORD_SECONDS + 0.1)  # too soon
    assert flight.record(Viewpoint(poses[-1], 50.0))
    assert flight.path is not None and flight.edited and not flight.recording
    assert flight.path.seconds == pytest.approx(3 * RECORD_SECONDS)
    assert [k.to_world.tolist() for k in flight.path.keyframes] == [p.tolist() for p in poses]
    save_path(flight.path, tmp_path / "p.json")
    assert load_path(tmp_path / "p.json").digest() == flight.path.digest()


def test_a_recording_goes_on_to_where_it_was_stopped() -> None:
    flight, poses = Flight(), [look_at((x, 1, 4), (0, 1, 0), 50.0).to_world for x in range(2)]
    flight.record(Viewpoint(poses[0], 50.0))
    assert flight.record(Viewpoint(poses[1], 45.0))  # before the second keyframe was due
    assert flight.path and [k.fov_y for k in flight.path.keyframes] == [50.0, 45.0]
    assert np.array_equal(flight.path.keyframes[-1].to_world, poses[1])


def test_a_recording_of_nothing_leaves_the_path_as_it_was() -> None:
    flight, old = Flight(), path()
    flight.take(old)
    assert not flight.record(Viewpoint(PROPER, 50.0)) and flight.recording
    assert not flight.record(Viewpoint(PROPER, 50.0)) and not flight.recording
    assert flight.path is old and not flight.edited


def test_recording_is_bounded() -> None:
    flight, pose = Flight(), PROPER
    flight.record(Viewpoint(pose, 50.0))
    for step in range(MAX_KEYFRAMES + 10):
        flight.record_tick(Viewpoint(pose, 50.0), now=1e9 + step)
    assert not flight.recording and flight.keyframes == MAX_KEYFRAMES


def test_keyframes_are_added_replaced_and_deleted() -> None:
    flight, new = Flight(), look_at((9, 1, 4), (0, 1, 0), 40.0)
    flight.take(path(3, 2.0))
    flight.go_to(1)
    assert flight.frame == round(19 / 2)
    flight.add(Viewpoint(new.to_world, new.fov_y, (0.4, 0.6)))
    assert flight.keyframes == 4 and flight.selected == 2 and flight.path and flight.path.seconds == pytest.approx(3.0)
    assert flight.path.keyframes[2].fov_y == 40.0
    view, fov_y, centre = flight.view()
    assert view[0, 3] == pytest.approx(9.0, abs=0.3) and fov_y == pytest.approx(40.0, abs=1.0)
    assert centre == pytest.approx((0.4, 0.6), abs=0.02)
    flight.replace(Viewpoint(PROPER, 30.0))
    assert flight.path.keyframes[2].fov_y == 30.0 and flight.keyframes == 4
    for left in (3, 2, 1, 1):
        flight.delete()
        assert flight.keyframes == left
    empty = Flight()
    empty.add(Viewpoint(PROPER, 50.0))
    assert empty.keyframes == 1 and empty.path and len(empty.path) >= 1


def test_the_series_is_bounded_and_leaves_gaps_where_nothing_was_measured() -> None:
    series = Series()
    for number in range(LENGTH + 5):
        psnr = (10.0, 20.0, 30.0) if number % 2 else None
        series.append(
            Sample(number, psnr, 21.0 if number % 3 else None, 0.5, {"render": 2.0, "denoise": 1.0, "train": 4.0})
        )
    curves = series.curves()
    assert len(curves.frame) == LENGTH and curves.frame[0] == 5 and curves.frame[-1] == LENGTH + 4
    assert np.isnan(curves.denoised[::2]).sum() in (0, LENGTH // 2) and np.nanmax(curves.denoised) == 20.0
    assert np.nanmin(curves.estimate) == np.nanmax(curves.estimate) == 21.0
    assert np.isnan(curves.estimate).sum() == sum(number % 3 == 0 for number in range(5, LENGTH + 5))
    assert curves.milliseconds[:, 0].tolist() == [2.0, 3.0, 3.0, 7.0]
    assert series.curves() is curves
    series.clear()
    assert len(series.curves().frame) == 0


def test_preferences_come_back_and_damage_costs_only_what_is_damaged(tmp_path: Path) -> None:
    file = tmp_path / "config" / "viewer.json"
    assert load_preferences(file) == Preferences()
    kept = Preferences(exposure=1.5, tone="aces", speed=2.0, recent=("a.xml",), window=(900, 600), layout="[x]")
    save_preferences(kept, file)
    assert load_preferences(file) == kept
    stored = json.loads(file.read_text()) | {"tone": "sepia", "window": [1], "exposure": "bright", "new": 1}
    file.write_text(json.dumps(stored))
    assert load_preferences(file) == Preferences(speed=2.0, recent=("a.xml",), layout="[x]")
    for damaged in ("", "[1]", "{", "\0", "[" * 100_000):
        file.write_text(damaged)
        assert load_preferences(file) == Preferences()
    for value in ([], {}, [[]], None, True, -1, 1e999, "x" * 9, ["a.xml"] * 12 + [7], [800.5, 600.5]):
        stored = {name: value for name in vars(kept) if name not in ("layout",)}
        file.write_text(json.dumps(stored))
        loaded = load_preferences(file)
        assert (loaded.tone, loaded.window) == (Preferences.tone, Preferences.window)
        assert all(isinstance(scene, str) for scene in loaded.recent)
    many = Preferences()
    for number in range(40):
        many = many.with_recent(f"{number % 15}.xml")
    assert len(many.recent) == len(set(many.recent)) == 12 and many.recent[0] == "9.xml"


def test_zoom_keeps_what_is_under_the_mouse() -> None:
    area, view, size = Area(100, 50, 800, 500), DisplaySettings(), (256, 128)
    assert area.to_picture(view, size, 500, 300) == pytest.approx((0.5, 0.5))
    assert area.scale(view, size) == pytest.approx(800 / 256)
    assert area.to_picture(view, size, 100, 300) == pytest.approx((0.0, 0.5))
    before = area.to_picture(view, size, 321, 222)
    for factor in (1.5, 3.0, 0.2, 100.0, 1e-9):
        area.zoom_at(view, size, 321, 222, factor)
        assert area.to_picture(view, size, 321, 222) == pytest.approx(before)
    view.fit()
    assert area.scale(view, size) == pytest.approx(800 / 256)
