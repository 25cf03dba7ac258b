"""Walls, windows, and doors to lit rooms."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.random import Generator

from noisewalk.scenes.rooms.lamps import panel
from noisewalk.scenes.rooms.plan import THICK, UP, Room
from noisewalk.scenes.rooms.shapes import Mesh, boxes, join, moved, turn_y


def build_walls(rng: Generator, room: Room, kind: str) -> None:
    """Adds floor, ceiling and walls; kind: closed, windows, annex (a door to a lit room) or courtyard."""
    width, height, depth = room.size
    plan = (-width / 2 - THICK, 0, -depth / 2 - THICK, width + 2 * THICK, THICK, depth + 2 * THICK)
    room.add("floor", boxes([np.add(plan, (0, -THICK, 0, 0, 0, 0))]))
    if kind != "courtyard":
        room.add("ceiling", boxes([np.add(plan, (0, height, 0, 0, 0, 0))]))
    elif rng.random() < 0.5:
        room.add("floor", boxes([(-30, -0.2, -30, 60, 0.15, 60)]))
    sides = rng.permutation(4)
    pierced = sides[: {"windows": rng.integers(1, 3), "annex": 1}.get(kind, 0)]
    accents = rng.random(4) < rng.choice([0.1, 0.5])
    for number in range(4):
        if kind == "courtyard" and rng.random() < 0.35:
            continue
        length, rotation, foot = room.side(number)
        holes = []
        if number in pierced:
            holes = _windows(rng, room, number) if kind == "windows" else [_door(rng, room, number)]
        else:
            room.blank.append(number)
        wall = _wall(length + 2 * THICK, height, holes)
        room.add("accent" if accents[number] else "wall", moved(wall, rotation, foot))
    if kind != "courtyard" and rng.random() < 0.25:
        at = np.arange(-depth / 2 + 0.3, depth / 2, rng.uniform(0.5, 1.2))
        room.add("trim", boxes([(-width / 2, height - 0.15, z, width, 0.15, 0.1) for z in at]))
    if rng.random() < 0.4:
        skirting = [(-width / 2, 0, s * (depth / 2 - 0.01) - 0.01, width, 0.1, 0.02) for s in (-1, 1)]
        room.add("trim", boxes(skirting))


def _wall(length: float, height: float, holes: list[tuple]) -> Mesh:
    """A wall along u with rectangular holes (u0, u1, y0, y1), in the axes of `Room.side`."""
    u = np.unique([-length / 2, length / 2, *(edge for h in holes for edge in h[:2])])
    y = np.unique([0, height, *(edge for h in holes for edge in h[2:])])
    cells = [(u0, u1, y0, y1) for u0, u1 in itertools.pairwise(u) for y0, y1 in itertools.pairwise(y)]
    kept = [c for c in cells if not any(h[0] <= c[0] and c[1] <= h[1] and h[2] <= c[2] and c[3] <= h[3] for h in holes)]
    return boxes([(u0, y0, 0, u1 - u0, y1 - y0, THICK) for u0, u1, y0, y1 in kept])


def _windows(rng: Generator, room: Room, number: int) -> list[tuple]:
    """One to three equal windows in a wall, with bars, blinds or panes."""
    length, rotation, foot = room.side(number)
    count, low, high = rng.integers(1, 4), rng.choice([0, 0.5, 0.9]), room.size[1] * rng.uniform(0.7, 0.95)
    pitch, share = length / count, rng.uniform(0.25, 0.85)
    middles = (np.arange(count) + 0.5) * pitch - length / 2
    holes = [(middle - share * pitch / 2, middle + share * pitch / 2) for middle in middles]
    blinds, crossed = rng.random() < 0.25, rng.random() < 0.6
    room.panes = bool(rng.random() < 0.3)
    for u0, u1 in holes:
        room.window += (u1 - u0) * (high - low) * (0.5 if blinds else 1)
        if blinds:
            at = np.arange(low, high, 0.07)
            tilted = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
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
    """A half-open door to a lit room: most light in the room itself is then indirect."""
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
        leaf = boxes([(0, 0.01, 0, wide, high - 0.02, 0.04)])
        leaf = moved(leaf, turn_y(-rng.uniform(0.4, 1.4)), (u - wide / 2, 0, THICK))
        room.add("trim", moved(leaf, rotation, foot))
    inner = 2 * (across * deep + across * up + deep * up)
    leaving = wide * high * (0.4 if opened else 0.7)
    power = (inner * (1 - 0.9 * room.albedo) + leaving) / leaving
    x, z = rng.uniform((0.15, 0.3), 0.85)
    place = rotation @ (left + across * x, up - 0.05, THICK + deep * z) + foot
    reach = np.exp(rng.uniform(np.log(0.1), np.log(0.5)))
    room.lamps.append(panel(rng, place, place - UP, reach, reach, power * rng.uniform(0.5, 1)))
    return u - wide / 2, u + wide / 2, 0, high
