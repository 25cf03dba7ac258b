"""The camera in a person's hands: fly, look, orbit. Poses are (4, 4) in Mitsuba's axes (left, up, forward)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noisewalk.app.flying.messages import Viewpoint

Matrix = NDArray[np.float64]

MAX_PITCH = math.radians(89.0)
FAST = 4.0
MIN_SPEED, MAX_SPEED = 1e-3, 1e3  # of the viewing distance, per second
SPEED_STEP = 1.2
MAX_CLICKS = 100.0  # the wheel can report this many clicks at once
FOV_RANGE = (5.0, 140.0)
LOOK_DEGREES = 90.0  # for a drag across the height of the picture


@dataclass(frozen=True)
class Steering:
    """How to steer the camera in one tick. right, up, forward in [-1, 1]; seconds since the last tick."""

    right: float
    up: float
    forward: float
    fast: bool
    seconds: float


class FlyCamera:
    """A free camera that keeps its horizon level, as far as the scene's own view was level.

    speed: in viewing distances of the scene per second. When the camera moves, `pose` becomes another object. It is
    never changed in place, so that its identity tells whether the camera moved.
    """

    def __init__(self) -> None:
        self.pose: Matrix = np.eye(4)
        self.fov_y = 45.0
        self.principal_point = (0.5, 0.5)
        self.speed = 0.5
        self._up = np.array([0.0, 1.0, 0.0])
        self._distance = 1.0
        self._start = self.viewpoint

    @property
    def viewpoint(self) -> Viewpoint:
        """What it sees now."""
        return Viewpoint(self.pose, self.fov_y, self.principal_point)

    def place(self, viewpoint: Viewpoint, distance: float) -> None:
        """Puts the camera at a view, to which `reset` returns. distance: the viewing distance of the scene."""
        self._start, self._distance = viewpoint, distance
        pose = viewpoint.to_world
        axis = int(np.argmax(np.abs(pose[:3, 1])))
        self._up = np.eye(3)[axis] * np.sign(pose[axis, 1])
        self.reset()

    def reset(self) -> None:
        """Back to where it was placed."""
        self.move_to(self._start)

    def move_to(self, viewpoint: Viewpoint) -> None:
        """Follows a path, or takes a keyframe's view."""
        self.pose, self.fov_y, self.principal_point = viewpoint

    def steer(self, wish: Steering) -> bool:
        """Moves along the camera's own axes; up and down are the world's. Returns whether it moved."""
        left, forward = self.pose[:3, 0], self.pose[:3, 2]
        direction = -wish.right * left + wish.up * self._up + wish.forward * forward
        length = float(np.linalg.norm(direction))
        if length == 0.0 or wish.seconds <= 0.0:
            return False
        step = self.speed * self._distance * (FAST if wish.fast else 1.0) * wish.seconds
        self._moved(self.pose[:3, 3] + direction * (step / max(length, 1.0)))
        return True

    def look(self, right: float, down: float) -> bool:
        """Turns by a drag of (right, down), in heights of the picture. Returns whether it turned."""
        if right == 0.0 and down == 0.0:
            return False
        turn = math.radians(LOOK_DEGREES * self.fov_y / 60.0)
        self.pose = self._turned(self.pose, right * turn, down * turn)
        return True

    def orbit(self, pivot: Matrix, right: float, down: float) -> bool:
        """Turns around a point (3,) in the world, which keeps its place in the picture. Returns whether it turned."""
        if right == 0.0 and down == 0.0:
            return False
        turned = self._turned(self.pose, right * math.pi, down * math.pi)
        rotation = turned[:3, :3] @ self.pose[:3, :3].T
        turned[:3, 3] = pivot + rotation @ (self.pose[:3, 3] - pivot)
        self.pose = turned
        return True

    def faster(self, clicks: float) -> None:
        """Changes the speed, by the wheel."""
        factor = SPEED_STEP ** float(np.clip(clicks, -MAX_CLICKS, MAX_CLICKS))
        self.speed = float(np.clip(self.speed * factor, MIN_SPEED, MAX_SPEED))

    @property
    def units_per_second(self) -> float:
        """The speed in the scene's own units."""
        return self.speed * self._distance

    def _moved(self, position: Matrix) -> None:
        self.pose = self.pose.copy()
        self.pose[:3, 3] = position

    def _turned(self, pose: Matrix, yaw: float, pitch: float) -> Matrix:
        """The pose turned to the right by `yaw` and down by `pitch`, both in radians; never over the zenith."""
        forward, left = pose[:3, 2], pose[:3, 0]
        elevation = math.asin(float(np.clip(forward @ self._up, -1.0, 1.0)))
        pitch = elevation - float(np.clip(elevation - pitch, -MAX_PITCH, MAX_PITCH))
        # Some scenes mirror their camera. The right of the picture is then to the left of `forward`.
        mirrored = np.sign(np.linalg.det(pose[:3, :3]))
        # From forward towards right, which is -left, and from forward towards down.
        matrix = _rotation(self._up, -mirrored * yaw) @ _rotation(left, mirrored * pitch)
        turned = pose.copy()
        turned[:3, :3] = _orthonormal(matrix @ pose[:3, :3])
        return turned


def reprojection(now: Viewpoint, shown: Viewpoint, aspect: float, distance: float) -> Matrix:
    """A homography (3, 3) from what the camera sees now to its place in an older picture, both (u, v, 1) in [0, 1].

    It is exact in the plane at `distance` in front of the camera, and for pure turns everywhere. That is good enough
    for the short time until the next picture. (Hartley and Zisserman, Multiple View Geometry, section 13.1.)
    """
    relative = np.linalg.inv(shown.to_world) @ now.to_world
    plane = relative[:3, :3].copy()
    plane[:, 2] += relative[:3, 3] / distance
    homography = _projection(shown, aspect) @ plane @ np.linalg.inv(_projection(now, aspect))
    return np.asarray(homography)


def _projection(viewpoint: Viewpoint, aspect: float) -> Matrix:
    """From a direction in the camera's axes (left, up, forward) to homogeneous (u, v, 1) from the top left."""
    height = 2 * math.tan(math.radians(viewpoint.fov_y) / 2)
    x, y = viewpoint.principal_point
    return np.array([[-1 / (height * aspect), 0, x], [0, -1 / height, y], [0, 0, 1]])


def _rotation(axis: Matrix, angle: float) -> Matrix:
    """Rodrigues' formula, right-handed about a unit axis (3,)."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def _orthonormal(matrix: Matrix) -> Matrix:
    """The nearest orthonormal matrix. Without this, rounding errors of thousands of turns become a shear."""
    u, _, v = np.linalg.svd(matrix)
    return u @ v
