"""Converts between the scene's poses and viser's: (left, up, forward), (right, down, forward), another unit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Matrix = NDArray[np.float64]

KEY_SPEED = 2.0  # of viser's camera, in its units a second, while a key is held
NEAR = 1e-4  # in viser's units and in radians: what comes back from the browser is rounded


class Place(NamedTuple):
    """A camera in viser's axes and units: (3,) each."""

    position: Matrix
    look_at: Matrix
    up: Matrix


class Axes:
    """The axes of one scene, seen from its `start` pose (4, 4). unit: the length of viser's unit in the scene.

    Some scenes mirror their camera. Viser's rotations cannot, so its whole world is mirrored for them.
    """

    def __init__(self, start: Matrix, unit: float) -> None:
        axis = int(np.argmax(np.abs(start[:3, 1])))
        flip = np.ones(3)
        if np.linalg.det(start[:3, :3]) < 0:
            flip[0 if axis != 0 else 1] = -1.0
        self._flip, self._unit = flip, unit
        self.up = np.eye(3)[axis] * np.sign(start[axis, 1])  # no `flip` changes this axis

    def place(self, pose: Matrix, look_distance: float) -> Place:
        """Where viser's camera must be. look_distance: to the point that it turns around, in the scene's units."""
        position = self._flip * pose[:3, 3] / self._unit
        return Place(position, position + self._flip * pose[:3, 2] * (look_distance / self._unit), self.up)

    def pose(self, position: Matrix, wxyz: Matrix) -> Matrix | None:
        """The scene's pose (4, 4) of viser's camera; None if its numbers make no sense."""
        if not (np.isfinite(position).all() and np.isfinite(wxyz).all() and np.abs(wxyz).max() > 0.1):
            return None
        turned = Rotation.from_quat(np.roll(wxyz, -1)).as_matrix()
        pose = np.eye(4)
        pose[:3, :3] = self._flip[:, None] * turned * [-1.0, -1.0, 1.0]
        pose[:3, 3] = self._flip * position * self._unit
        return pose

    def same(self, one: Matrix, other: Matrix) -> bool:
        """Whether two poses look from the same place into the same direction, as far as a browser can tell."""
        moved = np.abs(one[:3, 3] - other[:3, 3]).max() / self._unit
        return bool(moved < NEAR and np.abs(one[:3, 2] - other[:3, 2]).max() < NEAR)
