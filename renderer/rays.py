"""Single rays into a scene: how far it is to the next surface."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from noisewalk.renderer.frame import Camera
from noisewalk.renderer.scene import Scene


def viewing_distance(scene: Scene) -> float:
    """Median distance to what the middle of the picture shows; the size of the scene where it shows nothing."""
    pose = scene.start.to_world
    spread = np.tan(np.radians(scene.start.fov_y) / 4)
    grid = np.array([(x, y, 1.0) for x, y in itertools.product(np.linspace(-spread, spread, 5), repeat=2)])
    found = distances(scene, pose[None, :3, 3], grid @ pose[:3, :3].T)
    hits = found[np.isfinite(found)]
    if hits.size:
        return float(np.median(hits))
    box = scene.mi_scene.bbox()
    return float(np.linalg.norm(np.array(box.extents()))) / 2 if box.valid() else 1.0


def distances(scene: Scene, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """(N,) distance to the first surface along each of N directions (any length); inf where there is none.

    origins: (N, 3) or (1, 3) for all; directions: (N, 3).
    """
    import mitsuba as mi

    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    origins = np.broadcast_to(origins, directions.shape)
    if scene.variant.startswith("scalar"):
        rays = (mi.Ray3f(mi.Point3f(o), mi.Vector3f(d)) for o, d in zip(origins, directions, strict=True))
        return np.array([_hit_distance(scene.mi_scene.ray_intersect_preliminary(ray)) for ray in rays])
    ray = mi.Ray3f(mi.Point3f(origins.T.copy()), mi.Vector3f(directions.T.copy()))
    return np.array(scene.mi_scene.ray_intersect_preliminary(ray, coherent=False).t, dtype=np.float64)


def _hit_distance(hit: Any) -> float:
    return float(hit.t) if hit.is_valid() else float("inf")


def pick(scene: Scene, camera: Camera, x: float, y: float) -> np.ndarray | None:
    """The point (3,) in the world that `camera` shows at (x, y), both in [0, 1] from the top left; None for nothing."""
    height = np.tan(np.radians(camera.fov_y) / 2)
    direction = np.array([(1 - 2 * x) * height * camera.width / camera.height, (1 - 2 * y) * height, 1.0])
    direction = camera.to_world[:3, :3] @ (direction / np.linalg.norm(direction))
    origin = camera.to_world[:3, 3]
    distance = distances(scene, origin[None], direction[None])[0]
    return origin + distance * direction if np.isfinite(distance) else None
