"""What stands, hangs and floats in a room."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from noisewalk.scenes.rooms.plan import UP, Room, free_place
from noisewalk.scenes.rooms.shapes import CLUTTER, SOLIDS, boxes, moved, random_rotation, standing, turn_y


def furnish(rng: Generator, room: Room) -> None:
    """Adds furniture, then 10 to 60 things on it, on the floor, on walls and in the air."""
    for _ in range(rng.integers(2, 8)):
        _add_furniture(rng, room)
    for _ in range(rng.integers(10, 61)):
        where = rng.choice(["floor", "spot", "wall", "air"], p=[0.4, 0.35, 0.17, 0.08])
        if where == "wall":
            _hang_picture(rng, room)
        elif where == "spot" and room.spots:
            x, y, z, radius = room.spots.pop(rng.integers(len(room.spots)))
            _stand(rng, room, np.array([x, y, z]), radius * 1.7)
        elif where == "air" and (place := free_place(rng, room, 0.2)) is not None:
            mesh = standing(SOLIDS[rng.integers(len(SOLIDS))](rng), rng.uniform(0.1, 0.35))
            place = place + rng.uniform(0.8, room.size[1] - 0.6) * UP
            room.add(rng.choice(room.solid), moved(mesh, random_rotation(rng), place))
        else:
            size = min(np.exp(rng.uniform(np.log(0.2), np.log(1.6))), 0.6 * room.size.min())
            if (place := free_place(rng, room, 0.6 * size)) is not None:
                _stand(rng, room, place, size)


def _stand(rng: Generator, room: Room, place: np.ndarray, size: float) -> None:
    """One thing of `size` metres that stands at `place`."""
    if rng.random() < 0.65:
        mesh, materials = SOLIDS[rng.integers(len(SOLIDS))](rng), room.solid
    else:
        mesh, materials = CLUTTER[rng.integers(len(CLUTTER))](rng), room.opaque
    turn = random_rotation(rng) if rng.random() < 0.15 else turn_y(rng.uniform(0, 2 * np.pi))
    room.add(rng.choice(materials), moved(standing(moved(mesh, turn), size), np.eye(3), place + 1e-3 * UP))


def _add_furniture(rng: Generator, room: Room) -> None:
    """A table, a chest, steps, or a shelf of boards, with spots for small things."""
    wide, deep, high = rng.uniform(0.5, 1.6), rng.uniform(0.4, 0.9), rng.uniform(0.3, 1.0)
    place = free_place(rng, room, 0.5 * np.hypot(wide, deep))
    if place is None:
        return
    kind, leg = rng.integers(4), rng.uniform(0.02, 0.08)
    tops = [high]
    rows: list[tuple] = [(0, 0, 0, wide, high, deep)]
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
    """A flat panel on a wall: picture, mirror or board, with or without a frame."""
    if not room.blank:
        return
    ahead = room.target - room.eye
    length, rotation, foot = max((room.side(k) for k in rng.choice(room.blank, 2)), key=lambda side: side[2] @ ahead)
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
