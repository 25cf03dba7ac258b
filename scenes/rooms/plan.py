"""What all builders of a room share: the room as far as it is built, and free places in it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator

from noisewalk.scenes.rooms.shapes import Mesh, turn_y

THICK = 0.15  # of the walls
UP = np.array([0.0, 1.0, 0.0])


@dataclass
class Lamp:
    """A Mitsuba shape that shines.

    xml:    with a gap for the emitter.
    area:   in square metres.
    power:  its part of the power of all lamps.
    colour: (3,) linear, of luminance 1.
    """

    xml: str
    area: float
    power: float
    colour: np.ndarray


@dataclass
class Room:
    """What has been built so far. Lengths in metres.

    size:   width, height and depth inside, along x, y and z.
    parts:  the meshes of each material.
    taken:  circles (x, z, radius) on the floor that are not free.
    spots:  places (x, y, z, radius) on furniture where small things can stand.
    albedo: mean over walls, floor and ceiling.
    blank:  numbers of the walls without openings.
    panes:  whether windows have glass.
    window: area of all openings to the sky.
    """

    size: np.ndarray
    materials: dict[str, str]
    solid: list[str]
    opaque: list[str]
    albedo: float
    parts: dict[str, list[Mesh]] = field(default_factory=dict)
    lamps: list[Lamp] = field(default_factory=list)
    taken: list[tuple] = field(default_factory=list)
    spots: list[tuple] = field(default_factory=list)
    eye: np.ndarray = field(default_factory=lambda: np.zeros(3))
    target: np.ndarray = field(default_factory=lambda: np.zeros(3))
    blank: list[int] = field(default_factory=list)
    window: float = 0.0
    panes: bool = False

    def add(self, material: str, mesh: Mesh) -> None:
        """Adds a mesh of this material."""
        self.parts.setdefault(material, []).append(mesh)

    def side(self, number: int) -> tuple[float, np.ndarray, np.ndarray]:
        """Length of a wall, the rotation of its axes (u along it, y up, z outwards), and the middle of its foot."""
        along, out = (0, 2) if number % 2 == 0 else (2, 0)
        rotation = turn_y(number * np.pi / 2)
        return self.size[along], rotation, rotation @ (0, 0, self.size[out] / 2)


def somewhere(rng: Generator, room: Room, margin: float, height: float = 0) -> np.ndarray:
    """A point at this height, `margin` or more from the walls."""
    x, z = rng.uniform(-1, 1, 2) * np.maximum(room.size[[0, 2]] / 2 - margin, 0)
    return np.array([x, height, z])


def free_place(rng: Generator, room: Room, radius: float) -> np.ndarray | None:
    """The middle of a free circle on the floor, which is then taken; None if a few tries find none.

    Most places are in view. None is so near that it fills the picture.
    """
    ahead = (room.target - room.eye) * (1, 0, 1)
    across = turn_y(np.pi / 2) @ ahead
    bound = np.maximum(room.size / 2 - radius - 0.02, 0)
    for _ in range(20):
        place = somewhere(rng, room, radius + 0.02)
        if rng.random() < 0.75:  # a place that the eye sees
            distance = rng.uniform(0.35, 2)
            place = room.eye + distance * (ahead + rng.uniform(-0.6, 0.6) * across)
            place = np.clip(place, -bound, bound) * (1, 0, 1)
        if np.hypot(*(place - room.eye)[[0, 2]]) > 0.3 + 2.5 * radius and all(
            np.hypot(place[0] - x, place[2] - z) > radius + r for x, z, r in room.taken
        ):
            room.taken.append((place[0], place[2], radius))
            return place
    return None


def numbers(values: np.ndarray) -> str:
    """Numbers as Mitsuba reads them."""
    return ", ".join(f"{v:.5g}" for v in values)
