"""A gentle flight for scenes without a path: a slow orbit around what the scene's own camera looks at."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.spatial.transform import Rotation

from noisewalk.renderer.camera_path import CameraPath, Keyframe
from noisewalk.renderer.rays import direction, distances, viewing_distance
from noisewalk.renderer.scene import Scene

FPS, SECONDS = 25.0, 40.0
KEYFRAMES = 33
SWAY = 0.15  # of the distance to what the camera looks at
RISE = 0.03
APPROACH = 0.12
NARROW = 0.5  # degrees; below, the flight shrinks with the field of view, because between keyframes it is not exact
TURN = 0.15  # of the field of view
MAX_TURN_DEGREES = 12.0
CLEARANCE = 0.5  # of the start camera's own distance to the nearest surface
# All 26 directions to the neighbours of a cube.
_AROUND = np.array([d for d in itertools.product((-1, 0, 1), repeat=3) if any(d)], dtype=np.float64)


def default_path(scene: Scene) -> CameraPath:
    """1000 frames, the same for the same scene. The variant must be current in this thread.

    The amplitude follows the distance to what the camera looks at. It shrinks until the whole flight stays away from
    all surfaces, and nothing stands between it and the start. So the flight cannot leave the room.
    """
    pose, depth = scene.start.to_world, viewing_distance(scene)
    middle = pose[:3, :3].T @ direction(scene.start, 0.5, 0.5)
    phase = np.linspace(0.0, 2 * np.pi, KEYFRAMES)
    turns = min(MAX_TURN_DEGREES, TURN * scene.start.fov_y) * np.sin(phase)
    keyframes = []
    for offset, turn in zip(_offsets(scene, depth, phase), turns, strict=True):
        # The middle of the picture stays in view, also if that is narrow. The slower turn looks around.
        follow, _ = Rotation.align_vectors((depth * middle - offset)[None], middle[None])
        move = np.eye(4)
        move[:3, :3] = (follow * Rotation.from_euler("y", turn, degrees=True)).as_matrix()
        move[:3, 3] = offset
        keyframes.append(Keyframe(pose @ move, scene.start.fov_y, scene.start.principal_point))
    return CameraPath(tuple(keyframes), FPS, SECONDS)


def _offsets(scene: Scene, depth: float, phase: np.ndarray) -> np.ndarray:
    """(N, 3) offsets in the start camera's axes (left, up, forward), from zero to zero. They never go backward."""
    around = distances(scene, scene.start.to_world[None, :3, 3], _AROUND)
    clearance = CLEARANCE * min(depth, around.min())  # perhaps none of these directions meets what the picture shows
    # Sway and rise grow with the approach, because a camera often stands close to the wall behind it.
    approach = (1 - np.cos(phase)) / 2
    shape = np.stack(
        [SWAY * np.sin(2 * phase) * approach, RISE * np.sin(phase) * approach, APPROACH * approach], axis=1
    )
    shape *= min(1.0, scene.start.fov_y / NARROW)
    axes = np.diag([_clear_scale(scene, depth * shape * axis, clearance) for axis in np.eye(3)])
    offsets: np.ndarray = depth * shape @ axes
    return offsets * _clear_scale(scene, offsets, clearance)


def _clear_scale(scene: Scene, offsets: np.ndarray, clearance: float) -> float:
    """The first of 1, 0.8, 0.64, ... for which these offsets, in the camera's axes, stay clear; 0 if there is none."""
    scale = 1.0
    while scale > 0.01:
        if _is_clear(scene, scale * offsets, clearance):
            return scale
        scale *= 0.8
    return 0.0


def _is_clear(scene: Scene, offsets: np.ndarray, clearance: float) -> bool:
    """Whether the flight along these offsets stays away from surfaces and in sight of the start."""
    pose = scene.start.to_world
    start = pose[:3, 3]
    points = start + offsets @ pose[:3, :3].T
    sight = points - start
    moved = np.linalg.norm(sight, axis=1)
    visible = distances(scene, start[None], sight[moved > 0]) > moved[moved > 0] + clearance
    room = distances(scene, np.repeat(points, len(_AROUND), axis=0), np.tile(_AROUND, (len(points), 1)))
    return bool(visible.all() and (room >= clearance).all())
