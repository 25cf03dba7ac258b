"""Single rays into a scene: how far it is to the next surface."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from noisewalk.renderer.alone import alone
from noisewalk.renderer.frame import Camera
from noisewalk.renderer.scene import Scene


def viewing_distance(scene: Scene) -> float:
    """Median distance to what the middle of the picture shows, or else the whole picture.

    If it shows nothing, it is the distance to the middle of the scene, but at least half its diagonal. It is 1 without
    shapes, or with shapes too large for single precision.
    """
    for places in (np.linspace(0.25, 0.75, 5), np.linspace(0.0, 1.0, 33)):
        grid = np.array([direction(scene.start, x, y) for x, y in itertools.product(places, repeat=2)])
        found = distances(scene, scene.start.to_world[None, :3, 3], grid)
        if np.isfinite(found).any():
            return float(np.median(found[np.isfinite(found)]))
    box = scene.mi_scene.bbox()
    corners = np.array([box.min, box.max], dtype=np.float64)
    if not np.isfinite(corners).all() or not box.valid():
        return 1.0
    away = np.linalg.norm(corners.mean(axis=0) - scene.start.to_world[:3, 3])
    return float(max(away, np.linalg.norm(corners[1] - corners[0]) / 2))


def distances(scene: Scene, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """(N,) distance to the first surface along each of N directions of any length; inf where there is none.

    origins: (N, 3) or (1, 3) for all; directions: (N, 3).
    """
    if not len(directions):  # Dr.Jit aborts the process if there are no rays
        return np.empty(0)
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    origins = np.broadcast_to(origins, directions.shape)
    with alone():
        return _distances(scene, origins, directions)


def _distances(scene: Scene, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
    import mitsuba as mi

    if scene.variant.startswith("scalar"):
        rays = (mi.Ray3f(mi.Point3f(o), mi.Vector3f(d)) for o, d in zip(origins, directions, strict=True))
        return np.array([_hit_distance(scene.mi_scene.ray_intersect_preliminary(ray)) for ray in rays])
    ray = mi.Ray3f(mi.Point3f(origins.T.copy()), mi.Vector3f(directions.T.copy()))
    found = np.array(scene.mi_scene.ray_intersect_preliminary(ray, coherent=False).t, dtype=np.float64)
    return np.where(np.isnan(found), np.inf, found)  # of shapes that are too large for single precision


def _hit_distance(hit: Any) -> float:
    return float(hit.t) if hit.is_valid() and hit.t == hit.t else float("inf")


def direction(camera: Camera, x: float, y: float) -> np.ndarray:
    """(3,) in the world, of length 1: the direction of `camera` at (x, y), both in [0, 1] from the top left."""
    height = 2 * np.tan(np.radians(camera.fov_y) / 2)
    centre_x, centre_y = camera.principal_point
    axes = np.array([(centre_x - x) * height * camera.width / camera.height, (centre_y - y) * height, 1.0])
    turned: np.ndarray = camera.to_world[:3, :3] @ (axes / np.linalg.norm(axes))
    return turned


def pick(scene: Scene, camera: Camera, x: float, y: float) -> np.ndarray | None:
    """The point (3,) in the world at (x, y) of the picture, both in [0, 1] from the top left; None if there is none."""
    origin, towards = camera.to_world[:3, 3], direction(camera, x, y)
    distance = distances(scene, origin[None], towards[None])[0]
    return origin + distance * towards if np.isfinite(distance) else None
