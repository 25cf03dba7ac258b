"""Writes the meshes, textures and camera path of the gallery scene: python scenes/gallery/generate.py

Metres, +y up. Beams, furniture and frames come in world coordinates; turned and modelled works stand on their own
origin and are placed by scene.xml.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image
from scipy.interpolate import BSpline

from noisewalk.renderer.camera_path import CameraPath, look_at, save_path

HERE = Path(__file__).resolve().parent

# Eye, target (metres) and vertical field of view (degrees), at equal distances in time.
FLIGHT = [
    ((-6.00, 1.65, 2.70), (0.50, 1.40, -1.00), 62),  # the first room, with the second behind the columns
    ((-5.70, 1.65, 1.50), (-0.80, 1.40, -1.60), 61),
    ((-5.30, 1.60, 0.00), (-2.90, 1.50, -3.00), 60),
    ((-4.60, 1.60, -1.50), (-3.00, 1.60, -4.00), 58),  # along the north wall
    ((-3.10, 1.58, -2.00), (-1.70, 1.55, -4.00), 56),
    ((-1.70, 1.58, -1.70), (1.00, 1.45, -1.70), 58),
    ((-0.40, 1.60, -0.60), (4.00, 1.40, -0.20), 60),
    ((1.00, 1.60, 0.00), (5.00, 1.40, -0.20), 62),  # between the columns
    ((2.10, 1.58, -1.00), (4.10, 1.35, -0.20), 60),
    ((3.40, 1.55, -2.00), (4.40, 1.20, 0.10), 60),  # round the ring
    ((4.90, 1.50, -1.90), (3.90, 1.20, 0.90), 60),
    ((5.45, 1.50, -0.30), (3.20, 1.30, 0.60), 62),
    ((5.20, 1.50, 1.30), (2.60, 1.20, 2.00), 60),
    ((3.60, 1.50, 1.80), (1.60, 1.25, 2.60), 58),
    ((2.10, 1.58, 0.90), (-2.00, 1.50, 0.60), 60),
    ((0.80, 1.60, 0.00), (-5.00, 1.55, 0.00), 60),  # back, with the neon ring at the far end
    ((-0.80, 1.60, 1.20), (-4.00, 1.45, 1.60), 60),
    ((-2.30, 1.58, 1.90), (-5.20, 1.55, 2.20), 58),
    ((-4.00, 1.60, 2.00), (-6.10, 1.50, -0.60), 60),
    ((-5.60, 1.65, 2.50), (-3.70, 1.45, -1.80), 62),
]

# Turned forms: control points (radius, height) of a B-spline profile. A point written twice or more makes an edge.
BOTTLE = [
    *[(0, 0), (0.08, 0), (0.10, 0), (0.11, 0.01), (0.17, 0.10), (0.185, 0.22), (0.13, 0.34), (0.05, 0.40)],
    *[(0.036, 0.50), (0.036, 0.60), (0.06, 0.64), (0.06, 0.65), (0.05, 0.65), (0.03, 0.60), (0.03, 0.50), (0, 0.45)],
]
JAR = [
    *[(0, 0), (0.07, 0), (0.10, 0), (0.10, 0.015), (0.16, 0.06), (0.235, 0.18), (0.23, 0.31), (0.14, 0.39)],
    *[(0.12, 0.42), (0.15, 0.46), (0.155, 0.47), (0.14, 0.47), (0.11, 0.42), (0.12, 0.38), (0.1, 0.36), (0, 0.36)],
]
BOWL = [
    *[(0, 0), (0.06, 0), (0.09, 0), (0.09, 0), (0.075, 0.03), (0.14, 0.06), (0.26, 0.12), (0.30, 0.205)],
    *[(0.305, 0.21), (0.295, 0.21), (0.25, 0.135), (0.14, 0.08), (0.05, 0.06), (0, 0.06)],
]
COLUMN = [
    *[(0.26, 0), (0.26, 0), (0.26, 0), (0.26, 0.10), (0.26, 0.10), (0.26, 0.10), (0.245, 0.11), (0.26, 0.15)],
    *[(0.24, 0.20), (0.18, 0.22), (0.175, 0.3), (0.172, 1.2), (0.165, 2.0), (0.155, 2.75), (0.155, 2.88)],
    *[(0.20, 2.90), (0.20, 2.94), (0.16, 2.96), (0.17, 3.0), (0.24, 3.08), (0.25, 3.10), (0.25, 3.15), (0.25, 3.2)],
]
SPIRE = [
    (0.17, 0),
    (0.19, 0.02),
    (0.21, 0.3),
    (0.15, 0.8),
    (0.17, 1.3),
    (0.10, 1.8),
    (0.04, 2.05),
    (0, 2.06),
    (0, 2.06),
]
PLINTH = [*[(0.8, 0)] * 3, *[(0.8, 0.33)] * 2, (0.79, 0.35), *[(0.78, 0.35)] * 2, (0.4, 0.35), (0, 0.35)]

# Paintings: frame, width, height, centre and the side the wall faces (yaw: 0 is +z, 90 is +x).
PAINTINGS = [
    ("oak", 1.3, 1.7, (-5.5, 1.75, -4.0), 0),
    ("black", 2.4, 1.6, (-3.1, 1.75, -4.0), 0),
    ("gilt", 1.2, 1.5, (-0.75, 1.75, -4.0), 0),
    ("black", 1.4, 1.4, (-5.3, 1.75, 4.0), 180),
    ("gilt", 1.8, 1.8, (-3.1, 1.8, 4.0), 180),
    ("oak", 1.3, 1.7, (-0.9, 1.75, 4.0), 180),
    ("gilt", 1.0, 1.8, (-7.0, 1.75, -2.5), 90),
    ("gilt", 1.0, 1.8, (-7.0, 1.75, 2.5), 90),
    ("black", 0.9, 1.1, (0.85, 1.7, -3.2), -90),
    ("oak", 0.9, 1.1, (0.85, 1.7, 3.2), -90),
    ("black", 0.9, 1.1, (1.15, 1.7, -3.2), 90),
    ("gilt", 0.9, 1.1, (1.15, 1.7, 3.2), 90),
    *[("black", 1.0, 1.6, (x, 1.75, -4.0), 0) for x in (2.75, 3.9, 5.05)],
    ("oak", 1.2, 0.9, (3.0, 1.95, 4.0), 180),
    ("oak", 1.2, 0.9, (4.7, 1.95, 4.0), 180),
    ("oak", 3.2, 2.1, (6.15, 1.8, 0.0), -90),
]

# Plasters: colour and strength of the brush marks.
WALLS = [("plaster", "e2dbd0", 0.012), ("ink", "58789c", 0.06), ("clay", "ac5842", 0.05), ("sage", "98a88e", 0.03)]

# Blocks: lower and upper corner, for each mesh.
BLOCKS = {
    "benches": [
        ((-4.2, 0.40, -0.28), (-2.2, 0.47, 0.28)),
        *[((x - 0.04, 0.012, -0.22), (x + 0.04, 0.40, 0.22)) for x in (-3.85, -2.55)],
        ((2.3, 0.80, 3.45), (5.5, 0.86, 3.95)),
        *[((x - 0.04, 0, 3.5), (x + 0.04, 0.80, 3.9)) for x in (2.45, 3.9, 5.35)],
        ((2.4, 0.18, 3.52), (5.4, 0.21, 3.92)),
    ],
    "beams": [
        *[((x - 0.08, 4.26, -3.6), (x + 0.08, 4.52, 3.6)) for x in (-6.2, -4.7, -3.2, -1.7, -0.2)],
        *[((1.15, 4.26, z - 0.08), (7.0, 4.52, z + 0.08)) for z in (-2.7, -0.9, 0.9, 2.7)],
    ],
}
Grid = tuple[np.ndarray, np.ndarray, np.ndarray]


def write_mesh(name: str, points: np.ndarray, normals: np.ndarray, uv: np.ndarray, faces: np.ndarray) -> None:
    """Writes meshes/NAME.ply: binary, with normals and texture coordinates."""
    vertices = np.concatenate([points, normals, uv], axis=1).astype("<f4")
    rows = np.empty(len(faces), dtype=[("count", "u1"), ("index", "<i4", 3)])
    rows["count"], rows["index"] = 3, faces
    properties = "".join(f"property float {p}\n" for p in ("x", "y", "z", "nx", "ny", "nz", "u", "v"))
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(vertices)}\n{properties}"
    head += f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    (HERE / "meshes" / f"{name}.ply").write_bytes(head.encode() + vertices.tobytes() + rows.tobytes())


def write_grids(name: str, *grids: Grid) -> None:
    """Joins grids of (rows, columns) points, normals and uv, each counter-clockwise along columns, then rows."""
    faces, first = [], 0
    for points, _, _ in grids:
        rows, columns = points.shape[:2]
        a = first + (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
        faces += [np.stack([a, a + 1, a + columns + 1], axis=1), np.stack([a, a + columns + 1, a + columns], axis=1)]
        first += rows * columns
    vertices = [np.concatenate([grid[i].reshape(-1, n) for grid in grids]) for i, n in enumerate((3, 3, 2))]
    joined = np.concatenate(faces)
    joined = joined[trimesh.triangles.area(vertices[0][joined]) > 1e-9]  # without those at the poles of turned forms
    write_mesh(name, *vertices, joined)


def unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)


def sweep(f: Callable[[np.ndarray, np.ndarray], np.ndarray], rows: int, columns: int, scale: tuple = (1, 1)) -> Grid:
    """The surface f(t, angle), t in 0..1 along and angle in 0..2 pi around, with smooth normals."""
    t, angle = np.linspace(0, 1, rows + 1)[:, None], np.linspace(0, 2 * np.pi, columns + 1)[None, :]
    e = 1e-4
    normals = unit(np.cross(f(t, angle + e) - f(t, angle - e), f(t + e, angle) - f(t - e, angle)))
    flat = np.linalg.norm(normals, axis=-1) < 0.5  # at the poles
    normals[flat] = np.where(np.nonzero(flat)[0][:, None] > 0, [0.0, 1.0, 0.0], [0.0, -1.0, 0.0])
    uv = np.stack(np.broadcast_arrays(angle / (2 * np.pi) * scale[0], t * scale[1]), axis=-1)
    return f(t, angle), normals, uv


def lathe(
    name: str, profile: list, rows: int, columns: int, lobes: int = 0, depth: float = 0, twist: float = 0
) -> None:
    """Turns a profile round the y axis; `lobes` twisted ridges of relative `depth` make it sculptural."""
    control = np.array(profile, dtype=float)
    curve = BSpline(np.concatenate([np.zeros(3), np.linspace(0, 1, len(control) - 2), np.ones(3)]), control, 3)

    def surface(t: np.ndarray, angle: np.ndarray) -> np.ndarray:
        radius, y = np.moveaxis(curve(np.clip(t, 0, 1)), -1, 0)
        radius = radius * (1 + depth * np.sin(np.pi * np.clip(t, 0, 1)) ** 0.5 * np.cos(lobes * angle + twist * y))
        return np.stack([radius * np.cos(angle), y + 0 * angle, -radius * np.sin(angle)], axis=-1)

    write_grids(name, sweep(surface, rows, columns, (2, 2)))


def tube(name: str, p: int, q: int, radius: float, wave: float, thick: float, turns: float, grid: tuple) -> None:
    """A (p, q) torus knot that stands upright; its section, round or squarish, makes `turns` turns on the way."""
    power = 6 if turns else 2

    def centre(t: np.ndarray) -> np.ndarray:
        a = 2 * np.pi * t
        ring = radius * (1 + wave * np.cos(q * a))
        return np.stack([ring * np.cos(p * a), ring * np.sin(p * a), wave * radius * np.sin(q * a)], axis=-1)

    def surface(t: np.ndarray, angle: np.ndarray) -> np.ndarray:
        tangent = unit(centre(t + 1e-3) - centre(t - 1e-3))
        side = unit(np.cross(tangent, centre(t + 1e-3) - 2 * centre(t) + centre(t - 1e-3)))
        phi = angle + 2 * np.pi * turns * t
        across = thick * (np.abs(np.cos(angle)) ** power + np.abs(np.sin(angle)) ** power) ** (-1 / power)
        offset = across[..., None] * (np.cos(phi)[..., None] * np.cross(side, tangent) + np.sin(phi)[..., None] * side)
        return centre(t) + offset

    points, normals, uv = sweep(surface, *grid, (1, 8))
    points[..., 1] -= points[..., 1].min()
    write_grids(name, (points, normals, uv))


def blocks(name: str, corners: list, edge: float = 0.008) -> None:
    """Boxes with softened edges between lower and upper corners; UV in metres, u along the longer side."""
    grids = []
    for low, high in np.array(corners, dtype=float):
        half, middle = (high - low) / 2, (high + low) / 2
        for axis in range(3):
            for sign in (1.0, -1.0):
                i, j = ((axis + 1) % 3, (axis + 2) % 3) if sign > 0 else ((axis + 2) % 3, (axis + 1) % 3)
                u, v = (np.array([-half[k], edge - half[k], half[k] - edge, half[k]]) for k in (i, j))
                points = np.empty((4, 4, 3))
                points[..., i], points[..., j], points[..., axis] = u[None, :], v[:, None], sign * half[axis]
                inner = np.clip(points, edge - half, half - edge)
                normals = unit(points - inner)
                uv = (points + middle)[..., [i, j] if half[i] > half[j] else [j, i]] + 0.37 * len(grids)
                grids.append((inner + edge * normals + middle, normals, uv))
    write_grids(name, *grids)


def frames(name: str, rows: list) -> None:
    """Mitred mouldings round paintings of (width, height, centre, yaw)."""
    profile = [(0, 0.015), (0.004, 0.04), (0.012, 0.048), (0.045, 0.055), (0.058, 0.045), (0.06, 0.0)]
    grids = []
    for width, height, centre, yaw in rows:
        turn = trimesh.transformations.rotation_matrix(np.radians(yaw), [0, 1, 0])[:3, :3]
        loops = [
            [(sx * (width / 2 + o), sy * (height / 2 + o), d) for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
            for o, d in profile
        ]
        ring = np.array(loops) @ turn.T + centre
        for k in range(len(profile) - 1):
            for c in range(4):
                quad = ring[[k + 1, k]][:, [c, (c + 1) % 4]]
                normal = unit(np.cross(quad[0, 1] - quad[0, 0], quad[1, 0] - quad[0, 0]))
                uv = np.array([[[0, k], [9, k]], [[0, k + 1], [9, k + 1]]]) * 0.1
                grids.append((quad, np.broadcast_to(normal, quad.shape), uv))
    write_grids(name, *grids)


def clouds(rng: np.random.Generator, size: tuple[int, ...], power: float, stretch: float = 1.0) -> np.ndarray:
    """Seamless fractal noise (height, width) of mean 0 and deviation 1; stretch > 1 draws it out along the width."""
    y, x = np.fft.fftfreq(size[0])[:, None] * size[0], np.fft.fftfreq(size[1])[None, :] * size[1]
    frequency = np.hypot(y, x * stretch)
    frequency[0, 0] = np.inf
    noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal(size)) / frequency**power).real
    return noise / noise.std()


def colours(hexes: str) -> np.ndarray:
    return np.array([list(bytes.fromhex(h)) for h in hexes.split()], dtype=float)


def ramp(t: np.ndarray, hexes: str) -> np.ndarray:
    """Colours blended along t in 0..1."""
    stops = colours(hexes)
    return np.stack([np.interp(t, np.linspace(0, 1, len(stops)), channel) for channel in stops.T], axis=-1)


def pick(mask: np.ndarray, yes: str | np.ndarray, no: str | np.ndarray) -> np.ndarray:
    return np.where(mask[..., None], *(colours(c) if isinstance(c, str) else c for c in (yes, no)))


def save(name: str, rgb: np.ndarray, reduce: int = 1) -> None:
    image = Image.fromarray(np.clip(rgb + 0.5, 0, 255).astype(np.uint8)).reduce(reduce)
    image.save(HERE / "textures" / f"{name}.jpg", quality=82, optimize=True)


def walls_and_floors(rng: np.random.Generator) -> None:
    for name, tint, strength in WALLS:
        tone = 1 + strength * (clouds(rng, (512, 512), 1.4) + 0.5 * clouds(rng, (512, 512), 0.8, 0.3))
        save(name, colours(tint) * tone[..., None])
    # Herringbone at 45 degrees, repeating every 3.394 m: planks of 12 x 60 cm, every one cut from another place.
    n, width, period = 1360, 0.12, 0.48 * 5 * 2**0.5
    y, x = (np.mgrid[:n, :n] + 0.5) * period / n
    a, b = (x + y) / 2**0.5 / width, (x - y) / 2**0.5 / width
    i, j = np.floor(a), np.floor(b)
    k = (i - j) % 10
    lying = k < 5
    along, across = np.where(lying, k + a - i, 9 - k + b - j), np.where(lying, b - j, a - i)
    ca, cb = np.where(lying, a - along + 2.5, i + 0.5), np.where(lying, j + 0.5, b - along + 2.5)
    centre = np.stack([(ca + cb), (ca - cb)], axis=-1) * width / 2**0.5 % period
    centre = np.round(centre * 1000 % (period * 1000 - 0.5)).reshape(-1, 2)
    plank = np.unique(centre, axis=0, return_inverse=True)[1].reshape(n, n)
    shift = rng.integers(0, 512, (2, plank.max() + 1))[:, plank]
    row, column = (across * 48).astype(int) + shift[0], (along * 48).astype(int) + shift[1]
    grain = clouds(rng, (512, 512), 1.0, 12)
    grain = 0.07 * grain + 0.06 * np.sin(8 * clouds(rng, (512, 512), 1.8, 6) + grain)
    tone = 1 + rng.normal(0, 0.11, plank.max() + 1)[plank] + grain[row % 512, column % 512]
    gap = (np.minimum(across, 1 - across) < 0.012) | (np.minimum(along, 5 - along) < 0.012)
    save("oak_floor", np.where(gap, 0.45, tone)[..., None] * colours("c4986c"))
    save("wood", (1 + 1.3 * grain)[..., None] * colours("aa7e56"))
    # Stone in running bond, repeating every 3.6 m: slabs of 90 x 45 cm.
    n = 1088
    y, x = np.mgrid[:n, :n] / n
    row = np.floor(8 * y).astype(int)
    u, v = (4 * x + 0.5 * (row % 2)) % 4, 8 * y % 1
    dy, dx = rng.integers(0, n, (2, 8, 4))[:, row, u.astype(int)]
    at = ((y * n).astype(int) + dy) % n, ((x * n).astype(int) + dx) % n
    vein = np.exp(-((clouds(rng, (n, n), 1.7, 0.5)[at] / 0.035) ** 2))
    tone = 1 + rng.normal(0, 0.07, (8, 4))[row, u.astype(int)] + 0.07 * clouds(rng, (n, n), 1.2)[at] + 0.3 * vein
    joint = np.minimum(np.minimum(u % 1, 1 - u % 1) * 2, np.minimum(v, 1 - v)) < 0.012
    save("slate", np.where(joint, 0.6, tone)[..., None] * colours("8a8e8f"))
    marble = np.exp(-np.abs(clouds(rng, (512, 512), 1.6)) / 0.12) + 0.06 * clouds(rng, (512, 512), 1.0)
    save("marble", ramp(marble, "e4ded4 c4bab0 746a68"))
    # The rug: hooked diamonds within borders, and the rows of its knots.
    y, x = np.mgrid[:576, :840]
    edge = np.minimum(np.minimum(y, 575 - y), np.minimum(x, 839 - x)) // 12
    diamond = np.abs((x - 420) % 280 - 140) // 10 + np.abs((y - 288) % 192 - 96) // 10
    small = np.abs(x % 60 - 30) // 6 + np.abs(y % 60 - 30) // 6
    field = np.where(diamond < 9, np.array([3, 2, 1, 0, 3, 0, 2, 2, 1])[np.minimum(diamond, 8)], small < 2)
    border = np.array([2, 2, 1, 3, 4, 4, 4, 3, 2])[np.clip(edge, 0, 8)]
    border[(edge > 3) & (edge < 7) & (small < 4)] = 1
    knots = 1 + 0.10 * np.sin(y * 1.57) + 0.06 * rng.standard_normal(y.shape) + 0.05 * clouds(rng, y.shape, 1.0, 0.2)
    save("rug", colours("7a2226 c49a60 223252 e2d0ae 963e2e")[np.where(edge < 9, border, field)] * knots[..., None])


def paintings(rng: np.random.Generator) -> None:
    """Abstracts, painted at double size."""

    def canvas(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        y, x = (np.mgrid[: 2 * height, : 2 * width] + 0.5) / (2 * height)
        return x, y

    def noise(power: float = 1.9) -> np.ndarray:
        return clouds(rng, x.shape, power)

    def finish(name: str, art: np.ndarray) -> None:
        save(name, art * (1 + 0.03 * clouds(rng, x.shape, 0.7, 4)[..., None]), reduce=2)

    x, y = canvas(392, 512)  # colour fields with breathing edges
    art = np.tile(colours("bc3e24"), (*x.shape, 1))
    for low, high, tint in [(0.07, 0.48, "e89630"), (0.53, 0.74, "6e1622"), (0.78, 0.93, "eebe60")]:
        inside = np.minimum(np.minimum(y - low, high - y), np.minimum(x - 0.06, 0.706 - x)) + 0.006 * noise(1.3)
        cover = np.clip(inside / 0.018, 0, 1) * (0.9 + 0.08 * noise(1.4))
        art += cover[..., None] * (colours(tint) - art)
    finish("fields", art)

    x, y = canvas(768, 512)  # flowing strata with fine contour lines
    level = 0.30 * noise(2.2) + 2.2 * y + 0.5 * np.sin(3.1 * x + 2 * y)
    line = np.where(np.abs(level * 12 % 1 - 0.5) < 0.06, 0.72, 1)
    finish("flow", line[..., None] * ramp(np.abs(level % 2 - 1), "0e2042 165c84 78beba f0e2be ec8a3e 96242e"))

    x, y = canvas(840, 552)  # the same with hard edges
    level = 0.30 * noise(2.45) + 2 * y + 0.5 * np.sin(3.1 * x + 2 * y)
    finish("delta", colours("f2ecde 181c26 f4be3c f2ecde d84a46 4682a0")[(np.abs(level % 2 - 1) * 5.999).astype(int)])

    x, y = canvas(410, 512)  # stripes
    cuts = np.searchsorted(np.sort(rng.uniform(0, 0.8, 34)), x + 0.11 * ((y > 0.62) & (x < 0.7)))
    finish("stripes", colours("ece0c8 161a22 ce3e2c f0b432 286878 ece0c8 608c5c")[rng.integers(0, 7, 35)[cuts]])

    x, y = canvas(448, 448)  # cells between dark lines
    distance = np.array([np.hypot(x - sx, y - sy) for sx, sy in rng.uniform(0, 1, (60, 2))])
    first, second = np.partition(distance, 1, axis=0)[:2]
    tint = ramp(rng.uniform(0, 1, 60), "143c6e 4696a0 f0e8d6 e8aa3c be3c28")
    finish("cells", pick(second - first < 0.012, "141418", tint[distance.argmin(axis=0)]))

    x, y = canvas(512, 512)  # two sets of rings
    rings = (np.hypot(x - 0.38, y - 0.5) * 26 % 1 < 0.5) ^ (np.hypot(x - 0.66, y - 0.46) * 18 % 1 < 0.5)
    disc = np.hypot(x - 0.52, y - 0.48) < 0.34
    finish("rings", pick(disc, pick(rings, "e2482e", "f8ce60"), pick(rings, "e2d8c4", "162c48")))

    x, y = canvas(392, 512)  # quarter circles
    turned = rng.integers(0, 2, (12, 12))[(9.2 * x).astype(int), (9.2 * y).astype(int)]
    u, v = np.abs(9.2 * x % 1 - turned), 9.2 * y % 1
    arc = np.minimum(np.abs(np.hypot(u, v) - 0.5), np.abs(np.hypot(1 - u, 1 - v) - 0.5))
    finish("arcs", pick(arc < 0.13, pick(arc < 0.05, "e25c3e", "eedeba"), ramp(y + 0.1 * noise(), "1c6068 122c4c")))

    x, y = canvas(288, 512)  # dry brush rings and a seal
    stroke = np.zeros_like(x)
    for cx, cy, r, w in [(0.26, 0.3, 0.17, 0.05), (0.31, 0.62, 0.2, 0.035), (0.22, 0.82, 0.09, 0.02)]:
        ring = np.hypot(x - cx, (y - cy) * 1.1) - r + 0.012 * noise(1.7)
        dry = 1.2 + 0.5 * np.sin(90 * ring + 4 * noise(1.2)) + np.arctan2(y - cy, x - cx) / 3
        stroke = np.maximum(stroke, np.clip((w - np.abs(ring)) / 0.01, 0, 1) * np.clip(dry, 0, 1))
    finish("ink_rings", pick(np.hypot(x - 0.43, y - 0.14) < 0.045, "bc281e", ramp(stroke, "e8dcc2 1e1c1e")))

    x, y = canvas(288, 512)  # a sunflower of dots
    art = np.tile(colours("181e2c"), (*x.shape, 1))
    for k, tint in enumerate(ramp(np.arange(1, 480) / 480, "fad66e ec6e3c c83c5c 465aaa 5aaab4"), start=1):
        r, angle = 0.0245 * k**0.5, 2.39996 * k
        art[np.hypot(x - 0.281 - r * np.cos(angle), y - 0.5 - r * np.sin(angle)) < 0.008 + 0.011 * r] = tint
    finish("dots", art)

    x, y = canvas(336, 410)  # facets of crossing lines, twice
    for name, hexes in [("facets", "1e3c48 54948c ecd8aa e27848"), ("shards", "421e46 be4660 f6be82 faecd6")]:
        lines = rng.uniform(0, (3.14, 0.8, 1), (9, 3))
        sides = [np.cos(a) * (x - px) + np.sin(a) * (y - py) > 0 for a, px, py in lines]
        finish(name, ramp(np.tensordot(rng.uniform(0, 1, 9), sides, 1) % 1, hexes) * (0.9 + 0.2 * y[..., None]))

    bulge = 18 - 11 * np.exp(-(((x - 0.41) ** 2 + (y - 0.5) ** 2) / 0.09))  # a bulging chessboard
    board = (np.floor((x - 0.41) * bulge) + np.floor((y - 0.5) * bulge)) % 2
    finish("board", pick(board == 1, "12141c", ramp(y, "f0e8d8 e29654")))

    x, y = canvas(900, 480)  # hills, hung as three panels
    art = pick(np.hypot(x - 1.32, y - 0.3) < 0.13, "de462c", ramp(y, "f6e2b8 eeb076 e28260"))
    for n, tint in enumerate(ramp(np.linspace(0, 1, 9), "ce8e82 785c7a 304264 102234")):
        ridge = 0.34 + 0.075 * n + 0.05 * np.sin(x * (3 + n) + 2.1 * n) + 0.035 * noise(1.6)[n * 60]
        art = pick(y > ridge, tint * (1 + 0.5 * np.clip(0.12 - y + ridge, 0, 1))[..., None], art)
    finish("hills", art)

    x, y = canvas(512, 384)  # woven strokes, twice
    for name, hexes in [("sea", "0c2846 287896 d6e2d6"), ("dune", "783422 de9654 fae8c4")]:
        angle = 2.5 * clouds(rng, (48, 64), 1.6).repeat(16, 0).repeat(16, 1)
        cell = np.abs(np.cos(angle) * (x * 48 % 1 - 0.5) + np.sin(angle) * (y * 48 % 1 - 0.5))
        finish(name, ramp(0.45 + 0.2 * noise() + 0.25 * np.sign(0.16 - cell) * y, hexes))


def main() -> None:
    for folder in ("meshes", "textures"):
        (HERE / folder).mkdir(exist_ok=True)
    for name, corners in BLOCKS.items():
        blocks(name, corners)
    for kind in ("oak", "black", "gilt"):
        frames(f"frames_{kind}", [row for style, *row in PAINTINGS if style == kind])
    lathe("bottle", BOTTLE, 32, 28)
    lathe("jar", JAR, 28, 32)
    lathe("bowl", BOWL, 24, 36)
    lathe("column", COLUMN, 48, 28)
    lathe("plinth", PLINTH, 12, 56)
    lathe("spire", SPIRE, 48, 40, lobes=4, depth=0.28, twist=3.2)
    lathe("gourd", [*JAR[:9], (0.1, 0.4), (0.06, 0.46), (0.03, 0.5), (0, 0.5)], 28, 48, lobes=6, depth=0.14, twist=5)
    tube("knot", 2, 3, 0.17, 0.42, 0.046, 0, (168, 14))
    tube("ring", 1, 0, 0.62, 0, 0.19, 0.75, (120, 28))
    tube("neon", 1, 0, 0.5, 0, 0.014, 0, (72, 8))
    square = np.array([[(0, 0, 0), (1, 0, 0)], [(0, 1, 0), (1, 1, 0)]])
    uv = np.stack([square[..., 0], 1 - square[..., 1]], axis=-1)
    write_grids("panel", (square - (0.5, 0.5, 0), np.broadcast_to((0, 0, 1), square.shape), uv))
    solid = trimesh.creation.icosahedron()
    points = solid.vertices[solid.faces].reshape(-1, 3)
    write_mesh("icosahedron", points, solid.face_normals.repeat(3, axis=0), points[:, :2], np.arange(60).reshape(20, 3))
    rng = np.random.default_rng(11)
    walls_and_floors(rng)
    paintings(rng)
    path = CameraPath(tuple(look_at(*view) for view in FLIGHT), fps=25, seconds=40)
    save_path(path, HERE / "path.json")


if __name__ == "__main__":
    main()
