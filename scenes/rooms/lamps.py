"""Lamps of a room, bare and hidden, and the sky outside. How bright they are follows from the room."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.random import Generator

from noisewalk.scenes.rooms.plan import UP, Lamp, Room, free_place, numbers, somewhere
from noisewalk.scenes.rooms.shapes import boxes, moved, surface, turn_y
from noisewalk.scenes.rooms.textures import random_colour, sky


def _lamp_colour(rng: Generator) -> np.ndarray:
    """(3,) linear color of luminance 1: white, warm, cool or colored."""
    colours = [(1, 1, 1), (1, 0.75, 0.45), (0.75, 0.9, 1.1), random_colour(rng, 0.3) + 0.05]
    colour = np.array(colours)[rng.choice(4, p=[0.35, 0.35, 0.2, 0.1])]
    return colour / (colour @ (0.2126, 0.7152, 0.0722))


def panel(rng: Generator, place: np.ndarray, target: np.ndarray, x: float, y: float, power: float) -> Lamp:
    """A rectangle at `place` that shines towards `target`. half: its half sizes along x and y, in metres."""
    up = "1, 0, 0" if abs(place[1] - target[1]) > 0.5 * np.linalg.norm(place - target) else "0, 1, 0"
    xml = f"""<shape type="rectangle"><transform name="to_world"><scale x="{x:.4f}" y="{y:.4f}"/>
  <lookat origin="{numbers(place)}" target="{numbers(target)}" up="{up}"/></transform>{{}}</shape>"""
    return Lamp(xml, 4 * x * y, power, _lamp_colour(rng))


def bulb(rng: Generator, place: np.ndarray, radius: float, power: float) -> Lamp:
    """A ball around `place`. Lengths in metres."""
    xml = f'<shape type="sphere"><point name="center" value="{numbers(place)}"/>'
    xml += f'<float name="radius" value="{radius:.4f}"/>{{}}</shape>'
    return Lamp(xml, 4 * np.pi * radius**2, power, _lamp_colour(rng))


def add_lamps(rng: Generator, room: Room, kind: str) -> None:
    """Adds one or two kinds of lamps. They are fewer and weaker where light comes from elsewhere."""
    chance = {"closed": 1, "windows": 0.35, "annex": 0.25, "courtyard": 0.15}[kind]
    if rng.random() < chance:
        modes = (_panels, _spots, _bulbs, _shaded, _cove, _screened)
        for mode in rng.choice(len(modes), rng.integers(1, 3), replace=False):
            modes[mode](rng, room, (1 if kind == "closed" else 0.3) * rng.uniform(0.2, 1))


def _panels(rng: Generator, room: Room, power: float) -> None:
    """Panels on the ceiling, tiny to large."""
    count, (x, y) = rng.integers(1, 5), np.exp(rng.uniform(np.log(0.03), np.log(0.6), 2))
    for _ in range(count):
        place = somewhere(rng, room, 0.7, room.size[1] - 0.16)
        room.lamps.append(panel(rng, place, place - UP, x, y, power / count))


def _spots(rng: Generator, room: Room, power: float) -> None:
    """Many tiny bright bulbs under the ceiling."""
    count, radius = rng.integers(3, 12), rng.uniform(0.008, 0.03)
    for _ in range(count):
        place = somewhere(rng, room, 0.3, room.size[1] - 0.2)
        room.lamps.append(bulb(rng, place, radius, power / count))


def _bulbs(rng: Generator, room: Room, power: float) -> None:
    """Bare bulbs that hang or lie anywhere but near the eye."""
    for _ in range(rng.integers(1, 4)):
        radius = np.exp(rng.uniform(np.log(0.02), np.log(0.25)))
        place = somewhere(rng, room, 0.4, rng.uniform(radius + 0.02, room.size[1] - radius - 0.2))
        if np.linalg.norm((place - room.eye)[[0, 2]]) > 0.8 + radius:
            room.lamps.append(bulb(rng, place, radius, power * rng.uniform(0.2, 1)))


def _shaded(rng: Generator, room: Room, power: float) -> None:
    """Lamps on poles with shades, open at top and bottom."""
    for _ in range(rng.integers(1, 3)):
        place, radius = free_place(rng, room, 0.3), rng.uniform(0.1, 0.25)
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
        room.lamps.append(bulb(rng, place + height * UP, rng.uniform(0.02, 0.05), power))


def _cove(rng: Generator, room: Room, power: float) -> None:
    """A strip behind a board under the ceiling that shines upwards."""
    length, rotation, foot = room.side(int(rng.integers(4)))
    y = room.size[1] - rng.uniform(0.3, 0.6)
    start, long = -0.45 * length, 0.9 * length
    board = boxes([(start, y - 0.05, -0.25, long, 0.03, 0.25), (start, y, -0.25, long, 0.08, 0.02)])
    room.add("trim", moved(board, rotation, foot))
    place, along = rotation @ (0, y, -0.12) + foot, abs(rotation[0, 0]) > 0.5
    half = (0.04, 0.44 * length)  # lookat with up = x: the rectangle's y lies along x, its x along z
    room.lamps.append(panel(rng, place, place + UP, *(half if along else half[::-1]), power))


def _screened(rng: Generator, room: Room, power: float) -> None:
    """A lamp behind a standing screen: the eye does not see it."""
    place = free_place(rng, room, 0.6)
    if place is None:
        return
    away = place - room.eye
    angle = np.arctan2(away[0], away[2])
    wide, high = rng.uniform(0.6, 1.6), rng.uniform(0.8, 0.85 * room.size[1])
    screen = boxes([(-wide / 2, 0, 0, wide, high, 0.03)])
    room.add(rng.choice(room.opaque), moved(screen, turn_y(angle), place))
    behind = turn_y(angle) @ (0, high * rng.uniform(0.3, 0.9), 0.25) + place
    room.lamps.append(bulb(rng, behind, rng.uniform(0.02, 0.08), power))


def _needed_power(room: Room, brightness: float) -> float:
    """Watts for a mean radiance of `brightness`, as in an integrating sphere with the room's surface and albedo."""
    width, height, depth = room.size
    surface_area = 2 * (width * depth + width * height + depth * height)
    albedo = 0.85 * room.albedo
    return brightness * np.pi * surface_area * (1 - albedo) / albedo


def lamp_light(room: Room, brightness: float) -> list[str]:
    """XML of the lamps. Their powers add up to what the room needs, minus what comes through windows."""
    total, parts = _needed_power(room, brightness), []
    shared = sum(min(lamp.power, 1) for lamp in room.lamps)
    for lamp in room.lamps:
        radiance = total * lamp.power / max(shared, 1) / (np.pi * lamp.area) * lamp.colour
        emitter = f'<emitter type="area"><rgb name="radiance" value="{numbers(radiance)}"/></emitter>'
        parts.append(lamp.xml.format(emitter))
    return parts


def sky_light(rng: Generator, room: Room, kind: str, brightness: float, folder: Path) -> list[str]:
    """XML of the environment, if one is seen: constant, or a sky with or without a sun."""
    if kind not in ("windows", "courtyard"):
        return []
    # Indoors, walls block nearly all samples of a sun. With a strong sun the sky would get no samples at all.
    sun = 0.0 if room.panes else rng.choice([0, 1]) * rng.uniform(0.5, 4 if kind == "courtyard" else 1.5)
    scale = brightness / room.albedo / (1 + sun)
    if kind == "windows":
        scale = _needed_power(room, brightness) / (np.pi * room.window * (0.5 + 0.2 * sun))
    if not sun and rng.random() < 0.3:
        radiance = numbers(scale * _lamp_colour(rng))
        return [f'<emitter type="constant"><rgb name="radiance" value="{radiance}"/></emitter>']
    rows = (sky(rng, sun) * scale)[::-1].astype("<f4")
    (folder / "sky.pfm").write_bytes(f"PF\n{rows.shape[1]} {rows.shape[0]}\n-1.0\n".encode() + rows.tobytes())
    return ['<emitter type="envmap"><string name="filename" value="sky.pfm"/></emitter>']
