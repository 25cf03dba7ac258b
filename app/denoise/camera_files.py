"""Cameras that somebody has written down: in a file for the whole shot, or in the headers of the frames."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from noisewalk.app.denoise.cameras import pinhole
from noisewalk.app.denoise.sequence import ShotFrame
from noisewalk.app.errors import UsageError
from noisewalk.renderer.camera_path import load_path
from noisewalk.renderer.frame import Camera

_OPENGL_TO_MITSUBA = np.diag([-1.0, 1.0, -1.0, 1.0])
_PINHOLES = ("perspective", "pinhole", "simple_pinhole", "opencv")
SQUARE = 0.01  # how much the sides of a pixel may differ


def load_cameras(file: Path, shot: Sequence[ShotFrame], width: int, height: int) -> list[Camera]:
    """The camera of each frame, from a path.json or nerfstudio's transforms.json. Raises UsageError or PathError.

    A path has a camera for each number from that of the first frame on. In a transforms.json, names of files tell which
    camera is whose; if none fits, and there are as many, their order does.
    """
    try:
        document = json.loads(file.read_bytes())
    except (OSError, ValueError):
        document = None  # load_path says what is wrong
    if isinstance(document, dict) and "frames" in document:
        return _transforms(file, document, shot, width, height)
    path = load_path(file)
    return [path.camera(index, width, height) for index in _since_the_first(shot)]


def header_camera(attributes: Mapping[str, Any], width: int, height: int) -> Camera | None:
    """The camera that an EXR header holds as `worldToNDC`; None if it has none, or none of a pinhole.

    That matrix takes points to -1 to 1 across the display window, y up. pbrt's takes the shorter side to 0 to 1
    (https://github.com/mmp/pbrt-v4, ProjectiveCamera::InitMetadata). OpenEXR multiplies rows by matrices, pbrt matrices
    by columns: the distance, which is not scaled, tells which it is.
    """
    matrix = np.array(attributes.get("worldToNDC", np.zeros((4, 4))), dtype=np.float64)
    if abs(np.linalg.norm(matrix[:3, 3]) - 1) < abs(np.linalg.norm(matrix[3, :3]) - 1):
        matrix = matrix.T
    projection = matrix[[0, 1, 3]]
    if not np.isfinite(projection).all() or np.linalg.matrix_rank(projection[:, :3]) < 3:
        return None
    to_pixels = _pixels_of_ndc(attributes, projection, width, height)
    camera, sides = pinhole(to_pixels @ projection, width, height)
    return camera if abs(sides - 1) < SQUARE else None


def _pixels_of_ndc(attributes: Mapping[str, Any], projection: np.ndarray, width: int, height: int) -> np.ndarray:
    """The matrix (3, 3) from the header's coordinates to pixels of the data window, y down."""
    start, end = (np.array(corner, dtype=np.float64) for corner in attributes["displayWindow"])
    origin = np.array(attributes["dataWindow"][0], dtype=np.float64)
    size = end - start + 1
    axis = projection[2, :3]
    middle = projection[:2, :3] @ axis / (axis @ axis)  # where the optical axis meets the picture
    of_pbrt = np.abs(middle - 0.5).max() < np.abs(middle).max()
    scale = np.array([size.min(), size.min()]) if of_pbrt else size / 2
    center = start - origin + size / 2
    shift = 0.5 if of_pbrt else 0.0
    return np.array(
        [[scale[0], 0, center[0] - shift * scale[0]], [0, -scale[1], center[1] + shift * scale[1]], [0, 0, 1]]
    )


def _since_the_first(shot: Sequence[ShotFrame]) -> list[int]:
    numbers = [frame.number for frame in shot]
    first = numbers[0]
    return [index if first is None or n is None else max(0, n - first) for index, n in enumerate(numbers)]


def _transforms(
    file: Path, document: Mapping[str, Any], shot: Sequence[ShotFrame], width: int, height: int
) -> list[Camera]:
    """https://docs.nerf.studio/quickstart/data_conventions.html."""
    try:
        entries = [dict(document) | dict(entry) for entry in document["frames"]]
        by_name = {Path(str(entry.get("file_path", ""))).stem: entry for entry in entries}
        if all(frame.file.stem in by_name for frame in shot):
            entries = [by_name[frame.file.stem] for frame in shot]
        if len(entries) != len(shot):
            raise UsageError(f"{file}: has {len(entries)} cameras for {len(shot)} frames, and their names differ")
        return [_of_entry(entry, width, height) for entry in entries]
    except KeyError as error:
        raise UsageError(f"{file}: a frame has no {error}") from error
    except (TypeError, ValueError) as error:
        raise UsageError(f"{file}: not cameras: {error}") from error


def _of_entry(entry: Mapping[str, Any], width: int, height: int) -> Camera:
    model = str(entry.get("camera_model", "pinhole")).lower()
    if model not in _PINHOLES:
        raise ValueError(f"camera_model is {model}, but only perspective cameras are understood")
    to_world = np.eye(4)
    to_world[:3] = np.array(entry["transform_matrix"], dtype=np.float64)[:3]
    axes = to_world[:3, :3]
    if not np.abs(axes.T @ axes - np.eye(3)).max() < 1e-3:
        raise ValueError("a transform_matrix is not a rotation and a position")
    across, down = float(entry.get("w", width)), float(entry.get("h", height))
    point = float(entry.get("cx", across / 2)) / across, float(entry.get("cy", down / 2)) / down
    return Camera(to_world @ _OPENGL_TO_MITSUBA, _fov_y(entry, across, down), width, height, point)


def _fov_y(entry: Mapping[str, Any], across: float, down: float) -> float:
    """The vertical field of view in degrees."""
    focal = entry.get("fl_y", entry.get("fl_x"))
    if focal is None:
        focal = across / 2 / math.tan(float(entry["camera_angle_x"]) / 2)
    return math.degrees(2 * math.atan(down / 2 / float(focal)))
