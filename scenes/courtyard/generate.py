"""Writes the meshes, textures and camera path of the courtyard: python scenes/courtyard/generate.py

A Mediterranean patio, 14 x 14 m: galleries in the north (-z), west (-x) and south, a pergola in the east, a fountain in
the middle. Metres, +y up. One mesh per material, in place; trees and shrubs are placed by scene.xml.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image, ImageDraw

from noisewalk.renderer.camera_path import CameraPath, look_at, save_path

HERE = Path(__file__).resolve().parent

# Eye, target (metres) and vertical field of view (degrees), at equal distances in time.
FLIGHT = [
    ((-0.05, 1.60, 6.35), (0.00, 1.75, 0.0), 66),  # under the south gallery, in the shade
    ((0.00, 1.60, 5.40), (0.10, 1.60, 0.0), 66),
    ((0.15, 1.60, 4.30), (0.40, 1.40, -0.5), 64),  # through the arch into the sun
    ((0.80, 1.55, 3.20), (0.55, 1.20, -1.0), 60),
    ((1.80, 1.50, 1.95), (0.60, 1.05, -1.2), 57),  # round the fountain
    ((3.20, 1.55, 0.40), (4.40, 1.30, -3.2), 60),
    ((4.75, 1.60, -0.05), (6.60, 1.20, -2.2), 60),  # the bench under the pergola
    ((5.25, 1.60, -1.50), (3.70, 1.65, -5.0), 60),
    ((3.50, 1.60, -1.40), (0.60, 1.45, -5.0), 60),  # the orange tree and the north arcade
    ((1.65, 1.60, -1.80), (-0.40, 1.55, -5.6), 62),
    ((1.65, 1.60, -3.60), (-0.60, 1.40, -6.4), 62),
    ((1.50, 1.60, -5.70), (-2.60, 1.45, -4.6), 62),  # along the north gallery
    ((-0.50, 1.60, -5.65), (-1.70, 1.40, -2.4), 62),  # between the columns, against the light
    ((-0.15, 1.60, -4.50), (-0.10, 1.30, 0.0), 62),
    ((-1.00, 1.55, -2.90), (0.35, 1.05, 0.5), 58),
    ((-2.25, 1.50, -1.00), (1.40, 1.05, -0.1), 56),  # back across the fountain
    ((-2.35, 1.50, 0.90), (1.00, 1.20, -1.8), 56),
    ((-1.40, 1.55, 2.60), (0.60, 1.30, -2.2), 60),
    ((-0.30, 1.60, 4.20), (0.25, 1.55, -1.0), 64),
    ((-0.10, 1.60, 5.70), (0.05, 1.70, 0.0), 66),
]
SUPPORTS = (-4.6, -2.76, -0.92, 0.92, 2.76, 4.6)  # of an arcade: corner piers and columns
SLOPE = 0.4  # of the roofs
COLUMN = [
    [(0.165, 0.1), (0.18, 0.12), (0.18, 0.14), (0.165, 0.16)],
    [(0.145, 0.16), (0.135, 0.18), (0.145, 0.21)],
    [(0.125, 0.21), (0.122, 0.6), (0.115, 1.2), (0.102, 1.9)],
    [(0.102, 1.9), (0.122, 1.915), (0.122, 1.935), (0.102, 1.95)],
    [(0.102, 1.95), (0.108, 2.03), (0.13, 2.11), (0.165, 2.18), (0.17, 2.22)],
]
FOUNTAIN = [
    [(0.34, 0.3), (0.34, 0.5)],
    [(0.34, 0.5), (0.28, 0.54), (0.2, 0.6), (0.13, 0.72), (0.105, 0.85), (0.12, 0.95), (0.16, 0.99)],
    [(0.16, 0.99), (0.3, 1.02), (0.46, 1.08), (0.57, 1.16), (0.62, 1.25), (0.64, 1.27)],
    [(0.64, 1.27), (0.64, 1.3), (0.6, 1.3)],
    [(0.6, 1.3), (0.5, 1.19), (0.3, 1.12), (0.0, 1.1)],
    [(0.09, 1.1), (0.07, 1.3), (0.05, 1.4), (0.08, 1.45), (0.1, 1.52), (0.08, 1.6), (0.03, 1.66), (0.0, 1.68)],
]
POT = [
    [(0.6, 0.0), (0.8, 0.5), (0.93, 1.25), (0.95, 1.5)],
    [(0.95, 1.5), (1.06, 1.5), (1.08, 1.56), (1.08, 1.66), (1.02, 1.7), (0.95, 1.68), (0.9, 1.55), (0.9, 1.45)],
]
SOIL = [[(0.92, 1.5), (0.0, 1.56)]]
BOUGAINVILLEA = [  # middle, radii, leaves
    ((4.55, 3.55, -4.1), (0.75, 0.5, 0.4), 520),
    ((3.5, 3.75, -4.1), (0.8, 0.3, 0.35), 380),
    ((2.5, 3.85, -4.2), (0.6, 0.22, 0.3), 200),
    ((4.75, 2.7, -4.15), (0.35, 0.7, 0.3), 260),
    ((5.6, 3.6, -4.3), (0.7, 0.4, 0.4), 260),
]
GERANIUMS = [(6.75, 0.49, -2.35), (6.75, 0.49, 2.35), (6.78, 0.49, -1.85), (4.1, 0, 0.92), (4.1, 0, -0.92)]
GERANIUMS += [(x, 5.08, -6.4) for x in (-1.2, 0, 1.2)]  # on the balcony
HANGING = {  # blue pots on the walls: turn of the wall, then place along it and height
    0: [*zip((5.9, 5.1, 4.3, 2.9, 2.1, -2.1, -2.9, -5), (1.75, 2.25, 1.75, 2.25, 1.75, 1.75, 2.25, 1.9), strict=True)],
    90: [(-4.6, 1.8), (-3.6, 2.2), (-2.6, 1.8), (2.6, 1.8), (3.6, 2.2), (4.6, 1.8)],
    180: [(-1.4, 2.2), (-0.7, 1.8), (0.7, 1.8), (1.4, 2.2)],
    270: [(-6.4, 1.9), (-5.6, 2.3), (-3.4, 1.8), (-1.2, 1.8), (1.2, 1.8), (3.4, 1.8)],
}
LANTERN = [[(0, 2.2), (0.11, 2.2), (0.11, 2.23)], [(0.0, 2.6), (0.15, 2.6), (0.13, 2.66), (0.03, 2.74), (0, 2.76)]]


class Mesh:
    """Parts of (points, uv, faces). Normals are smooth within a part, so its outline is a hard edge."""

    def __init__(self) -> None:
        self.parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def grid(self, points: np.ndarray, uv: np.ndarray) -> None:
        """(rows, columns) points; seen from the front, columns go right and rows up."""
        rows, columns = points.shape[:2]
        a = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
        faces = np.concatenate(
            [np.stack(t, axis=1) for t in ((a, a + 1, a + columns + 1), (a, a + columns + 1, a + columns))]
        )
        points = points.reshape(-1, 3)
        faces = faces[trimesh.triangles.area(points[faces]) > 1e-10]
        used, faces = np.unique(faces, return_inverse=True)  # without the spare points at poles
        self.parts.append((points[used], uv.reshape(-1, 2)[used], faces.reshape(-1, 3)))

    def quad(self, a: tuple, b: tuple, c: tuple, d: tuple) -> None:
        """A flat quad, counter-clockwise; UV in metres from a, u towards b."""
        points = np.array([[a, b], [d, c]], dtype=float)
        u, v = points[0, 1] - points[0, 0], points[1, 0] - points[0, 0]
        self.grid(points, (points - points[0, 0]) @ np.stack([u / np.linalg.norm(u), v / np.linalg.norm(v)], axis=1))

    def box(self, low: tuple, high: tuple, turn: np.ndarray | None = None) -> None:
        """A box; `turn` rotates it around its middle. UV in metres, from the world's origin unless turned."""
        half, middle = np.subtract(high, low) / 2, np.add(high, low) / 2
        for axis in range(3):
            for sign in (1.0, -1.0):
                i, j = ((2, 1), (0, 2), (0, 1))[axis]
                flip = sign if axis == 2 else -sign
                p = np.empty((2, 2, 3))
                p[..., axis] = sign
                p[..., i], p[..., j] = np.array([[-1.0, 1.0]]) * flip, np.array([[-1.0], [1.0]])
                p *= half
                uv = (p + middle * (turn is None))[..., [i, j]]
                self.grid((p if turn is None else p @ turn.T) + middle, uv)

    def lathe(self, runs: list, at: tuple = (0, 0, 0), size: float = 1.0, sides: int = 24, flat: bool = False) -> None:
        """Turns runs of (radius, height), outside upwards, around y; every run is smooth, `flat` makes a prism."""
        angle = np.linspace(0, 2 * np.pi, sides + 1) + np.pi / sides
        for run in runs:
            r, y = (size * np.array(run, dtype=float)).T[:, :, None]
            points = np.stack([r * np.cos(angle), y + 0 * angle, -r * np.sin(angle)], axis=-1) + at
            v = np.append(0, np.cumsum(np.linalg.norm(np.diff(size * np.array(run), axis=0), axis=1)))[:, None]
            uv = np.stack(np.broadcast_arrays(angle * r.max(), v + y[0]), axis=-1)
            for i in range(sides) if flat else [slice(None)]:
                s = slice(i, i + 2) if flat else i
                self.grid(points[:, s], uv[:, s])

    def tube(self, path: np.ndarray, radius: float | np.ndarray, sides: int = 6) -> None:
        path = np.asarray(path, dtype=float)
        ahead = unit(np.gradient(path, axis=0))
        side = unit(np.cross(ahead, [0.31, 0.12, 0.94]))
        angle = np.linspace(0, 2 * np.pi, sides + 1)[None, :, None]
        offset = np.cos(angle) * side[:, None] + np.sin(angle) * np.cross(ahead, side)[:, None]
        length = np.append(0, np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1)))
        uv = np.stack(np.broadcast_arrays(angle[..., 0] * 0.05, length[:, None]), axis=-1)
        self.grid(path[:, None] + offset * np.reshape(radius, (-1, 1, 1)), uv)

    def leaves(
        self, rng: np.random.Generator, at: np.ndarray, out: np.ndarray, length: float, width: float, row: int
    ) -> None:
        """Folded diamonds that grow from `at` roughly along `out`, coloured from a row of foliage.png."""
        n = len(at)
        ahead = unit(out + 0.7 * rng.standard_normal((n, 3)))
        side = unit(np.cross(ahead, rng.standard_normal((n, 3))))
        size = rng.uniform(0.7, 1.2, (n, 1))
        lift = 0.25 * width * np.cross(side, ahead)
        corners = [0 * ahead, 0.45 * length * ahead + width / 2 * side + lift]
        corners += [length * ahead, 0.45 * length * ahead - width / 2 * side + lift]
        points = np.stack([at + size * c for c in corners], axis=1).reshape(-1, 3)
        u = rng.uniform(0.03, 0.85, (n, 1)) + np.array([0.0, 0.05, 0.1, 0.05])
        uv = np.stack([u.ravel(), np.full(4 * n, (row + 0.5) / 8)], axis=1)
        first = 4 * np.arange(n)[:, None]
        self.parts.append((points, uv, np.concatenate([first + np.array(t) for t in ((0, 1, 2), (0, 2, 3))])))

    def add(self, other: Mesh, turn: float = 0.0, move: tuple = (0, 0, 0), scale: float = 1.0) -> None:
        """Adds another mesh, turned by an angle in degrees around y and moved."""
        c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
        rotation = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        self.parts += [(scale * points @ rotation.T + move, uv, faces) for points, uv, faces in other.parts]

    def write(self, name: str, normals: bool = True) -> None:
        """Writes meshes/NAME.ply: binary, with texture coordinates."""
        columns, faces, first = [], [], 0
        for points, uv, part in self.parts:
            merged = trimesh.Trimesh(points, part, process=False)
            key = np.unique(np.round(points, 5), axis=0, return_inverse=True)[1].ravel()
            total = np.zeros((key.max() + 1, 3))
            corner = np.repeat(merged.area_faces[:, None] * unit(merged.triangles_cross), 3, axis=0)
            np.add.at(total, key[part].ravel(), corner)
            columns.append(np.concatenate([points, unit(total[key]), uv] if normals else [points, uv], axis=1))
            faces.append(part + first)
            first += len(points)
        rows = np.empty(sum(map(len, faces)), dtype=[("count", "u1"), ("index", "<u2", 3)])
        rows["count"], rows["index"] = 3, np.concatenate(faces)
        names = ("x", "y", "z", *(("nx", "ny", "nz") if normals else ()), "u", "v")
        head = f"ply\nformat binary_little_endian 1.0\nelement vertex {first}\n"
        head += "".join(f"property float {p}\n" for p in names)
        head += f"element face {len(rows)}\nproperty list uchar ushort vertex_indices\nend_header\n"
        data = np.concatenate(columns).astype("<f4").tobytes() + rows.tobytes()
        (HERE / "meshes" / f"{name}.ply").write_bytes(head.encode() + data)


def unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)


def arcade(m: dict[str, Mesh], east: int) -> None:
    """A gallery in its own frame: arches along x at z = 0, the court at +z, its wall at z = -2.4.

    east: the end (-1 or 1) where it runs on under the pergola's side to |x| = 7; 0 for none.
    """
    ends = [-7.0 if east < 0 else -4.77, 7.0 if east > 0 else 4.77]
    openings = [(a + (0.25 if a < -4 else 0.16), b - (0.25 if b > 4 else 0.16)) for a, b in pairwise(SUPPORTS)]
    openings += [(4.85, 6.9)] * (east > 0)
    openings = [(-6.9, -4.85)] * (east < 0) + openings
    left = ends[0]
    for a, b in [*openings, (ends[1], None)]:
        m["stucco"].box((left, 2.3, -0.17), (a, 3.7, 0.17))  # above a column
        left = b
        if b is None:
            break
        t = np.linspace(np.pi, 0, 19)
        arch = np.stack([(a + b) / 2 + (b - a) / 2 * np.cos(t), 2.3 + 0.76 * np.sin(t)], axis=1)
        ring = np.stack([(a + b) / 2 + ((b - a) / 2 + 0.17) * np.cos(t), 2.3 + 0.93 * np.sin(t)], axis=1)
        u = np.stack([np.linspace(0, 1, 19)] * 2)
        v = np.repeat([[0.0], [1.0]], 19, axis=1)
        top = np.stack([arch[:, 0], np.full(19, 3.7)], axis=1)
        for z in (0.17, -0.17):
            s = slice(None, None, 1 if z > 0 else -1)
            face = np.stack([np.insert(arch, 2, z, axis=1), np.insert(top, 2, z, axis=1)])
            m["stucco"].grid(face[:, s], face[:, s, :2])
            z *= 1.12
            m["voussoirs"].grid(
                np.stack([np.insert(p, 2, z, axis=1) for p in (arch, ring)])[:, s], np.stack([u, v], axis=-1)[:, s]
            )
            lip = np.stack([np.insert(ring, 2, q, axis=1) for q in ((z, z / 1.12) if z > 0 else (z / 1.12, z))])
            m["voussoirs"].grid(lip, np.stack([u, v], axis=-1))
        soffit = np.stack([np.insert(arch, 2, z, axis=1) for z in (-0.19, 0.19)])
        m["voussoirs"].grid(soffit, np.stack([u, v], axis=-1))
    for x in SUPPORTS[1:-1]:
        column(m["stone"], x, 0.0)
    for x in (-4.6, 4.6):
        m["stone"].box((x - 0.25, 0, -0.25), (x + 0.25, 2.22, 0.25))
        m["stone"].box((x - 0.28, 2.22, -0.28), (x + 0.28, 2.3, 0.28))
    m["stone"].box((ends[0], 3.58, 0.17), (ends[1], 3.66, 0.24))  # cornice
    wall = [min(-7.0, ends[0]), max(7.0, ends[1])]
    m["stucco"].box((wall[0], 3.4, -2.4), (wall[1], 3.44, 0))
    for x in np.arange(wall[0] + 0.2, wall[1], 0.46):
        m["wood"].box((x - 0.05, 3.26, -2.4), (x + 0.05, 3.4, -0.17))
    m["wood"].box((wall[0], 3.66, 0.17), (wall[1], 3.7, 0.3))


def column(stone: Mesh, x: float, z: float) -> None:
    stone.box((x - 0.19, 0, z - 0.19), (x + 0.19, 0.1, z + 0.19))
    stone.lathe(COLUMN, (x, 0, z), sides=16)
    stone.box((x - 0.18, 2.22, z - 0.18), (x + 0.18, 2.3, z + 0.18))


def roof(rng: np.random.Generator, east: int) -> Mesh:
    """Barrel tiles over a gallery, from the eave (z = 0.35) up to the wall; valleys at the mitred ends."""
    mesh = Mesh()
    t = np.linspace(np.pi, 0, 5)
    for d in np.arange(0.0, 2.75, 0.36):
        reach = 4.25 + d
        low, high = (-7.0 if east < 0 else -reach - 0.2), (7.0 if east > 0 else reach + 0.2)
        for x in np.arange(-7.0 + 0.11, 7.0, 0.21):
            if low <= x <= high:
                jitter = rng.normal(0, 0.006, 3)
                along, r = np.array([-0.04, 0.40])[:, None], np.array([0.105, 0.085])[:, None]
                y = 3.74 + SLOPE * (d + along) + np.array([[0.02], [0]]) + 0.8 * r * np.sin(t)
                tile = np.stack(np.broadcast_arrays(x + r * np.cos(t), y, 0.35 - d - along), axis=-1) + jitter
                uv = rng.uniform(0, 1, 2) + np.stack(np.meshgrid(np.linspace(0, 0.1, 5), [0.0, 0.12]), axis=-1)
                mesh.grid(tile, uv)
    return mesh


def deck() -> Mesh:
    mesh = Mesh()
    for lift, order in ((0.0, 1), (-0.03, -1)):
        y = (3.73 + lift, 3.73 + lift + 2.75 * SLOPE)
        mesh.quad(*[(-7, y[0], 0.33), (7, y[0], 0.33), (7, y[1], -2.42), (-7, y[1], -2.42)][::order])
    mesh.quad((-7, 3.70, 0.33), (7, 3.70, 0.33), (7, 3.73, 0.33), (-7, 3.73, 0.33))
    return mesh


def walls(m: dict[str, Mesh]) -> None:
    """Outer walls with dado, the upper north facade, and what stands along the walls."""
    stucco, stone, iron = m["stucco"], m["stone"], m["iron"]
    for low, high in (
        ((-7.4, 0, -7.4), (7.4, 7.6, -7)),
        ((-7.4, 0, -7), (-7, 5.6, 7)),
        ((-7.4, 0, 7), (7.4, 5.9, 7.4)),
        ((7, 0, -7), (7.4, 4.4, 7)),
    ):
        stucco.box(low, high)
        stone.box((low[0] - 0.05, high[1], low[2] - 0.05), (high[0] + 0.05, high[1] + 0.09, high[2] + 0.05))
    for turn in (0, 90, 180, 270):
        dado, cap = Mesh(), Mesh()
        for a, b in ((-7, -0.95), (0.95, 7)) if turn == 0 else ((-7, 7),):
            dado.box((a, 0.12, -7), (b, 1.12, -6.975))
            cap.box((a, 1.12, -7), (b, 1.17, -6.955))
            cap.box((a, 0, -7), (b, 0.12, -6.96))
        m["azulejo"].add(dado, turn)
        stone.add(cap, turn)
    # The door in the north gallery: two panelled leaves in a stone frame.
    for x in (-0.95, 0.75):
        stone.box((x, 0, -7), (x + 0.2, 2.6, -6.9))
    stone.box((-1.05, 2.6, -7), (1.05, 2.85, -6.88))
    for x in (-0.75, 0.0):
        m["painted"].box((x + 0.01, 0.02, -7), (x + 0.74, 2.6, -6.95))
        for y in np.arange(0.12, 2.4, 0.62):
            m["painted"].box((x + 0.1, y, -6.96), (x + 0.65, y + 0.5, -6.925))
    # Windows above with louvred shutters and a balcony.
    for x in (-4.0, 0.0, 4.0):
        m["glass"].box((x - 0.5, 5.2, -7), (x + 0.5, 6.9, -6.985))
        stone.box((x - 0.62, 6.9, -7), (x + 0.62, 7.08, -6.9))
        stone.box((x - 0.62, 5.08, -7), (x + 0.62, 5.2, -6.88))
        for bar in (-0.5, -0.02, 0.46):
            m["painted"].box((x + bar, 5.2, -7), (x + bar + 0.04, 6.9, -6.95))
        for s in (-1, 1):
            c = x + s * 0.78
            for e in (-0.26, 0.21):
                m["painted"].box((c + e, 5.2, -6.97), (c + e + 0.05, 6.9, -6.92))
            for y in np.arange(5.2, 6.9, 0.075):
                m["painted"].box((c - 0.21, y, -6.975), (c + 0.21, y + 0.012, -6.915), rotation_x(-40))
    stone.box((-1.6, 4.98, -7), (1.6, 5.08, -6.1))
    for x in np.arange(-1.55, 1.56, 0.1):
        iron.box((x - 0.008, 5.08, -6.14), (x + 0.008, 6.0, -6.124))
    iron.box((-1.58, 6.0, -6.16), (1.58, 6.03, -6.1))
    # A grille before a window in the west gallery, and one in the south.
    for turn, x0 in ((90, 0.0), (180, -3.6), (180, 3.6)):
        glass, frame, bars = Mesh(), Mesh(), Mesh()
        glass.box((x0 - 0.55, 1.35, -7), (x0 + 0.55, 2.75, -6.985))
        frame.box((x0 - 0.7, 1.22, -7), (x0 + 0.7, 1.35, -6.85))
        frame.box((x0 - 0.7, 2.75, -7), (x0 + 0.7, 2.9, -6.9))
        for x in np.linspace(-0.5, 0.5, 9):
            bars.box((x0 + x - 0.009, 1.35, -6.88), (x0 + x + 0.009, 2.75, -6.862))
        for y in (1.5, 2.05, 2.6):
            bars.box((x0 - 0.55, y - 0.012, -6.885), (x0 + 0.55, y + 0.012, -6.858))
        m["glass"].add(glass, turn)
        stone.add(frame, turn)
        iron.add(bars, turn)
    # Lanterns in the galleries.
    for x, z in ((0, -5.8), (-5.8, 0), (0, 5.8), (-5.8, -5.8)):
        iron.tube(np.array([(x, 3.4, z), (x, 2.9, z), (x, 2.72, z)]), 0.008, 5)
        iron.lathe(LANTERN, (x, 0, z), sides=6)
        for k in np.arange(6) * np.pi / 3:
            c, s = np.cos(k), -np.sin(k)
            iron.tube(np.array([(x + 0.105 * c, 2.22, z + 0.105 * s), (x + 0.135 * c, 2.6, z + 0.135 * s)]), 0.007, 4)


def rotation_x(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def pergola(m: dict[str, Mesh]) -> None:
    wood = m["wood"]
    for z in SUPPORTS[1:-1]:
        column(m["stone"], 4.6, z)
    wood.box((4.52, 2.3, -4.43), (4.68, 2.48, 4.43))
    wood.box((6.9, 2.3, -4.43), (7.0, 2.48, 4.43))
    for z in np.arange(-4.14, 4.2, 0.46):
        wood.box((4.2, 2.48, z - 0.035), (7.0, 2.61, z + 0.035))
    for x in np.arange(4.3, 6.95, 0.155):
        wood.box((x - 0.02, 2.61, -4.43), (x + 0.02, 2.64, 4.43))
    # The bench along the wall.
    m["azulejo"].box((6.5, 0.0, -2.6), (6.98, 0.42, 2.6))
    m["stone"].box((6.44, 0.42, -2.65), (6.98, 0.49, 2.65))
    # A slatted bench in the west gallery.
    for z in np.linspace(-0.7, 0.7, 3):
        m["iron"].box((-6.72, 0, z - 0.02), (-6.68, 0.9, z + 0.02))
        m["iron"].box((-6.3, 0, z - 0.02), (-6.26, 0.42, z + 0.02))
        m["iron"].box((-6.72, 0.40, z - 0.02), (-6.24, 0.43, z + 0.02))
    for x in np.arange(-6.62, -6.2, 0.085):
        wood.box((x, 0.43, -0.8), (x + 0.06, 0.455, 0.8))
    for y in np.arange(0.55, 0.9, 0.09):
        wood.box((-6.68, y, -0.8), (-6.655, y + 0.065, 0.8))


def fountain(m: dict[str, Mesh]) -> None:
    c8 = 1 / np.cos(np.pi / 8)
    rim = [
        ((1.45, 0.46), (1.52, 0.46)),
        ((1.52, 0.46), (1.52, 0.56)),
        ((1.52, 0.56), (1.24, 0.56)),
        ((1.24, 0.56), (1.24, 0.3)),
    ]
    m["azulejo"].lathe([[(1.45 * c8, 0.08), (1.45 * c8, 0.46)]], sides=8, flat=True)
    steps = [[(1.85, 0), (1.85, 0.08)], [(1.85, 0.08), (1.4, 0.08)]]
    m["stone"].lathe([[(r * c8, y) for r, y in run] for run in rim + steps], sides=8, flat=True)
    m["stone"].lathe(FOUNTAIN, sides=32)
    r, a = np.linspace(0, 1.25 * c8, 30)[::-1, None], np.linspace(0, 2 * np.pi, 61)
    x, z = r * np.cos(a), -r * np.sin(a)
    k = np.arange(8) * np.pi / 4
    drops = np.hypot(x[..., None] - 0.78 * np.cos(k), z[..., None] - 0.78 * np.sin(k))
    y = 0.43 + 0.005 * (np.sin(30 * drops) * np.exp(-3.2 * drops)).sum(axis=-1)
    m["water"].grid(np.stack([x, y, z], axis=-1), np.stack([x, z], axis=-1) / 3 + 0.5)
    r = np.linspace(0.09, 0.575, 6)[::-1, None]
    x, z = r * np.cos(a), -r * np.sin(a)
    m["water"].grid(
        np.stack([x, 1.275 + 0.002 * np.sin(60 * r + 3 * a), z], axis=-1), np.stack([x, z], axis=-1) / 3 + 0.5
    )
    t = np.linspace(0, 1, 9)[:, None]
    for c, s in zip(np.cos(k), np.sin(k), strict=True):
        fall = np.concatenate([(0.62 + 0.16 * t) * c, 1.305 - 0.88 * t**1.9, (0.62 + 0.16 * t) * s], axis=1)
        m["jets"].tube(fall, 0.009 - 0.004 * t[:, 0], 5)


def ball(rng: np.random.Generator, n: int, radius: tuple, shell: float) -> tuple[np.ndarray, np.ndarray]:
    """Points between `shell` and the surface of a lumpy ellipsoid, and the directions outwards."""
    out = unit(rng.standard_normal((n, 3)))
    lumps = 1 + 0.1 * np.sin(5 * out[:, :1] + 1) * np.sin(4 * out[:, 1:2]) + 0.08 * np.sin(6 * out[:, 2:] + 2)
    return out * np.array(radius) * lumps * rng.uniform(shell, 1, (n, 1)) ** 0.5, out


def bush(
    rng: np.random.Generator,
    mesh: Mesh,
    at: tuple,
    radius: tuple,
    n: int,
    leaf: tuple[float, float],
    row: int,
    shell: float,
) -> np.ndarray:
    """n leaves around `at`; returns where they grow."""
    points, out = ball(rng, n, radius, shell)
    mesh.leaves(rng, points + at, out, *leaf, row)
    return points + at


def orange_and_box(rng: np.random.Generator, m: dict[str, Mesh]) -> None:
    """The plants that scene.xml places several times: an orange tree in its pot, and a ball of box."""
    crown = bush(rng, m["orange_leaves"], (0, 2.0, 0), (0.66, 0.6, 0.66), 1400, (0.13, 0.06), 0, shell=0.5)
    trunk = np.array([(0, 0.5, 0), (0.03, 0.9, 0.02), (-0.02, 1.3, 0), (0.02, 1.7, 0.02)])
    m["tree"].tube(trunk, np.array([0.05, 0.04, 0.035, 0.03]), 8)
    for k, tip in enumerate(crown[:7] * [0.8, 1, 0.8]):
        m["tree"].tube(
            np.array([(0, 1.35 + 0.05 * k, 0), tip * [0.5, 0.8, 0.5], tip]), np.array([0.022, 0.015, 0.006]), 5
        )
    fruit = trimesh.creation.icosphere(subdivisions=1, radius=0.045)
    for p in ball(rng, 22, (0.66, 0.58, 0.66), 0.85)[0] + [0, 1.96, 0]:
        m["oranges"].parts.append((fruit.vertices + p, fruit.vertices[:, :2], fruit.faces))
    bush(rng, m["box_leaves"], (0, 0.72, 0), (0.34, 0.36, 0.34), 960, (0.066, 0.044), 1, shell=0.4)


def creepers(rng: np.random.Generator, m: dict[str, Mesh]) -> None:
    """Bougainvillea over the north-east corner, vine on the pergola."""
    stem = [
        (4.95, 0, -4.3),
        (4.9, 0.8, -4.25),
        (4.95, 1.8, -4.3),
        (4.85, 2.8, -4.25),
        (4.6, 3.5, -4.2),
        (3.9, 3.8, -4.15),
    ]
    m["stems"].tube(np.array(stem), np.array([0.05, 0.045, 0.04, 0.035, 0.03, 0.02]), 8)
    for centre, size, n in BOUGAINVILLEA:
        bush(rng, m["creepers"], centre, size, n, (0.075, 0.06), 2, shell=0.35)
        bush(rng, m["creepers"], centre, size, n // 4, (0.08, 0.05), 3, shell=0.3)
    t = np.linspace(0, 1, 12)
    for x, z in ((4.75, -2.9), (4.78, 2.9), (6.85, 0.3)):
        path = np.stack([x + 0.05 * np.sin(9 * t), 2.7 * t, z + 0.06 * np.cos(8 * t)], axis=1)
        m["stems"].tube(path, 0.03 - 0.012 * t, 7)
    top = rng.uniform((4.1, 2.66, -4.3), (7.0, 2.75, 4.3), (1800, 3))
    dense = np.sin(1.9 * top[:, 0] + 1) + np.sin(1.7 * top[:, 2]) + np.sin(2.3 * top[:, 0] - 1.6 * top[:, 2]) > 0.35
    m["creepers"].leaves(rng, top[dense], np.array([0, 0.3, 0]), 0.13, 0.11, 4)
    for x, z in rng.uniform((4.15, -4.2), (4.5, 4.2), (26, 2)):
        if abs(z + 0.75) > 1.3:  # the camera passes between
            drop = np.linspace(0, rng.uniform(0.25, 0.8), 14)
            p = np.stack([x + 0.03 * np.sin(9 * drop), 2.62 - drop, z + 0.03 * np.cos(7 * drop)], axis=1)
            m["creepers"].leaves(rng, p, np.array([0, -0.8, 0]), 0.1, 0.085, 4)


def pots(rng: np.random.Generator, m: dict[str, Mesh]) -> None:
    """All pots, with geraniums and agaves; the larger plants in them come from scene.xml."""

    def pot(material: str, size: float, at: tuple) -> None:
        m[material].lathe(POT, at, size, 16 if size > 0.2 else 12)
        m["soil"].lathe(SOIL, at, size, 10)

    for x, z in np.ndindex(2, 2):
        pot("terracotta", 0.36, (5.5 * x - 2.75, 0, 5.5 * z - 2.75))
    for s in (-1, 1):
        for x, z in ((0.92 * s, -4.08), (-4.08, 0.92 * s), (0.92 * s, 4.08), (4.0, 2.76 * s)):
            pot("glazed", 0.26, (x, 0, z))
    for x, y, z in GERANIUMS:
        pot("terracotta", 0.12, (x, y, z))
        bush(rng, m["creepers"], (x, y + 0.32, z), (0.19, 0.16, 0.19), 80, (0.06, 0.06), 5, shell=0.2)
        bush(rng, m["creepers"], (x, y + 0.38, z), (0.18, 0.12, 0.18), 40, (0.035, 0.035), 6, shell=0.9)
    for turn, places in HANGING.items():
        blue, flowers = Mesh(), Mesh()
        for x, y in places:
            blue.lathe([POT[0], [(0.95, 1.5), (1.08, 1.5), (1.08, 1.7), (0, 1.7)]], (x, y, -6.87), 0.1, 10)
            for n, size, row in ((34, 0.08, 5), (26, 0.05, 6)):
                bush(rng, flowers, (x, y + 0.22, -6.85), (0.15, 0.13, 0.1), n, (size, size), row, shell=0.3)
        m["glazed"].add(blue, turn)
        m["creepers"].add(flowers, turn)
    t = np.linspace(0, 1, 6)[:, None]
    for x, z in ((-6.5, -6.5), (-6.5, 6.5), (-6.5, -2.3), (-6.5, 2.3), (6.4, -6.4), (2.4, -6.55), (-2.4, -6.55)):
        pot("terracotta", 0.22, (x, 0, z))
        for k in range(26):
            a, lift = k * 2.4, 0.35 + 0.9 * k / 26
            out = np.array([np.cos(a) * np.cos(lift), np.sin(lift), np.sin(a) * np.cos(lift)])
            spine = np.array([x, 0.34, z]) + 0.55 * t * out + np.array([0, -0.12, 0]) * t**2
            side = np.array([-np.sin(a), 0, np.cos(a)]) * 0.04 * np.sin(np.pi * (0.25 + 0.75 * t))
            blade = np.stack([spine - side, spine - [0, 0.012, 0], spine + side])
            m["creepers"].grid(blade, np.full((3, 6, 2), [0.1 + 0.03 * k, 7.5 / 8]))


def clouds(rng: np.random.Generator, size: tuple[int, int], power: float, stretch: float = 1.0) -> np.ndarray:
    """Seamless fractal noise (height, width) of mean 0 and deviation 1; stretch > 1 draws it out along the width."""
    y, x = np.fft.fftfreq(size[0])[:, None] * size[0], np.fft.fftfreq(size[1])[None, :] * size[1]
    frequency = np.hypot(y, x * stretch)
    frequency[0, 0] = np.inf
    noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal(size)) / frequency**power).real
    return noise / noise.std()


def save(name: str, rgb: np.ndarray) -> None:
    rgb = np.clip(rgb + 0.5, 0, 255).astype(np.uint8)
    Image.fromarray(rgb).save(HERE / "textures" / name, quality=68, optimize=True)


def court(rng: np.random.Generator) -> None:
    """The court's floor, 9.6 m: flagstones round the fountain, along the paths and the edge, brick between."""
    n, side = 1024, 9.6
    x, z = (np.meshgrid(np.arange(n), np.arange(n)) + np.full((2, 1, 1), 0.5)) * side / n - side / 2
    tones = rng.normal(0, 1, 4096)

    def cells(u: np.ndarray, v: np.ndarray, w: float, h: float) -> tuple[np.ndarray, np.ndarray]:
        """Index of the cell of a w x h lattice, and distance to its edge."""
        i, j = np.floor(u / w), np.floor(v / h)
        edge = np.minimum(np.minimum(u - i * w, (i + 1) * w - u), np.minimum(v - j * h, (j + 1) * h - v))
        return (i * 57 + j * 131).astype(int) % 4096, edge

    r, a = np.hypot(x, z), np.arctan2(z, x)
    flag, flag_edge = cells(x + 0.3 + 0.3 * (np.floor(z / 0.6) % 2), z, 0.6, 0.6)
    ring, ring_edge = cells(a * 24 / np.pi * 0.3, r - 0.04, 0.3, 0.36)
    across = (np.floor(x / 0.24) + np.floor(z / 0.24)) % 2 > 0
    one, one_edge = cells(x, z, 0.24, 0.12)
    two, two_edge = cells(z, x, 0.24, 0.12)
    brick, brick_edge = np.where(across, one, two), np.where(across, one_edge, two_edge)
    line = np.abs(np.maximum(np.abs(x), np.abs(z)) - 4.0) < 0.06
    line |= (np.abs(np.minimum(np.abs(x), np.abs(z)) - 0.86) < 0.06) & (np.maximum(np.abs(x), np.abs(z)) < 4)
    line = (line & (r > 2.6)) | (np.abs(r - 2.56) < 0.06)
    path = (np.minimum(np.abs(x), np.abs(z)) < 0.8) | (np.maximum(np.abs(x), np.abs(z)) > 4.0)
    kind = np.where(r < 2.5, 1, np.where(path, 0, 2))
    cell, edge = (np.choose(kind, c) for c in ((flag, ring, brick), (flag_edge, ring_edge, brick_edge)))
    colour = np.array([(216, 200, 172), (206, 184, 150), (206, 146, 112)])[kind]
    rgb = (
        colour * (1 + 0.07 * tones[cell] + 0.04 * clouds(rng, (n, n), 0.8) + 0.05 * clouds(rng, (n, n), 1.6))[..., None]
    )
    rgb = np.where((edge < 0.009)[..., None], 0.62 * rgb + 10, rgb)
    save(
        "court.jpg",
        np.where(line[..., None], np.array([74, 86, 96]) * (1 + 0.1 * clouds(rng, (n, n), 0.6))[..., None], rgb),
    )


def gallery(rng: np.random.Generator) -> None:
    """Waxed terracotta squares of 30 cm with small blue tiles at their corners: 1.8 m."""
    n, k = 768, 6
    y, x = np.mgrid[:n, :n] % (n // k) / (n // k)
    i, j = np.mgrid[:n, :n] // (n // k)
    tone = rng.normal(0, 0.08, (k, k))[i, j] + 0.05 * clouds(rng, (n, n), 1.0)
    rgb = np.array([200, 124, 88]) * (1 + tone)[..., None]
    corner = np.minimum(x, 1 - x) + np.minimum(y, 1 - y)
    rgb = np.where((np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y)) < 0.018)[..., None], [150, 132, 112], rgb)
    blue = np.where(((i + j) % 2 > 0)[..., None], [38, 78, 132], [44, 96, 120])
    rgb = np.where((corner < 0.24)[..., None], [150, 132, 112], rgb)
    save("gallery.jpg", np.where((corner < 0.21)[..., None], blue, rgb))


def azulejo(rng: np.random.Generator) -> None:
    """Glazed tiles of 20 cm: stars and bands; four tiles, drawn at double size."""
    n = 512
    image = Image.new("RGB", (2 * n, 2 * n), (228, 224, 210))
    draw = ImageDraw.Draw(image)

    def star(cx: float, cy: float, r: float, fill: tuple, points: int = 8, inner: float = 0.62) -> None:
        k = np.arange(2 * points) * np.pi / points
        radius = np.where(np.arange(2 * points) % 2, inner * r, r)
        draw.polygon([(cx + p * np.cos(q), cy + p * np.sin(q)) for p, q in zip(radius, k, strict=True)], fill=fill)

    blue, ochre, green, white = (28, 62, 138), (206, 142, 44), (44, 112, 88), (228, 224, 210)
    for cx, cy in np.ndindex(3, 3):
        star(cx * n, cy * n, 0.34 * n, green)
        star(cx * n, cy * n, 0.26 * n, white)
        star(cx * n, cy * n, 0.2 * n, ochre)
    for cx, cy in np.ndindex(2, 2):
        c = (cx + 0.5) * n, (cy + 0.5) * n
        star(*c, 0.48 * n, blue)
        star(*c, 0.37 * n, white)
        star(*c, 0.3 * n, blue, 8, 0.45)
        star(*c, 0.12 * n, ochre)
    rgb = np.asarray(image.resize((n, n), Image.Resampling.LANCZOS), dtype=float)
    y, x = np.mgrid[:n, :n] % (n // 2)
    joint = (np.minimum(x, y) < 3)[..., None]
    tone = (
        1
        + 0.04 * rng.normal(0, 1, (2, 2))[np.mgrid[:n, :n][0] // 256, np.mgrid[:n, :n][1] // 256]
        + 0.03 * clouds(rng, (n, n), 1.2)
    )
    save("azulejo.jpg", np.where(joint, [150, 144, 132], rgb * tone[..., None]))


def surfaces(rng: np.random.Generator) -> None:
    tone = 1 + 0.025 * clouds(rng, (512, 512), 1.5) + 0.02 * clouds(rng, (512, 512), 0.7)
    save("stucco.jpg", np.array([240, 230, 212]) * tone[..., None])
    tone = 1 + 0.05 * clouds(rng, (512, 512), 1.3, 0.5) + 0.05 * clouds(rng, (512, 512), 0.5)
    save("stone.jpg", np.array([214, 198, 168]) * tone[..., None])
    spots = clouds(rng, (256, 256), 1.5)
    rgb = np.array([176, 94, 62]) * (1 + 0.18 * spots + 0.06 * clouds(rng, (256, 256), 0.5))[..., None]
    save("terracotta.jpg", rgb + 30 * np.clip(clouds(rng, (256, 256), 1.3) - 1, 0, 1)[..., None])
    grain = clouds(rng, (256, 256), 1.1, 12)
    save(
        "wood.jpg",
        np.array([146, 104, 70]) * (1 + 0.14 * grain + 0.08 * np.sin(6 * clouds(rng, (256, 256), 1.8, 6)))[..., None],
    )
    arch = (
        np.where((np.arange(512) * 17 // 512 % 2 > 0)[:, None], [164, 78, 54], [222, 204, 170])[None]
        * (1 + 0.04 * clouds(rng, (64, 512), 0.8))[..., None]
    )
    arch[:, np.arange(512) * 17 % 512 < 17] *= 0.7
    save("voussoirs.jpg", arch)
    pool = np.array([40, 104, 112]) * (1 + 0.2 * clouds(rng, (256, 256), 1.3))[..., None]
    i, j = np.mgrid[:256, :256] // 4
    pool *= 1 + 0.12 * rng.normal(0, 1, (64, 64))[i, j][..., None]
    save("pool.jpg", pool)
    palette = [
        (46, 82, 28),
        (58, 92, 34),
        (190, 36, 108),
        (76, 112, 40),
        (104, 140, 46),
        (66, 112, 44),
        (206, 40, 36),
        (104, 140, 118),
    ]
    tones = np.linspace(0.65, 1.35, 64)[None, :, None]
    leaf = np.repeat(np.array(palette, dtype=float)[:, None] * tones, 4, axis=0)
    Image.fromarray(np.clip(leaf, 0, 255).astype(np.uint8)).save(HERE / "textures" / "foliage.png")


def sky(rng: np.random.Generator, sun: tuple) -> None:
    """Blue sky with light clouds and a glow around the sun, as 192 x 96 RGBE. The sun itself is not in it."""
    phi, theta = np.meshgrid((np.arange(192) + 0.5) / 192 * 2 * np.pi, (np.arange(96) + 0.5) / 96 * np.pi)
    d = np.stack([np.sin(phi) * np.sin(theta), np.cos(theta), -np.cos(phi) * np.sin(theta)], axis=-1)
    up = np.clip(d[..., 1:2], 0, 1)
    rgb = np.array([0.20, 0.40, 0.86]) + (np.array([0.66, 0.80, 1.0]) - [0.20, 0.40, 0.86]) * (1 - up) ** 3
    glow = np.clip(d @ unit(np.array(sun)), 0, 1)[..., None]
    rgb = rgb + np.array([1.0, 0.9, 0.75]) * (0.5 * glow**8 + 3.0 * glow**90)
    veil = clouds(rng, (96, 192), 1.5, 0.6)[..., None] + 0.4 * clouds(rng, (96, 192), 0.9)[..., None]
    rgb = rgb + (np.array([1.1, 1.09, 1.07]) - rgb) * np.clip(0.45 * veil - 0.1, 0, 0.85) * np.sin(theta)[..., None]
    rgb = np.where(d[..., 1:2] < 0, [0.35, 0.3, 0.24], rgb)
    exponent = np.frexp(rgb.max(axis=-1, keepdims=True))[1]
    pixels = np.concatenate([rgb * np.exp2(8.0 - exponent), exponent + 128], axis=-1).astype(np.uint8)
    (HERE / "textures" / "sky.hdr").write_bytes(
        b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 96 +X 192\n" + pixels.tobytes()
    )


def main() -> None:
    for folder in ("meshes", "textures"):
        (HERE / folder).mkdir(exist_ok=True)
    rng = np.random.default_rng(11)
    m: dict[str, Mesh] = {name: Mesh() for name in (*ROUND, *OTHERS)}
    for turn, move, east in ((0, (0, 0, -4.6), 1), (90, (-4.6, 0, 0), 0), (180, (0, 0, 4.6), -1)):
        side = {name: Mesh() for name in ("stucco", "voussoirs", "stone", "wood")}
        arcade(side, east)
        for name, mesh in side.items():
            m[name].add(mesh, turn, move)
        m["stucco"].add(deck(), turn, move)
        m["roof"].add(roof(rng, east), turn, move)
    walls(m)
    pergola(m)
    fountain(m)
    for plant in (orange_and_box, creepers, pots):
        plant(rng, m)
    m["court"].quad((-4.8, 0, 4.8), (4.8, 0, 4.8), (4.8, 0, -4.8), (-4.8, 0, -4.8))
    for low, high in (((-7, -7), (7, -4.8)), ((-7, 4.8), (7, 7)), ((-7, -4.8), (-4.8, 4.8)), ((4.8, -4.8), (7, 4.8))):
        m["gallery"].quad((low[0], 0, high[1]), (high[0], 0, high[1]), (high[0], 0, low[1]), (low[0], 0, low[1]))
    for name, mesh in m.items():
        mesh.write(name, normals=name in ROUND)
    for draw in (court, gallery, azulejo, surfaces):
        draw(rng)
    sky(rng, (-0.5, 0.75, 0.5))
    save_path(CameraPath(tuple(look_at(*view) for view in FLIGHT), fps=25, seconds=40), HERE / "path.json")


ROUND = ("stone", "water", "glazed", "terracotta", "tree", "stems")  # with normals, for their seams
OTHERS = (
    "stucco",
    "voussoirs",
    "roof",
    "court",
    "gallery",
    "azulejo",
    "wood",
    "painted",
    "glass",
    "iron",
    "jets",
    "soil",
)
OTHERS += ("orange_leaves", "oranges", "box_leaves", "creepers")

if __name__ == "__main__":
    main()
