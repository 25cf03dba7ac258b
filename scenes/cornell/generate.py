"""Writes the meshes, textures and camera path of the Cornell scene: python scenes/cornell/generate.py

Meshes are in metres with +y up, each around its own origin: scene.xml places them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh
from PIL import Image, ImageDraw
from scipy.interpolate import BSpline

from noisewalk.renderer.camera_path import CameraPath, look_at, save_path

HERE = Path(__file__).resolve().parent

# Eye, target (metres) and vertical field of view (degrees), at equal distances in time.
FLIGHT = [
    ((0.15, 1.70, 3.00), (0.05, 0.95, -0.1), 60),  # the whole room from the front
    ((0.75, 1.55, 2.60), (0.10, 0.95, 0.0), 58),
    ((1.25, 1.35, 2.00), (0.35, 0.95, 0.2), 52),  # close to the glass
    ((1.75, 1.25, 1.35), (0.45, 0.95, 0.2), 50),
    ((2.20, 1.35, 0.50), (0.30, 0.95, 0.0), 54),  # across the dais to the red wall
    ((2.30, 1.55, -0.60), (0.10, 1.00, -0.1), 58),
    ((1.80, 1.65, -1.90), (-0.10, 1.05, 0.0), 60),
    ((0.75, 1.45, -2.60), (-0.15, 1.30, 0.5), 63),  # from behind, with the painting
    ((-0.45, 1.15, -2.45), (-0.40, 1.75, 0.0), 66),  # up to the lamp
    ((-1.50, 1.30, -1.75), (-0.45, 1.42, -0.2), 54),  # close to the gold knot
    ((-2.15, 1.45, -0.65), (-0.30, 1.20, -0.1), 53),
    ((-2.20, 1.40, 0.50), (-0.10, 0.95, 0.1), 56),  # across the dais to the niche
    ((-1.60, 1.40, 1.70), (0.00, 0.90, 0.1), 54),
    ((-0.90, 1.60, 2.50), (0.00, 0.95, 0.0), 58),
    ((0.00, 1.70, 3.00), (0.05, 0.95, -0.1), 60),
]

# Turned forms: control points (radius, height) of a B-spline profile. Points close together make an edge.
VASE = [
    *[(0.00, 0.000), (0.08, 0.000), (0.135, 0.00), (0.15, 0.01), (0.145, 0.035), (0.11, 0.07), (0.12, 0.13)],
    *[(0.215, 0.26), (0.235, 0.42), (0.15, 0.56), (0.085, 0.66), (0.10, 0.74), (0.155, 0.79), (0.160, 0.805)],
    *[(0.145, 0.81), (0.075, 0.745), (0.055, 0.66), (0.11, 0.56), (0.195, 0.42), (0.175, 0.27), (0.08, 0.15)],
    *[(0.03, 0.13), (0.00, 0.13)],
]
URN = [
    *[(0.00, 0.000), (0.08, 0.000), (0.115, 0.00), (0.12, 0.00), (0.12, 0.02), (0.07, 0.05), (0.05, 0.09)],
    *[(0.08, 0.14), (0.23, 0.26), (0.265, 0.42), (0.23, 0.56), (0.12, 0.62), (0.10, 0.68), (0.15, 0.73)],
    *[(0.165, 0.74), (0.16, 0.75), (0.12, 0.73), (0.08, 0.68), (0.08, 0.63), (0.04, 0.6), (0.00, 0.6)],
]
GOURD = [
    *[(0.00, 0.000), (0.08, 0.000), (0.16, 0.000), (0.22, 0.03), (0.26, 0.14), (0.23, 0.30), (0.13, 0.44)],
    *[(0.12, 0.54), (0.165, 0.64), (0.15, 0.75), (0.07, 0.82), (0.03, 0.825), (0.00, 0.825)],
]
DAIS = [(1.5, 0.0), (1.5, 0.03), (1.5, 0.09), (1.5, 0.12), (1.47, 0.12), (1.3, 0.12), (0.4, 0.12), (0.0, 0.12)]
DISC = [(0.7, 0.0), (0.7, 0.03), (0.7, 0.06), (0.66, 0.06), (0.6, 0.01), (0.45, 0.02), (0.2, 0.07), (0.0, 0.07)]


def write_mesh(name: str, points: np.ndarray, normals: np.ndarray, uv: np.ndarray, faces: np.ndarray) -> None:
    """Writes meshes/NAME.ply: binary, with normals and texture coordinates."""
    vertices = np.concatenate([points, normals, uv], axis=1).astype("<f4")
    rows = np.empty(len(faces), dtype=[("count", "u1"), ("index", "<i4", 3)])
    rows["count"], rows["index"] = 3, faces
    properties = "".join(f"property float {p}\n" for p in ("x", "y", "z", "nx", "ny", "nz", "u", "v"))
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(vertices)}\n{properties}"
    head += f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    (HERE / "meshes" / f"{name}.ply").write_bytes(head.encode() + vertices.tobytes() + rows.tobytes())


def write_grids(name: str, *grids: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Joins grids of (rows, columns) points, normals and uv, each counter-clockwise along columns, then rows."""
    parts, faces, first = [], [], 0
    for points, normals, uv in grids:
        rows, columns = points.shape[:2]
        a = first + (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
        b, c, d = a + 1, a + columns + 1, a + columns
        faces += [np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)]
        parts.append((points.reshape(-1, 3), normals.reshape(-1, 3), uv.reshape(-1, 2)))
        first += rows * columns
    points, normals, uv = (np.concatenate(p) for p in zip(*parts, strict=True))
    faces = np.concatenate(faces)
    faces = faces[trimesh.triangles.area(points[faces]) > 1e-9]  # those at the poles of turned forms
    write_mesh(name, points, normals, uv, faces)


def unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)


def flat(points: np.ndarray, normal: tuple[float, float, float], uv: np.ndarray) -> tuple[np.ndarray, ...]:
    return points, np.broadcast_to(np.array(normal, dtype=float), points.shape), uv


def lathe(name: str, profile: list, steps: int, sides: int, lobes: int = 0, depth: float = 0, twist: float = 0) -> None:
    """Turns a profile round the y axis, with `lobes` twisted ridges of relative `depth`. UV in metres from its top."""
    control = np.array(profile, dtype=float)
    knots = np.concatenate([np.zeros(3), np.linspace(0, 1, len(control) - 2), np.ones(3)])
    curve = BSpline(knots, control, 3)
    t = np.linspace(0, 1, steps + 1)[:, None]
    angle = np.linspace(0, 2 * np.pi, sides + 1)[None, :]

    def surface(t: np.ndarray, angle: np.ndarray) -> np.ndarray:
        radius, y = np.moveaxis(curve(np.clip(t, 0, 1)), -1, 0)
        radius = radius * (1 + depth * np.sin(np.pi * np.clip(t, 0, 1)) * np.cos(lobes * angle + twist * y))
        return np.stack([radius * np.cos(angle), y + 0 * angle, -radius * np.sin(angle)], axis=-1)

    e = 1e-4
    points = surface(t, angle)
    along = surface(t + e * (t < 1), angle) - surface(t - e * (t > 0), angle)
    around = surface(t, angle + e) - surface(t, angle - e)
    normals = np.cross(around, along)
    normals[0] = [0, -1, 0] if control[0, 0] == 0 else normals[0]
    normals[-1] = [0, 1, 0] if control[-1, 0] == 0 else normals[-1]
    length = np.linalg.norm(np.diff(curve(t[:, 0]), axis=0), axis=1)
    unrolled = np.append(np.cumsum(length[::-1])[::-1], 0)[:, None]  # distance to the upper pole along the surface
    uv = np.stack([unrolled * np.cos(angle), unrolled * np.sin(angle)], axis=-1)
    write_grids(name, (points, unit(normals), uv))


def knot(name: str, p: int, q: int, radius: float, tube: float) -> None:
    """A (p, q) torus knot that stands upright, its lowest point at y = 0."""
    t = np.linspace(0, 2 * np.pi, 257)[:, None, None]
    angle = np.linspace(0, 2 * np.pi, 21)[None, :, None]

    def centre(t: np.ndarray) -> np.ndarray:
        ring = radius * (1 + 0.42 * np.cos(q * t))
        return np.concatenate([ring * np.cos(p * t), ring * np.sin(p * t), 0.42 * radius * np.sin(q * t)], axis=-1)

    e = 1e-3
    tangent = unit(centre(t + e) - centre(t - e))
    side = unit(np.cross(tangent, centre(t + e) - 2 * centre(t) + centre(t - e)))
    normals = np.cos(angle) * np.cross(side, tangent) + np.sin(angle) * side
    points = centre(t) + tube * normals
    points[..., 1] -= points[..., 1].min()
    write_grids(name, (points, normals, np.concatenate(np.broadcast_arrays(t, angle), axis=-1)))


def block(name: str, size: tuple[float, float, float], edge: float) -> None:
    """A box with rounded edges that stands on y = 0; UV in metres, u horizontal on the sides."""
    half = np.array(size) / 2
    grids = []
    bend = edge * (1 - np.cos(np.linspace(0, np.pi / 2, 5)))
    for axis in range(3):
        for sign in (1.0, -1.0):
            i, j = ((axis + 1) % 3, (axis + 2) % 3) if sign > 0 else ((axis + 2) % 3, (axis + 1) % 3)
            u, v = (np.concatenate([bend - half[k], (half[k] - bend)[::-1]]) for k in (i, j))
            points = np.empty((len(v), len(u), 3))
            points[..., i], points[..., j], points[..., axis] = u[None, :], v[:, None], sign * half[axis]
            inner = np.clip(points, edge - half, half - edge)
            normals = unit(points - inner)
            uv = points[..., [2, 1]] if axis == 0 else points[..., [0, 2]] if axis == 1 else points[..., [0, 1]]
            grids.append((inner + edge * normals + [0, half[1], 0], normals, uv))
    write_grids(name, *grids)


def fluted_panel(name: str, length: float, height: float, pitch: float, depth: float) -> None:
    """Vertical ribs that look to +x, along z from 0 to -length."""
    z = np.linspace(0, length, round(length / pitch) * 12 + 1)
    phase = 2 * np.pi * z / pitch
    x = depth * np.sqrt(0.5 - 0.5 * np.cos(phase) + 0.02)
    slope = depth**2 * np.pi / pitch * np.sin(phase) / (2 * x)
    normals = unit(np.stack([np.ones_like(z), np.zeros_like(z), slope], axis=-1))
    points = np.stack([np.stack([x, np.full_like(z, y), -z], axis=-1) for y in (0, height)])
    write_grids(name, (points, np.stack([normals, normals]), points[..., [2, 1]]))


def niche_wall(name: str, length: float, height: float) -> None:
    """A wall that looks to -x with an arched niche, 1.2 m wide and 0.5 m deep, in its middle."""
    middle, radius, spring, sill, deep = 1.5, 0.6, 0.45, 0.75, 0.5  # heights of spring (up) and sill (down) from middle
    corners = [np.arctan2(y, z) for z in (-length / 2, length / 2) for y in (-middle, height - middle)]
    corners += [np.arctan2(-sill, z) for z in (-radius, radius)] + [np.arctan2(spring, z) for z in (-radius, radius)]
    angle = np.unique(np.concatenate([np.linspace(-np.pi, np.pi, 97), corners]))
    c, s = np.cos(angle), np.sin(angle)
    with np.errstate(divide="ignore"):
        sides = np.abs(radius / c)
        arch = spring * s + np.sqrt(np.maximum(radius**2 - (spring * c) ** 2, 0))
        inner = np.where(s < 0, np.minimum(sides, -sill / s), np.where(sides * s < spring, sides, arch))
        outer = np.minimum(np.abs(length / 2 / c), np.where(s < 0, middle, height - middle) / np.abs(s))

    def outline(x: float, distance: np.ndarray) -> np.ndarray:
        return np.stack([np.full_like(angle, x), middle + distance * s, distance * c], axis=-1)

    front = np.stack([outline(0, inner), outline(0, outer)])
    reveal = np.stack([outline(0, inner), outline(deep, inner)])
    back = np.stack([outline(deep, 0 * inner), outline(deep, inner)])
    edges = np.diff(reveal[0], axis=0)  # every stretch of the reveal is its own flat strip: hard corners stay hard
    inward = unit(np.cross(edges, [1.0, 0.0, 0.0]))
    strips = [(reveal[:, i : i + 2], np.broadcast_to(n, (2, 2, 3))) for i, n in enumerate(inward)]
    grids = [flat(front, (-1, 0, 0), front[..., [2, 1]]), flat(back, (-1, 0, 0), back[..., [2, 1]])]
    write_grids(name, *grids, *((p, n, p[..., [0, 1]] + p[..., [2, 2]]) for p, n in strips))


def clouds(rng: np.random.Generator, size: tuple[int, int], power: float, stretch: float = 1.0) -> np.ndarray:
    """Seamless fractal noise (height, width) of mean 0 and deviation 1; stretch > 1 draws it out along the width."""
    y, x = np.fft.fftfreq(size[0])[:, None] * size[0], np.fft.fftfreq(size[1])[None, :] * size[1]
    frequency = np.hypot(y, x * stretch)
    frequency[0, 0] = np.inf
    noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal(size)) / frequency**power).real
    return noise / noise.std()


def save(name: str, rgb: np.ndarray | Image.Image) -> None:
    if isinstance(rgb, np.ndarray):
        rgb = Image.fromarray(np.clip(rgb + 0.5, 0, 255).astype(np.uint8))
    rgb.save(HERE / "textures" / name, quality=85, optimize=True)


def limewash(name: str, rng: np.random.Generator, colour: tuple[int, int, int], strength: float) -> None:
    tone = 1 + strength * (clouds(rng, (512, 512), 1.4) + 0.5 * clouds(rng, (512, 512), 0.9, 0.3))
    save(name, np.array(colour) * tone[..., None])


def floor_tiles(rng: np.random.Generator) -> None:
    """The whole floor, 12 by 14 tiles of half a metre: two tones of veined stone and fine grout."""
    n = 104
    rows, columns = np.mgrid[: 14 * n, : 12 * n] // n
    dark = ((rows + columns) % 2)[..., None]
    tone = rng.normal(0, 0.045, (14, 12))[rows, columns]
    shift = rng.integers(0, 512, (2, 14, 12))  # every tile is cut from another place of the slab
    y, x = ((np.mgrid[: 14 * n, : 12 * n] % n) + shift[:, rows, columns]) % 512
    slab = clouds(rng, (512, 512), 1.3)[y, x]
    vein = np.exp(-((clouds(rng, (512, 512), 1.7)[y, x] / 0.06) ** 2))
    rgb = np.where(dark, [112, 104, 98], [206, 196, 180]) * (1 + tone + 0.05 * slab)[..., None]
    rgb += (vein * 0.16)[..., None] * np.where(dark, [120, 116, 108], [-130, -125, -115])
    grout = (np.minimum(np.mgrid[: 14 * n, : 12 * n] % n, n - 1 - np.mgrid[: 14 * n, : 12 * n] % n) < 1).any(axis=0)
    save("floor.jpg", np.where(grout[..., None], [140, 132, 122], rgb))


def terrazzo(rng: np.random.Generator) -> None:
    size = 1024
    image = Image.new("RGB", (size, size), (214, 205, 190))
    draw = ImageDraw.Draw(image)
    colours = [(176, 84, 62), (70, 108, 98), (58, 60, 66), (240, 234, 222), (196, 152, 84), (150, 140, 128)]
    for _ in range(1500):
        angle = np.sort(rng.uniform(0, 2 * np.pi, 6))
        radius = 3 + 13 * rng.uniform() ** 2
        chip = rng.uniform(0, size, 2) + radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        colour = colours[rng.integers(len(colours))]
        for shift in np.ndindex(3, 3):
            draw.polygon([tuple(p) for p in chip + (np.array(shift) - 1) * size], fill=colour)
    save("terrazzo.jpg", image)


def wood(rng: np.random.Generator) -> None:
    grain = clouds(rng, (512, 512), 1.1, 14)
    rings = np.sin(9 * clouds(rng, (512, 512), 1.9, 5) + 1.5 * grain)
    save("wood.jpg", np.array([122, 78, 48]) * (1 + 0.12 * grain + 0.10 * rings)[..., None])


def brushed(rng: np.random.Generator) -> None:
    lines = clouds(rng, (512, 512), 0.3, 60) + 0.4 * clouds(rng, (512, 512), 1.5)
    save("brushed.jpg", np.array([218, 220, 224]) * (1 + 0.055 * lines)[..., None])


def painting() -> None:
    """An abstract of arcs and bars, drawn at double size."""
    image = Image.new("RGB", (1536, 1024), (232, 222, 202))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 700, 1536, 1024), fill=(38, 60, 84))
    draw.pieslice((160, 260, 1040, 1140), 180, 360, fill=(196, 78, 52))
    draw.pieslice((300, 400, 900, 1000), 180, 360, fill=(232, 222, 202))
    draw.pieslice((430, 530, 770, 870), 180, 360, fill=(44, 104, 90))
    draw.ellipse((1030, 120, 1330, 420), fill=(222, 162, 58))
    draw.rectangle((1120, 480, 1240, 1024), fill=(44, 104, 90))
    draw.rectangle((1270, 560, 1330, 1024), fill=(222, 162, 58))
    for i in range(6):
        draw.rectangle((70, 90 + 44 * i, 300, 106 + 44 * i), fill=(38, 60, 84))
    save("painting.png", image.resize((768, 512), Image.Resampling.LANCZOS).quantize(64))


def main() -> None:
    for folder in ("meshes", "textures"):
        (HERE / folder).mkdir(exist_ok=True)
    lathe("vase", VASE, 84, 48)
    lathe("urn", URN, 64, 48)
    lathe("gourd", GOURD, 64, 64, lobes=5, depth=0.22, twist=6.0)
    lathe("dais", DAIS, 24, 96)
    lathe("disc", DISC, 32, 64)
    knot("knot", 2, 3, 0.24, 0.065)
    block("plinth", (0.5, 1.0, 0.5), 0.012)
    block("low_plinth", (0.5, 0.5, 0.5), 0.012)
    block("steel", (0.5, 1.3, 0.5), 0.02)
    fluted_panel("flutes", 7.0, 1.1, 0.125, 0.045)
    niche_wall("niche_wall", 7.0, 4.0)
    ball = trimesh.creation.icosphere(subdivisions=4)
    write_mesh("ball", ball.vertices, ball.vertices, ball.vertices[:, :2], ball.faces)
    rng = np.random.default_rng(7)
    limewash("red.jpg", rng, (198, 78, 60), 0.05)
    limewash("green.jpg", rng, (78, 146, 104), 0.06)
    limewash("plaster.jpg", rng, (224, 216, 202), 0.018)
    floor_tiles(rng)
    terrazzo(rng)
    wood(rng)
    brushed(rng)
    painting()
    path = CameraPath(tuple(look_at(*view) for view in FLIGHT), fps=25, seconds=40)
    save_path(path, HERE / "path.json")


if __name__ == "__main__":
    main()
