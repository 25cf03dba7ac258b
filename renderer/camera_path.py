"""Fly-through paths: keyframes, smooth interpolation, JSON with nerfstudio's keys.

Poses in a file are in OpenGL axes (right, up, backward), like nerfstudio's. Poses in the program are in Mitsuba's axes
(left, up, forward). Only this module converts.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.interpolate import Akima1DInterpolator
from scipy.spatial.transform import Rotation, RotationSpline

from noisewalk.renderer import RendererError
from noisewalk.renderer.files import written_aside
from noisewalk.renderer.frame import Camera

MAX_FRAMES = 1_000_000
MAX_POSITION = 1e18  # the square of this still fits into Mitsuba's single precision
MIN_FOV = 1e-6
MIN_FPS, MAX_FPS = 1e-3, 1e6
MAX_PRINCIPAL_POINT = 1000.0  # widths or heights of the picture
_OPENGL_TO_MITSUBA = np.diag([-1.0, 1.0, -1.0, 1.0])


class PathError(RendererError):
    """A path file that cannot be used. The message is one line that names the file and the cause."""


@dataclass(frozen=True, eq=False)
class Keyframe:
    """to_world: (4, 4) float64 in Mitsuba's axes, without scale; fov_y in degrees; principal_point as in `Camera`."""

    to_world: np.ndarray
    fov_y: float
    principal_point: tuple[float, float] = (0.5, 0.5)


@dataclass(frozen=True, eq=False)
class CameraPath:
    """Keyframes at equal distances in time, and the smooth flight through them.

    Positions and fields of view follow modified Akima splines, which hardly overshoot, so that a flight stays in its
    room. Orientations follow a rotation spline with continuous angular velocity. Every keyframe is met exactly.
    """

    keyframes: tuple[Keyframe, ...]
    fps: float
    seconds: float

    def __len__(self) -> int:
        return max(1, round(self.fps * self.seconds))

    def camera(self, index: int, width: int, height: int) -> Camera:
        """The view of frame `index` >= 0; width and height in pixels. After its end the flight goes back and forth."""
        last = len(self) - 1
        folded = index % (2 * last) if last else 0
        to_world, fov_y, principal_point = self._view(min(folded, 2 * last - folded))
        return Camera(to_world, fov_y, width, height, principal_point)

    def digest(self) -> str:
        """A hash that changes with everything that changes the flight."""
        digest = hashlib.sha256(repr((float(self.fps), float(self.seconds))).encode())
        for keyframe in self.keyframes:
            pose = keyframe.to_world + 0.0  # adding 0 turns -0 into 0
            digest.update(pose.tobytes() + repr((float(keyframe.fov_y), keyframe.principal_point)).encode())
        return digest.hexdigest()

    def _view(self, frame: int) -> tuple[np.ndarray, float, tuple[float, float]]:
        """Pose (4, 4), vertical field of view and principal point of a frame of the path, from 0 to its last."""
        if len(self.keyframes) == 1:
            only = self.keyframes[0]
            return only.to_world, float(only.fov_y), only.principal_point
        last = len(self) - 1
        time = 1.0 if last and frame == last else frame * (1 / max(1, last))
        positions, rotations, lenses, mirror = self._splines
        to_world = np.eye(4)
        to_world[:3, :3] = rotations(time).as_matrix() @ mirror
        to_world[:3, 3] = positions(time)
        fov_y, *principal_point = map(float, lenses(time))
        return to_world, float(np.clip(fov_y, *self._narrowest_and_widest)), (principal_point[0], principal_point[1])

    @cached_property
    def _narrowest_and_widest(self) -> tuple[float, float]:
        """The limits of the field of view in degrees. A spline overshoots a little, but must not reach 0 or 180."""
        given = [k.fov_y for k in self.keyframes]
        return min(0.1, *given), max(179.0, *given)

    @cached_property
    def _splines(self) -> tuple[Akima1DInterpolator, RotationSpline, Akima1DInterpolator, np.ndarray]:
        """Splines of positions, rotations and lenses over times from 0 to 1; and the matrix that mirrors the rotations.

        They are made once, and evaluated only where needed: a path may have a million frames.
        """
        poses = np.stack([k.to_world for k in self.keyframes])
        knots = np.linspace(0.0, 1.0, len(self.keyframes))
        # Some scenes mirror their camera. A spline needs proper rotations: the mirror is taken out, and put back later.
        mirror = np.diag([np.sign(np.linalg.det(poses[0, :3, :3])), 1.0, 1.0])
        rotations = RotationSpline(knots, Rotation.from_matrix(poses[:, :3, :3] @ mirror))
        positions = Akima1DInterpolator(knots, poses[:, :3, 3], method="makima")
        # Field of view and principal point.
        lenses = np.array([(k.fov_y, *k.principal_point) for k in self.keyframes])
        return positions, rotations, Akima1DInterpolator(knots, lenses, method="makima"), mirror


def look_at(eye: Sequence[float], target: Sequence[float], fov_y: float) -> Keyframe:
    """A level view from `eye` to `target` in a world whose +y is up; `fov_y` in degrees."""
    forward = np.subtract(target, eye) / np.linalg.norm(np.subtract(target, eye))
    left = np.cross([0.0, 1.0, 0.0], forward)
    left /= np.linalg.norm(left)
    to_world = np.eye(4)
    to_world[:3] = np.stack([left, np.cross(forward, left), forward, np.array(eye)], axis=-1)
    return Keyframe(to_world, fov_y)


def load_path(file: str | os.PathLike[str], principal_point: tuple[float, float] = (0.5, 0.5)) -> CameraPath:
    """Reads a path.json: every frame from `camera_path`, or, if that is absent or empty, `keyframes` to fly through.

    principal_point: for frames that name none, such as nerfstudio's. It is that of the scene's own camera.

    Raises PathError naming the file and the cause.
    """
    file = Path(file)
    try:
        # From bytes, because a byte order mark says which encoding it is.
        return _from_json(json.loads(file.read_bytes()), principal_point)
    except OSError as error:
        raise PathError(f"{file}: cannot read the camera path: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PathError(f"{file}: not a camera path: not a text file") from error
    except json.JSONDecodeError as error:
        raise PathError(f"{file}: not valid JSON: line {error.lineno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # integers of thousands of digits, thousands of brackets
        raise PathError(f"{file}: not a camera path: {error}") from error


def save_path(path: CameraPath, file: str | os.PathLike[str]) -> None:
    """Writes the keyframes, to be edited by hand or in a viewer. Matrices are row-major, OpenGL axes. Raises OSError.

    Numbers are exact: rounded ones would be wrong in a scene of tiny units, or through a telescope. The file is written
    under another name, then renamed: a crash leaves the old file or the new one.
    """
    file = Path(file)
    rows = ",\n".join("    " + json.dumps(_to_json(keyframe)) for keyframe in path.keyframes)
    head = {"camera_type": "perspective", "fov_unit": "degrees", "fps": path.fps, "seconds": path.seconds}
    head_rows = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items())
    with written_aside(file) as temporary:
        temporary.write_text(f'{{\n{head_rows},\n  "keyframes": [\n{rows}\n  ]\n}}\n', encoding="utf-8")


def _to_json(keyframe: Keyframe) -> dict[str, Any]:
    matrix = keyframe.to_world @ _OPENGL_TO_MITSUBA + 0.0  # adding 0 turns -0 into 0
    return {
        "matrix": matrix.ravel().tolist(),
        "fov": float(keyframe.fov_y),
        "aspect": 1.0,
        "principal_point": list(keyframe.principal_point),
    }


class _Invalid(ValueError):
    pass


def _from_json(document: Any, principal_point: tuple[float, float]) -> CameraPath:
    if not isinstance(document, dict):
        raise _Invalid("the top level is not an object")
    _check_camera_type(document, "")
    if document.get("camera_path"):
        frames = _keyframes(document, "camera_path", "camera_to_world", principal_point)
        fps = _fps(document.get("fps", 24))
        return CameraPath(frames, fps, len(frames) / fps)
    if not document.get("keyframes"):
        raise _Invalid("it has neither 'camera_path' nor 'keyframes'")
    for key in ("fps", "seconds"):
        if key not in document:
            raise _Invalid(f"'{key}' is missing")
    fps, seconds = _fps(document["fps"]), _number(document["seconds"], "seconds")
    if fps * seconds > MAX_FRAMES:
        raise _Invalid(f"fps x seconds is more than {MAX_FRAMES} frames")
    return CameraPath(_keyframes(document, "keyframes", "matrix", principal_point), fps, seconds)


def _check_camera_type(entry: dict[str, Any], where: str) -> None:
    kind = entry.get("camera_type") or "perspective"
    if str(kind).lower() != "perspective":
        raise _Invalid(f"{where}'camera_type' is {json.dumps(kind)[:40]}: only perspective cameras can be flown")


def _keyframes(
    document: dict[str, Any], name: str, matrix_key: str, principal_point: tuple[float, float]
) -> tuple[Keyframe, ...]:
    entries = document[name]
    if not isinstance(entries, list) or len(entries) > MAX_FRAMES:
        raise _Invalid(f"'{name}' is not a list of at most {MAX_FRAMES} entries")
    keyframes = tuple(_keyframe(e, f"{name}[{i}]", matrix_key, principal_point) for i, e in enumerate(entries))
    if len({bool(np.linalg.det(k.to_world[:3, :3]) < 0) for k in keyframes}) > 1:
        raise _Invalid(f"'{name}': some matrices are mirrored and some are not")
    return _in_degrees(keyframes, document.get("fov_unit"))


def _in_degrees(keyframes: tuple[Keyframe, ...], unit: Any) -> tuple[Keyframe, ...]:
    """Fields of view in degrees. Many files name no unit, and some programs write radians: we do not guess."""
    if unit == "radians":
        keyframes = tuple(replace(k, fov_y=math.degrees(k.fov_y)) for k in keyframes)
    elif unit not in ("degrees", None):
        raise _Invalid('\'fov_unit\' is neither "degrees" nor "radians"')
    widest = max(k.fov_y for k in keyframes)
    if unit is None and widest <= math.pi:
        hint = 'say which by adding "fov_unit": "degrees" or "fov_unit": "radians" to the file'
        raise _Invalid(f"no 'fov' is above {widest:g}, which are degrees or radians: {hint}")
    if not MIN_FOV <= min(k.fov_y for k in keyframes) <= widest < 180:
        raise _Invalid(f"'fov' must be from {MIN_FOV:g} to below 180 degrees")
    return keyframes


def _keyframe(entry: Any, where: str, matrix_key: str, principal_point: tuple[float, float]) -> Keyframe:
    if not isinstance(entry, dict):
        raise _Invalid(f"{where} is not an object")
    for key in (matrix_key, "fov"):
        if key not in entry:
            raise _Invalid(f"{where}: '{key}' is missing")
    _check_camera_type(entry, f"{where}: ")
    matrix = _matrix(entry[matrix_key], f"{where}: '{matrix_key}'")
    fov_y = _number(entry["fov"], f"{where}: fov")
    named = _principal_point(entry["principal_point"], where) if "principal_point" in entry else principal_point
    return Keyframe(matrix @ _OPENGL_TO_MITSUBA, fov_y, named)


def _matrix(value: Any, where: str) -> np.ndarray:
    """(4, 4), row-major. Old viewers wrote three.js' column-major matrices, as text."""
    try:
        numbers = json.loads(value) if isinstance(value, str) else value
        matrix = np.array(numbers, dtype=np.float64).reshape(4, 4)
    except (TypeError, ValueError, OverflowError, RecursionError):
        raise _Invalid(f"{where} is not 16 numbers") from None
    if isinstance(value, str) or (matrix[3, :3].any() and not matrix[:3, 3].any()):
        matrix = matrix.T
    axes = matrix[:3, :3]
    # A JSON file may contain NaN and Infinity. An edited one may have only five digits. Both come here.
    if not np.abs(matrix).max() < MAX_POSITION or (matrix[3] != (0, 0, 0, 1)).any():
        raise _Invalid(f"{where} is not a rotation and a position")
    error = np.abs(axes.T @ axes - np.eye(3)).max()
    if error > 1e-3:
        raise _Invalid(f"{where} is not a rotation and a position")
    if error > 1e-5:  # more than six digits can explain: Mitsuba takes no scale
        u, _, v = np.linalg.svd(axes)
        matrix[:3, :3] = u @ v
    return matrix


def _principal_point(value: Any, where: str) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2 or any(isinstance(v, bool) for v in value):
        raise _Invalid(f"{where}: 'principal_point' is not two numbers")
    if not all(isinstance(v, (int, float)) and abs(v) <= MAX_PRINCIPAL_POINT for v in value):
        raise _Invalid(f"{where}: 'principal_point' is not two numbers of at most {MAX_PRINCIPAL_POINT:g}")
    return float(value[0]), float(value[1])


def _fps(value: Any) -> float:
    fps = _number(value, "fps")
    if not MIN_FPS <= fps <= MAX_FPS:
        raise _Invalid(f"'fps' must be from {MIN_FPS:g} to {MAX_FPS:g}")
    return fps


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= sys.float_info.max:
        raise _Invalid(f"'{name}' is not a number above zero")
    return float(value)
