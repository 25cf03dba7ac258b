"""Positions and the camera that sees them. It is found from the positions, so that renderers need not write it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.linalg
import torch

from noisewalk.renderer.frame import Camera

MOST_POINTS = 4000
FEWEST_POINTS = 50
ROUNDS = 4
WELL = 0.5  # pixels; the largest median distance between where the camera has the points and where they were seen
FARTHEST = 1e8  # farther positions are what renderers write for the background
AT_THE_CAMERA = 1e-4  # as a part of the distance to what is seen


def fit_camera(position: np.ndarray) -> Camera | None:
    """The pinhole camera that sees each point (H, W, 3) in its pixel; None if there is none within half a pixel.

    A linear fit of a projection matrix (the direct linear transform: Hartley and Zisserman, "Multiple View Geometry",
    algorithm 7.1), repeated without the points that it fits worst: on edges the mean of a pixel's positions is on
    neither surface. It fails if all points lie in one plane, and for positions relative to the camera, which do not say
    how it moves.
    """
    height, width = position.shape[:2]
    points, pixels = _samples(position)
    matrix = _projection(points, pixels)
    for _ in range(ROUNDS):
        if matrix is None:
            break
        error = np.linalg.norm(_project(matrix, points) - pixels, axis=1)
        keep = error <= max(np.quantile(error, 0.8), WELL / 4)
        points, pixels = points[keep], pixels[keep]
        matrix = _projection(points, pixels)
    if matrix is None:
        return None
    camera, _ = pinhole(matrix, width, height)
    center = camera.to_world[:3, 3]
    relative = np.linalg.norm(center) < AT_THE_CAMERA * np.median(np.linalg.norm(points - center, axis=1))
    return None if relative or _error(camera, points, pixels) > WELL else camera


def _samples(position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 3), and the centers (N, 2) of the pixels in which they were seen, from the top left corner."""
    seen = np.argwhere(position.any(axis=-1) & (np.abs(position) < FARTHEST).all(axis=-1))
    chosen = seen[:: max(1, len(seen) // MOST_POINTS)]
    return position[chosen[:, 0], chosen[:, 1]].astype(np.float64), chosen[:, ::-1] + 0.5


def _projection(points: np.ndarray, pixels: np.ndarray) -> np.ndarray | None:
    """The projection (3, 4), up to scale, positive for points in front; None if the points do not determine it."""
    if len(points) < FEWEST_POINTS:
        return None
    to_unit, from_pixels = _normalizing(points), _normalizing(pixels)
    p, q = _homogeneous(points) @ to_unit.T, _homogeneous(pixels) @ from_pixels.T
    zero = np.zeros_like(p)
    rows = np.concatenate([np.hstack([p, zero, -q[:, :1] * p]), np.hstack([zero, p, -q[:, 1:2] * p])])
    _, values, vectors = np.linalg.svd(rows, full_matrices=False)
    if values[-2] < 1e-3 * values[0] / len(p) ** 0.5:
        return None  # more than one camera fits
    matrix = np.linalg.inv(from_pixels) @ vectors[-1].reshape(3, 4) @ to_unit
    return np.asarray(matrix * np.sign(np.median(_homogeneous(points) @ matrix[2])))


def _normalizing(points: np.ndarray) -> np.ndarray:
    """The matrix that moves points to the origin and to unit size. Without it, rounding errors spoil the fit."""
    center, dimensions = points.mean(axis=0), points.shape[1]
    scale = 1.0 / max(float(np.linalg.norm(points - center, axis=1).mean()), 1e-30)
    matrix = np.diag([*[scale] * dimensions, 1.0])
    matrix[:-1, -1] = -scale * center
    return matrix


def _homogeneous(points: np.ndarray) -> np.ndarray:
    return np.hstack([points, np.ones((len(points), 1))])


def _project(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    projected = _homogeneous(points) @ matrix.T
    return np.asarray(projected[:, :2] / projected[:, 2:])


def pinhole(matrix: np.ndarray, width: int, height: int) -> tuple[Camera, float]:
    """The camera of a projection (3, 4) to pixels, in Mitsuba's axes (left, up, forward), and how much wider than high
    its pixels are.
    """
    calibration, rotation = scipy.linalg.rq(matrix[:, :3])
    signs = np.sign(np.diag(calibration))
    calibration, rotation = calibration * signs, rotation * signs[:, None]
    center = -np.linalg.solve(matrix[:, :3], matrix[:, 3])
    calibration = calibration / calibration[2, 2]
    principal_point = (float(calibration[0, 2] / width), float(calibration[1, 2] / height))
    to_world = np.eye(4)
    to_world[:3] = np.column_stack([-rotation[0], -rotation[1], rotation[2], center])
    fov_y = float(np.degrees(2 * np.arctan(height / 2 / calibration[1, 1])))
    sides = float(calibration[0, 0] / calibration[1, 1])
    return Camera(to_world, fov_y, width, height, principal_point), sides


def placed(positions: Sequence[torch.Tensor], known: Camera | None) -> tuple[Sequence[torch.Tensor], Camera | None]:
    """The positions of both halves, (H, W, 3) each, in world space, and the camera that sees them.

    known: the camera that is written down, if any. If the positions are relative to it, in its axes or in the world's,
    they are moved to where it is. If they are not in its pixels, it is another one, and that is found by `fit_camera`.
    """
    mean = ((positions[0] + positions[1]) / 2).numpy()
    if known is not None:
        if _sees(known, mean):
            return positions, known
        rotation = known.to_world[:3, :3]
        # pbrt's axes are right, up, forward; OpenGL's right, up, backward.
        for axes in (rotation * (-1, 1, 1), rotation * (-1, 1, -1), np.eye(3)):
            if _sees(known, _moved(mean, axes, known)):
                return [torch.from_numpy(_moved(one.numpy(), axes, known)) for one in positions], known
    return positions, fit_camera(mean)


def points_at(camera: Camera, depth: np.ndarray, along_rays: bool) -> np.ndarray:
    """The points (H, W, 3) float32 in the middle of each pixel at a depth (H, W), 0 where there is none.

    along_rays: the depth is the distance to the camera, else that ahead of it.
    """
    height, width = depth.shape
    y, x = np.mgrid[:height, :width] + 0.5
    focal = camera.height / 2 / np.tan(np.radians(camera.fov_y) / 2)
    left = (camera.width * camera.principal_point[0] - x) / focal
    up = (camera.height * camera.principal_point[1] - y) / focal
    rays = np.stack([left, up, np.ones_like(left)], axis=-1)
    if along_rays:
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    seen = np.isfinite(depth) & (depth > 0) & (depth < FARTHEST)
    points = camera.to_world[:3, 3] + rays @ camera.to_world[:3, :3].T * np.where(seen, depth, 0.0)[..., None]
    return np.where(seen[..., None], points, 0.0).astype(np.float32)


def _moved(position: np.ndarray, axes: np.ndarray, camera: Camera) -> np.ndarray:
    """Positions relative to a camera, in world space; 0 stays: nothing was seen there."""
    moved = position @ axes.T + camera.to_world[:3, 3]
    return np.where(position.any(axis=-1, keepdims=True), moved, 0.0).astype(np.float32)


def _sees(camera: Camera, position: np.ndarray) -> bool:
    """Whether the camera has these points (H, W, 3) in their pixels."""
    points, pixels = _samples(position)
    return len(points) >= FEWEST_POINTS and _error(camera, points, pixels) <= WELL


def _error(camera: Camera, points: np.ndarray, pixels: np.ndarray) -> float:
    """The median distance in pixels between where the camera has the points and where they were seen."""
    left, up, forward = ((points - camera.to_world[:3, 3]) @ camera.to_world[:3, :3]).T
    forward = np.where(forward > 0, forward, np.nan)
    focal = camera.height / 2 / np.tan(np.radians(camera.fov_y) / 2)
    x = camera.width * camera.principal_point[0] - focal * left / forward
    y = camera.height * camera.principal_point[1] - focal * up / forward
    distance = np.hypot(x - pixels[:, 0], y - pixels[:, 1])
    return float(np.median(np.where(np.isfinite(distance), distance, np.inf)))
