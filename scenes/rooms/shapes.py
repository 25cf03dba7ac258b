"""Random meshes to furnish rooms with. Metres, +y up, standing on y = 0."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.random import Generator


class Mesh(NamedTuple):
    """points (N, 3), unit normals (N, 3), uv (N, 2) in roughly metres, faces (M, 3) counter-clockwise from outside."""

    points: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    faces: np.ndarray


def write_ply(file: Path, mesh: Mesh) -> None:
    """Writes a binary PLY with normals and texture coordinates."""
    vertices = np.concatenate([mesh.points, mesh.normals, mesh.uv], axis=1).astype("<f4")
    rows = np.empty(len(mesh.faces), dtype=[("count", "u1"), ("index", "<i4", 3)])
    rows["count"], rows["index"] = 3, mesh.faces
    properties = "".join(f"property float {p}\n" for p in ("x", "y", "z", "nx", "ny", "nz", "u", "v"))
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(vertices)}\n{properties}"
    head += f"element face {len(rows)}\nproperty list uchar int vertex_indices\nend_header\n"
    file.write_bytes(head.encode() + vertices.tobytes() + rows.tobytes())


def join(meshes: list[Mesh]) -> Mesh:
    """One mesh of many."""
    first = np.cumsum([0, *(len(m.points) for m in meshes)])
    faces = np.concatenate([m.faces + start for m, start in zip(meshes, first, strict=False)])
    points, normals, uv = (np.concatenate([m[part] for m in meshes]) for part in range(3))
    return Mesh(points, normals, uv, faces)


def turn_y(angle: float) -> np.ndarray:
    """(3, 3) rotation about +y by `angle` in radians, from +z towards +x."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def random_rotation(rng: Generator) -> np.ndarray:
    """(3, 3) rotation, uniformly random."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)


def moved(mesh: Mesh, rotation: np.ndarray, offset: np.ndarray | tuple = (0, 0, 0)) -> Mesh:
    """The mesh, rotated and then moved."""
    return mesh._replace(points=mesh.points @ rotation.T + offset, normals=mesh.normals @ rotation.T)


def standing(mesh: Mesh, size: float) -> Mesh:
    """The mesh scaled so that its longest side is `size`, centered in x and z, its lowest point at y = 0."""
    low, high = mesh.points.min(axis=0), mesh.points.max(axis=0)
    scale = size / (high - low).max()
    origin = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
    return mesh._replace(points=(mesh.points - origin) * scale, uv=mesh.uv * scale)


def facets(corners: np.ndarray, uv: np.ndarray | None = None) -> Mesh:
    """Flat polygons of (M, K, 3) corners, counter-clockwise from outside."""
    count, sides = corners.shape[:2]
    normals = _unit(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    uv = corners[..., :2] if uv is None else uv
    fan = np.array([(0, k, k + 1) for k in range(1, sides - 1)])
    faces = (np.arange(count)[:, None, None] * sides + fan).reshape(-1, 3)
    return Mesh(corners.reshape(-1, 3), np.repeat(normals, sides, axis=0), uv.reshape(-1, 2), faces)


def faceted(mesh: Mesh) -> Mesh:
    """The mesh with flat shading."""
    return facets(mesh.points[mesh.faces], mesh.uv[mesh.faces])


def boxes(rows: list | np.ndarray) -> Mesh:
    """Boxes from rows of six numbers: lowest corner (x, y, z), then size."""
    rows = np.asarray(rows, dtype=float)
    sides, maps = [], []
    square = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], dtype=float)
    for axis, end in ((a, e) for a in range(3) for e in (0, 1)):
        i, j = ((axis + 1) % 3, (axis + 2) % 3)
        corner = np.full((4, 3), float(end))
        corner[:, [i, j]] = square if end else square[:, ::-1]
        sides.append(corner)
        maps.append((0, 2) if axis == 1 else (2 if axis == 0 else 0, 1))
    points = rows[:, None, None, :3] + np.array(sides) * rows[:, None, None, 3:]
    uv = np.stack([points[:, k][..., list(m)] for k, m in enumerate(maps)], axis=1)
    return facets(points.reshape(-1, 4, 3), uv.reshape(-1, 4, 2))


def surface(points: np.ndarray, closed_rows: bool = False) -> Mesh:
    """A smooth mesh of a (rows, columns, 3) grid of points whose last column equals its first."""
    along, around = np.gradient(points, axis=(0, 1))
    around[:, [0, -1]] = (points[:, [1]] - points[:, [-2]]) / 2
    if closed_rows:
        along[[0, -1]] = (points[[1]] - points[[-2]]) / 2
    rows, columns = points.shape[:2]
    a = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    faces = np.concatenate([np.stack([a, a + 1, a + columns + 1], 1), np.stack([a, a + columns + 1, a + columns], 1)])
    flat, normals = points.reshape(-1, 3), _unit(np.cross(around, along)).reshape(-1, 3)
    if np.einsum("ij,ij->", flat[faces[:, 0]], np.cross(flat[faces[:, 1]], flat[faces[:, 2]])) < 0:
        faces, normals = faces[:, ::-1], -normals
    u, v = np.meshgrid(np.linspace(0, 2, columns), np.linspace(0, 1, rows))
    return Mesh(flat, normals, np.stack([u.ravel(), v.ravel()], axis=1), faces)


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)


def _sphere_grid(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Latitude (rows, 1) and longitude (1, columns). It stops short of the poles, where a grid has no normal."""
    return np.linspace(-1.56, 1.56, rows)[:, None], np.linspace(0, 2 * np.pi, columns)[None, :]


def _directions(rows: int, columns: int) -> np.ndarray:
    latitude, longitude = _sphere_grid(rows, columns)
    flat = np.cos(latitude)
    return np.stack([flat * np.cos(longitude), np.sin(latitude) + 0 * longitude, flat * np.sin(longitude)], axis=-1)


# Closed shapes of about unit size, smooth or not. These may be made of glass.


def ball(rng: Generator) -> Mesh:
    """A sphere."""
    return surface(_directions(33, 49))


def blob(rng: Generator) -> Mesh:
    """A ball with smooth bumps, or with spikes."""
    d = _directions(65, 97)
    waves = np.sin(d @ rng.normal(0, rng.uniform(1, 7), (3, 6)) + rng.uniform(0, 6, 6))
    bumps = waves.mean(axis=-1) if rng.random() < 0.6 else np.abs(waves).prod(axis=-1) ** 0.5 * 2
    return surface(d * (1 + rng.uniform(0.2, 0.9) * bumps[..., None]) * rng.uniform(0.5, 1.2, 3))


def rock(rng: Generator) -> Mesh:
    """A ball with few flat faces: crystal or stone."""
    d = _directions(int(rng.integers(4, 8)), int(rng.integers(5, 10)))
    d[:, :-1] *= rng.uniform(0.75, 1.15, (*d[:, :-1].shape[:2], 1))
    d[:, -1] = d[:, 0]
    return faceted(surface(d * rng.uniform(0.4, 1.2, 3)))


def superquadric(rng: Generator) -> Mesh:
    """A superquadric (Barr 1981): between box, cylinder, ball and star."""
    latitude, longitude = _sphere_grid(49, 65)
    e, n = rng.uniform(0.25, 2.2, 2)

    def power(x: np.ndarray, p: float) -> np.ndarray:
        return np.sign(x) * np.abs(x) ** p

    flat = power(np.cos(latitude), n)
    x, y, z = flat * power(np.cos(longitude), e), power(np.sin(latitude), n), flat * power(np.sin(longitude), e)
    return surface(np.stack([x, y + 0 * longitude, z], axis=-1) * rng.uniform(0.4, 1.2, 3))


def torus(rng: Generator) -> Mesh:
    """A ring, or a knotted one."""
    t, angle = np.linspace(0, 2 * np.pi, 129)[:, None], np.linspace(0, 2 * np.pi, 17)[None, :]
    turns, waves, wobble = rng.integers(1, 3), rng.integers(2, 8), rng.choice([0, 0.15, 0.4])
    ring = 1 + wobble * np.cos(waves * t) + (tube := rng.uniform(0.04, 0.3)) * np.cos(angle)
    height = wobble * np.sin(waves * t) + tube * np.sin(angle)
    return surface(np.stack([ring * np.cos(turns * t), height, ring * np.sin(turns * t)], axis=-1), closed_rows=True)


def vase(rng: Generator) -> Mesh:
    """A turned vase, bowl or bottle with an inside."""
    height, knots = rng.uniform(0.4, 2), rng.uniform(0.15, 0.6, 6)
    t = np.linspace(0, 1, 40)
    radius = np.interp(t, np.linspace(0, 1, 6), knots)
    radius = np.convolve(np.pad(radius, 4, mode="edge"), np.ones(9) / 9, mode="valid")
    wall = min(0.05, radius.min() / 3)
    profile = [(1e-3, 0), (radius[0], 0), *zip(radius, t * height, strict=True)]
    profile += [*zip(radius[::-1] - wall, wall + t[::-1] * (height - wall), strict=True), (1e-3, wall)]
    r, y = np.array(profile).T[..., None]
    angle = np.linspace(0, 2 * np.pi, 49)[None, :]
    flutes = 1 + rng.choice([0, 0.06]) * np.cos(rng.integers(5, 20) * angle)
    return surface(np.stack([r * flutes * np.cos(angle), y + 0 * angle, r * flutes * np.sin(angle)], axis=-1))


def drum(rng: Generator) -> Mesh:
    """A cylinder, prism or cone, flat or tall."""
    sides, top = rng.choice([3, 4, 5, 6, 8, 40]), rng.choice([1, 1, 0.5, 0.02])
    r, y = np.array([(1e-3, 0), (1, 0), (top, 1), (1e-3, 1)]).T[..., None]
    angle = np.linspace(0, 2 * np.pi, sides + 1)[None, :]
    points = np.stack([r * np.cos(angle), y * rng.uniform(0.1, 4) + 0 * angle, r * np.sin(angle)], axis=-1)
    return faceted(surface(points))


def block(rng: Generator) -> Mesh:
    """A box."""
    return boxes([(0, 0, 0, *rng.uniform(0.15, 1, 3))])


SOLIDS = (ball, blob, rock, superquadric, torus, vase, drum, block)

# Shapes of many parts, some of them thin. These are never made of glass.


def leaves(rng: Generator) -> Mesh:
    """A plant: many small leaves around a stem."""
    count = int(rng.integers(150, 900))
    centres = rng.normal(0, 0.22, (count, 3)) * rng.uniform(0.6, 1.3, 3) + (0, 0.8, 0)
    u, v = (rng.normal(size=(count, 3)) * rng.uniform(0.02, 0.09) for _ in range(2))
    stems = boxes([(-0.02, 0, -0.02, 0.04, 0.9, 0.04)])
    return join([stems, facets(np.stack([centres - v, centres + u / 2, centres + v, centres - u / 2], axis=1))])


def books(rng: Generator) -> Mesh:
    """A shelf of books, or a row of them."""
    rows, x = [], 0.0
    while x < 1:
        width = rng.uniform(0.02, 0.07)
        rows.append((x, 0.02, 0, width * 0.93, rng.uniform(0.18, 0.32), rng.uniform(0.16, 0.24)))
        x += width
    levels = int(rng.integers(1, 5))
    shelf = [np.add(row, (0, 0.36 * k, 0, 0, 0, 0)) for k in range(levels) for row in rows]
    shelf += [(-0.03, 0.36 * k, -0.02, 1.12, 0.02, 0.28) for k in range(levels + 1)]
    return boxes([*shelf, (-0.03, 0, -0.03, 1.12, 0.36 * levels, 0.01)])


def bars(rng: Generator) -> Mesh:
    """A grid, rack or blind of thin bars."""
    rows: list[tuple]
    thin, count = rng.uniform(0.003, 0.03), int(rng.integers(6, 40))
    at = np.linspace(0, 1, count)
    rows = [(x, 0, 0, thin, 1, rng.uniform(0.005, 0.05)) for x in at]
    if rng.random() < 0.5:
        rows += [(0, y, 0, 1, thin, 0.02) for y in at[:: rng.integers(1, 5)]]
    return boxes([*rows, (0, 0, 0, 1 + thin, 0.03, 0.03), (0, 0.97, 0, 1 + thin, 0.03, 0.03)])


def chair(rng: Generator) -> Mesh:
    """A chair with a back of slats."""
    seat, leg, back = rng.uniform(0.4, 0.5), rng.uniform(0.02, 0.06), rng.uniform(0.3, 0.6)
    legs = [(x, 0, z, leg, seat, leg) for x in (0, 0.45 - leg) for z in (0, 0.45 - leg)]
    slats = [(x, seat, 0, leg, back, leg / 2) for x in np.linspace(0, 0.45 - leg, rng.integers(2, 8))]
    return boxes([*legs, *slats, (0, seat, 0, 0.45, 0.04, 0.45), (0, seat + back, 0, 0.45, 0.07, leg)])


def heap(rng: Generator) -> Mesh:
    """Things strewn about: pebbles, toys or bricks."""
    kind = SOLIDS[rng.choice([0, 2, 6, 7])]
    parts = [
        moved(standing(kind(rng), rng.uniform(0.04, 0.2)), random_rotation(rng)) for _ in range(rng.integers(5, 25))
    ]
    at = rng.uniform(-0.6, 0.6, (len(parts), 2))
    return join([moved(p, np.eye(3), (x, -p.points[:, 1].min(), z)) for p, (x, z) in zip(parts, at, strict=True)])


CLUTTER = (leaves, books, bars, chair, heap)
