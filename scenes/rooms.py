"""Rooms from a seed: any number of different scenes for a denoiser to learn from.

Every room is a folder of its own: scene.xml (Mitsuba 3), one PLY for each material, some PNG textures, and sky.pfm where
daylight comes in. Metres, +y up, floor at y = 0, middle of the room at x = z = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image

from scenes.shapes import (
    CLUTTER,
    SOLIDS,
    Mesh,
    boxes,
    join,
    moved,
    random_rotation,
    standing,
    surface,
    turn_y,
    write_ply,
)
from scenes.textures import random_colour, sky, texture

THICK = 0.15  # of the walls
GLASS = ("dielectric", "thindielectric", "roughdielectric")
GLOSSY = ("roughplastic", "plastic", "roughconductor", "conductor", "principled")
METALS = ("Al", "Au", "Cu", "Ag", "Cr", "W", "none")
LENS = {"fov": (35, 80), "depth": (6, 17)}


@dataclass
class Lamp:
    """A Mitsuba shape that shines: its XML with a gap for the emitter, its area, its part of the room's power."""

    xml: str
    area: float
    power: float
    colour: np.ndarray


@dataclass
class Room:
    """What has been built so far.

    size:   width, height and depth inside, along x, y and z.
    parts:  the meshes of each material.
    taken:  circles (x, z, radius) on the floor that are not free.
    spots:  places (x, y, z, radius) on furniture where small things can stand.
    walls:  albedo, mean over walls, floor and ceiling.
    window: area of all openings to the sky.
    """

    size: np.ndarray
    materials: dict[str, str]
    solid: list[str]
    opaque: list[str]
    walls: float
    parts: dict[str, list[Mesh]] = field(default_factory=dict)
    lamps: list[Lamp] = field(default_factory=list)
    taken: list[tuple] = field(default_factory=list)
    spots: list[tuple] = field(default_factory=list)
    eye: np.ndarray = field(default_factory=lambda: np.zeros(3))
    target: np.ndarray = field(default_factory=lambda: np.zeros(3))
    window: float = 0.0
    panes: bool = False

    def add(self, material: str, mesh: Mesh) -> None:
        self.parts.setdefault(material, []).append(mesh)

    def side(self, number: int) -> tuple[float, np.ndarray, np.ndarray]:
        """Length of a wall, the rotation of its axes (u along it, y up, z outwards), and the middle of its foot."""
        along, out = (0, 2) if number % 2 == 0 else (2, 0)
        rotation = turn_y(number * np.pi / 2)
        return self.size[along], rotation, rotation @ (0, 0, self.size[out] / 2)


def write_room(seed: int, folder: Path) -> Path:
    """Writes room number `seed` (not negative) into `folder`, and returns the path of its scene.xml.

    The same seed writes the same bytes. Raises OSError where the folder cannot be written.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    kind = rng.choice(["closed", "windows", "annex", "courtyard"], p=[0.3, 0.3, 0.25, 0.15])
    room = _empty_room(rng, folder, kind)
    _place_camera(rng, room)
    _build_walls(rng, room, kind)
    _add_lamps(rng, room, kind)
    _furnish(rng, room)
    brightness = np.exp(rng.uniform(np.log(0.15), np.log(1.8)))
    light = [*_sky_light(rng, room, kind, brightness, folder), *_lamp_light(room, brightness)]
    file = folder / "scene.xml"
    body = [_camera_xml(rng, room), *room.materials.values(), *_mesh_xml(room, folder), *light]
    file.write_text('<scene version="3.0.0">\n' + "\n".join(body) + "\n</scene>\n")
    return file


# Materials


def _empty_room(rng: Generator, folder: Path, kind: str) -> Room:
    """Size and materials: those of walls, floor, ceiling and trim, and others for the things in the room."""
    size = np.exp(rng.uniform(np.log((2.6, 2.2, 2.8)), np.log((8, 4.5, 9))))
    if kind == "courtyard":
        size = size * (1.5, 1.2, 1.5)
    elif rng.random() < 0.15:
        size[[0, 2]] = rng.uniform(1.5, 2.3), rng.uniform(6, 12)  # a corridor
    pictures = [_texture_xml(rng, folder, f"texture{k}") for k in range(rng.integers(2, 5))]
    materials = {picture[0]: picture[1] for picture in pictures}
    families = ["diffuse", *rng.choice(GLOSSY, rng.integers(1, 4), replace=False)]
    low = rng.choice([0.08, 0.3, 0.5], p=[0.15, 0.35, 0.5])
    tones = []
    for name in ("wall", "accent", "floor", "ceiling", "trim"):
        family = rng.choice([f for f in families if "conductor" not in f]) if name in ("floor", "trim") else "diffuse"
        colour, tone = _colour(rng, pictures, 0.6 if name == "floor" else 0.25, low, rng.choice([0.9, 0.6, 0]))
        materials[name] = _bsdf(rng, name, family, colour)
        tones.append(tone)
    opaque = ["trim"]
    for number in range(rng.integers(6, 12)):
        opaque.append(name := f"material{number}")
        materials[name] = _bsdf(rng, name, rng.choice(families), _colour(rng, pictures, 0.35, 0.03)[0])
    glass = [f"glass{k}" for k in range(rng.choice([0, 1, 2, 3], p=[0.25, 0.35, 0.25, 0.15]))]
    for name in glass:
        materials[name] = _bsdf(rng, name, rng.choice(GLASS, p=[0.7, 0.15, 0.15]), ("", ""))
    return Room(size, materials, opaque + glass, opaque, float(np.mean(tones[:4])))


def _texture_xml(rng: Generator, folder: Path, name: str) -> tuple[str, str, float]:
    """Writes a texture; its name, its XML, its mean albedo."""
    picture = texture(rng)
    Image.fromarray(np.uint8(255 * picture ** (1 / 2.2))).save(folder / f"{name}.png")
    scale = np.exp(rng.uniform(np.log(0.4), np.log(5)))
    xml = f'<texture type="bitmap" id="{name}"><string name="filename" value="{name}.png"/>'
    return name, f'{xml}<transform name="to_uv"><scale value="{scale:.3f}"/></transform></texture>', picture.mean()


def _colour(
    rng: Generator, pictures: list, textured: float, low: float, pale: float = 0
) -> tuple[tuple[str, str], float]:
    """XML before and after the name of a reflectance, and its mean albedo.

    It is a texture with probability `textured`, else a colour, from vivid to grey as `pale` goes from 0 to 1.
    """
    if rng.random() < textured:
        name, _, tone = pictures[rng.integers(len(pictures))]
        return (f'<ref id="{name}" name="', '"/>'), tone
    colour = random_colour(rng, low)
    colour = colour + pale * (colour.max() - colour)
    return ('<rgb name="', f'" value="{_numbers(colour)}"/>'), colour.mean()


def _bsdf(rng: Generator, name: str, family: str, colour: tuple[str, str]) -> str:
    """XML of a material; `colour` serves where the family has one."""

    def tint(key: str) -> str:
        return colour[0] + key + colour[1]

    def number(key: str, low: float, high: float) -> str:
        return f'<float name="{key}" value="{rng.uniform(low, high):.3f}"/>'

    if family in GLASS:
        rough = number("alpha", 0.02, 0.3) if family == "roughdielectric" else ""
        return f'<bsdf type="{family}" id="{name}">{number("int_ior", 1.3, 1.8)}{rough}</bsdf>'
    inside = {
        "diffuse": lambda: tint("reflectance"),
        "plastic": lambda: tint("diffuse_reflectance") + number("int_ior", 1.3, 1.8),
        "roughplastic": lambda: tint("diffuse_reflectance") + number("alpha", 0.03, 0.4),
        "conductor": lambda: _metal(rng, tint),
        "roughconductor": lambda: _metal(rng, tint) + number("alpha", 0.03, 0.45),
        "principled": lambda: (
            tint("base_color")
            + number("roughness", 0.08, 0.9)
            + f'<float name="metallic" value="{rng.choice([0, 0, 1])}"/>'
        ),
    }[family]()
    return f'<bsdf type="twosided" id="{name}"><bsdf type="{family}">{inside}</bsdf></bsdf>'


def _metal(rng: Generator, tint) -> str:
    metal = rng.choice(METALS)
    return f'<string name="material" value="{metal}"/>' + (tint("specular_reflectance") if metal == "none" else "")


# Camera


def _place_camera(rng: Generator, room: Room) -> None:
    """An eye away from the middle that looks across the room; the space around it stays free."""
    half = room.size[[0, 2]] / 2
    x, z = rng.uniform(0.35, 0.95, 2) * (half - 0.35) * rng.choice([-1, 1], 2)
    room.eye = np.array([x, rng.uniform(0.5, min(room.size[1] - 0.4, 2.1)), z])
    room.target = np.array([-x * rng.uniform(0, 0.8), rng.uniform(0.3, 1.6), -z * rng.uniform(0.1, 0.8)])
    room.taken.append((x, z, 0.55))


def _camera_xml(rng: Generator, room: Room) -> str:
    return f"""<integrator type="path"><integer name="max_depth" value="{rng.integers(*LENS["depth"])}"/></integrator>
<sensor type="perspective">
  <float name="fov" value="{rng.uniform(*LENS["fov"]):.2f}"/><string name="fov_axis" value="y"/>
  <float name="near_clip" value="0.01"/><float name="far_clip" value="200"/>
  <transform name="to_world">
    <lookat origin="{_numbers(room.eye)}" target="{_numbers(room.target)}" up="0, 1, 0"/>
  </transform>
  <sampler type="independent"/>
  <film type="hdrfilm">
    <integer name="width" value="256"/><integer name="height" value="256"/><rfilter type="box"/>
  </film>
</sensor>"""


# Walls and openings


def _build_walls(rng: Generator, room: Room, kind: str) -> None:
    width, height, depth = room.size
    plan = (-width / 2 - THICK, 0, -depth / 2 - THICK, width + 2 * THICK, THICK, depth + 2 * THICK)
    room.add("floor", boxes([np.add(plan, (0, -THICK, 0, 0, 0, 0))]))
    if kind != "courtyard":
        room.add("ceiling", boxes([np.add(plan, (0, height, 0, 0, 0, 0))]))
    elif rng.random() < 0.5:
        room.add("floor", boxes([(-30, -0.2, -30, 60, 0.15, 60)]))
    sides = rng.permutation(4)
    pierced = sides[: rng.integers(1, 3)] if kind == "windows" else sides[:1] if kind == "annex" else []
    accents = rng.random(4) < rng.choice([0.1, 0.5])
    for number in range(4):
        if kind == "courtyard" and rng.random() < 0.35:
            continue
        length, rotation, foot = room.side(number)
        holes = []
        if number in pierced:
            holes = _windows(rng, room, number) if kind == "windows" else [_door(rng, room, number)]
        wall = _wall(length + 2 * THICK, height, holes)
        room.add("accent" if accents[number] else "wall", moved(wall, rotation, foot))
    if kind != "courtyard" and rng.random() < 0.25:
        at = np.arange(-depth / 2 + 0.3, depth / 2, rng.uniform(0.5, 1.2))
        room.add("trim", boxes([(-width / 2, height - 0.15, z, width, 0.15, 0.1) for z in at]))
    if rng.random() < 0.4:
        skirting = [(-width / 2, 0, s * (depth / 2 - 0.01) - 0.01, width, 0.1, 0.02) for s in (-1, 1)]
        room.add("trim", boxes(skirting))


def _wall(length: float, height: float, holes: list[tuple]) -> Mesh:
    """A wall along u with rectangular (u0, u1, y0, y1) holes, in axes of `Room.side`."""
    u = np.unique([-length / 2, length / 2, *(edge for h in holes for edge in h[:2])])
    y = np.unique([0, height, *(edge for h in holes for edge in h[2:])])
    cells = [(u0, u1, y0, y1) for u0, u1 in zip(u, u[1:], strict=False) for y0, y1 in zip(y, y[1:], strict=False)]
    kept = [c for c in cells if not any(h[0] <= c[0] and c[1] <= h[1] and h[2] <= c[2] and c[3] <= h[3] for h in holes)]
    return boxes([(u0, y0, 0, u1 - u0, y1 - y0, THICK) for u0, u1, y0, y1 in kept])


def _windows(rng: Generator, room: Room, number: int) -> list[tuple]:
    """One to three equal windows in a wall, with bars, blinds or panes."""
    length, rotation, foot = room.side(number)
    count, low, high = rng.integers(1, 4), rng.choice([0, 0.5, 0.9]), room.size[1] * rng.uniform(0.7, 0.95)
    pitch, share = length / count, rng.uniform(0.25, 0.85)
    holes = [
        ((k + 0.5 - share / 2) * pitch - length / 2, (k + 0.5 + share / 2) * pitch - length / 2) for k in range(count)
    ]
    blinds, crossed = rng.random() < 0.25, rng.random() < 0.6
    room.panes = bool(rng.random() < 0.3)
    for u0, u1 in holes:
        room.window += (u1 - u0) * (high - low) * (0.5 if blinds else 1)
        if blinds:
            at = np.arange(low, high, 0.07)
            tilted = turn_y(0) @ np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
            slats = [moved(boxes([(u0, 0, 0, u1 - u0, 0.004, 0.06)]), tilted, (0, y, 0.03)) for y in at]
            room.add("trim", moved(join(slats), rotation, foot))
        if crossed:
            cross = [((u0 + u1) / 2 - 0.02, low, 0.08, 0.04, high - low, 0.04)]
            cross += [(u0, y, 0.08, u1 - u0, 0.03, 0.04) for y in np.linspace(low, high, 4)]
            room.add("trim", moved(boxes(cross), rotation, foot))
        if room.panes:
            room.materials["pane"] = '<bsdf type="thindielectric" id="pane"/>'
            room.add("pane", moved(boxes([(u0, low, 0.1, u1 - u0, high - low, 0.005)]), rotation, foot))
    return [(u0, u1, low, high) for u0, u1 in holes]


def _door(rng: Generator, room: Room, number: int) -> tuple:
    """A doorway to a lit room of its own, with a door ajar: most light in the room itself is then indirect."""
    length, rotation, foot = room.side(number)
    wide, high = min(rng.uniform(0.8, 2), length - 0.4), min(rng.uniform(1.9, 2.3), room.size[1] - 0.15)
    u = rng.uniform(-1, 1) * (length - wide - 0.2) / 2
    across, deep, up = rng.uniform(wide + 0.5, 5), rng.uniform(1.5, 4), room.size[1]
    left = u + rng.uniform(-1, 1) * (across - wide - 0.2) / 2 - across / 2
    shell = [(left, -THICK, THICK, across, THICK, deep), (left, up, THICK, across, THICK, deep)]
    shell += [(left + k * (across + THICK) - THICK, -THICK, THICK, THICK, up + 2 * THICK, deep) for k in (0, 1)]
    shell.append((left - THICK, -THICK, THICK + deep, across + 2 * THICK, up + 2 * THICK, THICK))
    room.add("wall", moved(boxes(shell), rotation, foot))
    if opened := rng.random() < 0.6:
        leaf = moved(
            boxes([(0, 0.01, 0, wide, high - 0.02, 0.04)]), turn_y(-rng.uniform(0.4, 1.4)), (u - wide / 2, 0, THICK)
        )
        room.add("trim", moved(leaf, rotation, foot))
    inner = 2 * (across * deep + across * up + deep * up)
    leaving = wide * high * (0.4 if opened else 0.7)
    power = (inner * (1 - 0.9 * room.walls) + leaving) / leaving
    place = (
        rotation @ (left + across * rng.uniform(0.15, 0.85), up - 0.05, THICK + deep * rng.uniform(0.3, 0.85)) + foot
    )
    reach = np.exp(rng.uniform(np.log(0.05), np.log(0.4)))
    room.lamps.append(_panel(rng, place, place - (0, 1, 0), reach, reach, power * rng.uniform(0.5, 1)))
    return u - wide / 2, u + wide / 2, 0, high


# Lamps


def _lamp_colour(rng: Generator) -> np.ndarray:
    """White, warm, cool or coloured; of luminance 1."""
    colour = np.array([(1, 1, 1), (1, 0.75, 0.45), (0.75, 0.9, 1.1), random_colour(rng, 0.3) + 0.05])[rng.integers(4)]
    return colour / (colour @ (0.2126, 0.7152, 0.0722))


def _panel(rng: Generator, place: np.ndarray, target: np.ndarray, x: float, y: float, power: float) -> Lamp:
    """A rectangle of half sizes x and y at `place` that shines towards `target`."""
    up = "1, 0, 0" if abs(place[1] - target[1]) > 0.5 * np.linalg.norm(place - target) else "0, 1, 0"
    xml = f"""<shape type="rectangle"><transform name="to_world"><scale x="{x:.4f}" y="{y:.4f}"/>
  <lookat origin="{_numbers(place)}" target="{_numbers(target)}" up="{up}"/></transform>{{}}</shape>"""
    return Lamp(xml, 4 * x * y, power, _lamp_colour(rng))


def _bulb(rng: Generator, place: np.ndarray, radius: float, power: float) -> Lamp:
    xml = f'<shape type="sphere"><point name="center" value="{_numbers(place)}"/>'
    return Lamp(
        f'{xml}<float name="radius" value="{radius:.4f}"/>{{}}</shape>', 4 * np.pi * radius**2, power, _lamp_colour(rng)
    )


def _add_lamps(rng: Generator, room: Room, kind: str) -> None:
    """One or two kinds of lamps; fewer and weaker where light comes from elsewhere."""
    chance = {"closed": 1, "windows": 0.35, "annex": 0.25, "courtyard": 0.15}[kind]
    if rng.random() < chance:
        modes = (_panels, _spots, _bulbs, _shaded, _cove, _screened)
        for mode in rng.choice(len(modes), rng.integers(1, 3), replace=False):
            modes[mode](rng, room, (1 if kind == "closed" else 0.3) * rng.uniform(0.2, 1))


def _somewhere(rng: Generator, room: Room, margin: float) -> np.ndarray:
    x, z = rng.uniform(-1, 1, 2) * np.maximum(room.size[[0, 2]] / 2 - margin, 0)
    return np.array([x, 0, z])


def _panels(rng: Generator, room: Room, power: float) -> None:
    """Panels on the ceiling, tiny to large."""
    count, reach = rng.integers(1, 5), np.exp(rng.uniform(np.log(0.03), np.log(0.6), 2))
    for _ in range(count):
        place = _somewhere(rng, room, 0.7) + (0, room.size[1] - 0.16, 0)
        room.lamps.append(_panel(rng, place, place - (0, 1, 0), *reach, power / count))


def _spots(rng: Generator, room: Room, power: float) -> None:
    """Many tiny bright bulbs under the ceiling."""
    count, radius = rng.integers(3, 12), rng.uniform(0.008, 0.03)
    for _ in range(count):
        place = _somewhere(rng, room, 0.3) + (0, room.size[1] - 0.2, 0)
        room.lamps.append(_bulb(rng, place, radius, power / count))


def _bulbs(rng: Generator, room: Room, power: float) -> None:
    """Bare bulbs that hang or lie anywhere but near the eye."""
    for _ in range(rng.integers(1, 4)):
        radius = np.exp(rng.uniform(np.log(0.02), np.log(0.25)))
        place = _somewhere(rng, room, 0.4) + (0, rng.uniform(radius + 0.02, room.size[1] - radius - 0.2), 0)
        if np.linalg.norm((place - room.eye)[[0, 2]]) > 0.8 + radius:
            room.lamps.append(_bulb(rng, place, radius, power * rng.uniform(0.2, 1)))


def _shaded(rng: Generator, room: Room, power: float) -> None:
    """Lamps on poles with shades, open at top and bottom."""
    for _ in range(rng.integers(1, 3)):
        place, radius = _free_place(rng, room, 0.3), rng.uniform(0.1, 0.25)
        if place is None:
            continue
        height = rng.uniform(0.8, min(1.7, room.size[1] - 0.4))
        profile = np.array([(radius, height - 0.15), (radius * rng.uniform(0.4, 1), height + rng.uniform(0.1, 0.25))])
        angle = np.linspace(0, 2 * np.pi, 33)[None, :]
        r, y = profile.T[..., None]
        shade = surface(np.stack([r * np.cos(angle), y + 0 * angle, r * np.sin(angle)], axis=-1))
        pole = boxes([(-0.01, 0, -0.01, 0.02, height - 0.1, 0.02), (-0.12, 0, -0.12, 0.24, 0.02, 0.24)])
        room.add(rng.choice(room.opaque), moved(shade, np.eye(3), place))
        room.add("trim", moved(pole, np.eye(3), place))
        room.lamps.append(_bulb(rng, place + (0, height, 0), rng.uniform(0.02, 0.05), power))


def _cove(rng: Generator, room: Room, power: float) -> None:
    """A strip behind a board under the ceiling that shines upwards."""
    length, rotation, foot = room.side(rng.integers(4))
    y = room.size[1] - rng.uniform(0.3, 0.6)
    board = boxes(
        [
            (-0.45 * length, y - 0.05, -0.25, 0.9 * length, 0.03, 0.25),
            (-0.45 * length, y, -0.25, 0.9 * length, 0.08, 0.02),
        ]
    )
    room.add("trim", moved(board, rotation, foot))
    place, along = rotation @ (0, y, -0.12) + foot, abs(rotation[0, 0]) > 0.5
    half = (0.04, 0.44 * length)  # lookat with up = x: the rectangle's y lies along x, its x along z
    room.lamps.append(_panel(rng, place, place + (0, 1, 0), *(half if along else half[::-1]), power))


def _screened(rng: Generator, room: Room, power: float) -> None:
    """A lamp behind a standing screen, away from the eye."""
    place = _free_place(rng, room, 0.6)
    if place is None:
        return
    away = place - room.eye
    angle = np.arctan2(away[0], away[2])
    wide, high = rng.uniform(0.6, 1.6), rng.uniform(0.8, 0.85 * room.size[1])
    screen = boxes([(-wide / 2, 0, 0, wide, high, 0.03)])
    room.add(rng.choice(room.opaque), moved(screen, turn_y(angle), place))
    bulb = turn_y(angle) @ (0, high * rng.uniform(0.3, 0.9), 0.25) + place
    room.lamps.append(_bulb(rng, np.clip(bulb, -room.size / 2 + 0.1, room.size - 0.1), rng.uniform(0.02, 0.08), power))


# Things


def _free_place(rng: Generator, room: Room, radius: float) -> np.ndarray | None:
    """A free circle on the floor, not so near that it fills the picture, taken from now on; None where none was found soon."""
    ahead = (room.target - room.eye) * (1, 0, 1)
    across = turn_y(np.pi / 2) @ ahead
    bound = np.maximum(room.size / 2 - radius - 0.02, 0)
    for _ in range(20):
        place = _somewhere(rng, room, radius + 0.02)
        if rng.random() < 0.75:  # where it is seen
            distance = rng.uniform(0.35, 2)
            place = room.eye + distance * (ahead + rng.uniform(-0.6, 0.6) * across)
            place = np.clip(place, -bound, bound) * (1, 0, 1)
        if np.hypot(*(place - room.eye)[[0, 2]]) > 0.3 + 2.5 * radius and all(
            np.hypot(place[0] - x, place[2] - z) > radius + r for x, z, r in room.taken
        ):
            room.taken.append((place[0], place[2], radius))
            return place
    return None


def _furnish(rng: Generator, room: Room) -> None:
    """Furniture first, then 10 to 60 things on it, on the floor, on walls and in the air."""
    for _ in range(rng.integers(1, 6)):
        _add_furniture(rng, room)
    for _ in range(rng.integers(10, 61)):
        where = rng.choice(["floor", "spot", "wall", "air"], p=[0.4, 0.35, 0.17, 0.08])
        if where == "wall":
            _hang_picture(rng, room)
        elif where == "spot" and room.spots:
            x, y, z, radius = room.spots.pop(rng.integers(len(room.spots)))
            _stand(rng, room, np.array([x, y, z]), radius * 1.7)
        elif where == "air" and (place := _free_place(rng, room, 0.2)) is not None:
            mesh = standing(SOLIDS[rng.integers(len(SOLIDS))](rng), rng.uniform(0.1, 0.35))
            place = place + (0, rng.uniform(0.8, room.size[1] - 0.6), 0)
            room.add(rng.choice(room.solid), moved(mesh, random_rotation(rng), place))
        else:
            size = min(np.exp(rng.uniform(np.log(0.12), np.log(1.5))), 0.6 * room.size.min())
            if (place := _free_place(rng, room, 0.6 * size)) is not None:
                _stand(rng, room, place, size)


def _stand(rng: Generator, room: Room, place: np.ndarray, size: float) -> None:
    """One thing of `size`, standing at `place`."""
    if rng.random() < 0.65:
        mesh, materials = SOLIDS[rng.integers(len(SOLIDS))](rng), room.solid
    else:
        mesh, materials = CLUTTER[rng.integers(len(CLUTTER))](rng), room.opaque
    turn = random_rotation(rng) if rng.random() < 0.15 else turn_y(rng.uniform(0, 2 * np.pi))
    room.add(rng.choice(materials), moved(standing(moved(mesh, turn), size), np.eye(3), place + (0, 1e-3, 0)))


def _add_furniture(rng: Generator, room: Room) -> None:
    """A table, a chest, steps, or a shelf of boards, with spots for small things."""
    wide, deep, high = rng.uniform(0.5, 1.6), rng.uniform(0.4, 0.9), rng.uniform(0.3, 1.0)
    place = _free_place(rng, room, 0.5 * np.hypot(wide, deep))
    if place is None:
        return
    kind, leg = rng.integers(4), rng.uniform(0.02, 0.08)
    tops = [high]
    rows = [(0, 0, 0, wide, high, deep)]
    if kind == 0:
        rows = [(x, 0, z, leg, high, leg) for x in (0, wide - leg) for z in (0, deep - leg)]
        rows.append((-0.03, high - 0.03, -0.03, wide + 0.06, 0.03, deep + 0.06))
    elif kind == 1:
        tops = list(np.arange(1, 7) * 0.16)
        rows = [(0, 0, k * deep / 6, wide, top, deep / 6) for k, top in enumerate(tops)]
    elif kind == 2:
        tops = list(np.arange(1, rng.integers(2, 5)) * 0.4)
        rows = [(0, y - 0.025, 0, wide, 0.025, deep) for y in tops]
        rows += [(x, 0, 0, 0.025, tops[-1], deep) for x in (0, wide - 0.025)]
    turn = turn_y(rng.choice(4) * np.pi / 2 + rng.choice([0, 1]) * rng.uniform(-0.4, 0.4))
    middle = np.array([wide / 2, 0, deep / 2])
    room.add(rng.choice(room.opaque), moved(moved(boxes(rows), np.eye(3), -middle), turn, place))
    for k, top in enumerate(tops):
        for x in np.arange(0.15, wide - 0.1, 0.3):
            z = (k + 0.5) * deep / 6 if kind == 1 else deep * rng.uniform(0.35, 0.65)
            spot = turn @ ((x, top, z) - middle) + place
            room.spots.append((*spot, deep / 14 if kind == 1 else rng.uniform(0.04, 0.12)))


def _hang_picture(rng: Generator, room: Room) -> None:
    """A flat panel on a wall: picture, mirror or board, in a frame or not."""
    ahead = room.target - room.eye
    length, rotation, foot = max((room.side(k) for k in rng.integers(4, size=2)), key=lambda side: side[2] @ ahead)
    wide, high = np.minimum(rng.uniform(0.2, 1.3, 2), (length / 2, room.size[1] / 2))
    u, y = rng.uniform(-1, 1) * (length - wide) / 2, rng.uniform(0.5, max(0.6, room.size[1] - high - 0.3))
    place = rotation @ (u, y, 0) + foot
    if np.linalg.norm(place - room.eye) < 1:
        return
    room.add(rng.choice(room.opaque), moved(boxes([(-wide / 2, 0, -0.02, wide, high, 0.02)]), rotation, place))
    if rng.random() < 0.6:
        edge = rng.uniform(0.01, 0.06)
        frame = [(s * wide / 2 - edge / 2, -edge / 2, -0.04, edge, high + edge, 0.04) for s in (-1, 1)]
        frame += [(-wide / 2, v * high - edge / 2, -0.04, wide, edge, 0.04) for v in (0, 1)]
        room.add(rng.choice(room.opaque), moved(boxes(frame), rotation, place))


# Light


def _needed_power(room: Room, brightness: float) -> float:
    """Watts for a mean radiance of `brightness`, in an integrating sphere of the room's surface and albedo."""
    width, height, depth = room.size
    surface_area = 2 * (width * depth + width * height + depth * height)
    albedo = 0.85 * room.walls
    return brightness * np.pi * surface_area * (1 - albedo) / albedo


def _lamp_light(room: Room, brightness: float) -> list[str]:
    """XML of the lamps. Powers add up to what the room needs, less what windows bring."""
    total, parts = _needed_power(room, brightness), []
    shared = sum(min(lamp.power, 1) for lamp in room.lamps)
    for lamp in room.lamps:
        radiance = total * lamp.power / max(shared, 1) / (np.pi * lamp.area) * lamp.colour
        emitter = f'<emitter type="area"><rgb name="radiance" value="{_numbers(radiance)}"/></emitter>'
        parts.append(lamp.xml.format(emitter))
    return parts


def _sky_light(rng: Generator, room: Room, kind: str, brightness: float, folder: Path) -> list[str]:
    """XML of the environment where one is seen: constant, or a sky with or without a sun."""
    if kind not in ("windows", "courtyard"):
        return []
    sun = 0.0 if room.panes else rng.choice([0, 1]) * rng.uniform(0.5, 4)
    scale = brightness / room.walls / (1 + sun)
    if kind == "windows":
        scale = _needed_power(room, brightness) / (np.pi * room.window * (0.5 + 0.2 * sun))
    if not sun and rng.random() < 0.3:
        return [
            f'<emitter type="constant"><rgb name="radiance" value="{_numbers(scale * _lamp_colour(rng))}"/></emitter>'
        ]
    rows = (sky(rng, sun) * scale)[::-1].astype("<f4")
    (folder / "sky.pfm").write_bytes(f"PF\n{rows.shape[1]} {rows.shape[0]}\n-1.0\n".encode() + rows.tobytes())
    return ['<emitter type="envmap"><string name="filename" value="sky.pfm"/></emitter>']


def _mesh_xml(room: Room, folder: Path) -> list[str]:
    """Writes one PLY for each material; their XML."""
    parts = []
    for material, meshes in room.parts.items():
        write_ply(folder / f"{material}.ply", join(meshes))
        parts.append(
            f'<shape type="ply" id="{material}-shape"><string name="filename" value="{material}.ply"/>'
            f'<ref id="{material}"/></shape>'
        )
    return parts


def _numbers(values: np.ndarray) -> str:
    return ", ".join(f"{v:.5g}" for v in values)
