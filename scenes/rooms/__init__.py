"""Random rooms from a seed: any number of different scenes for a denoiser to learn from.

Every room is a folder of its own: scene.xml (Mitsuba 3), one PLY for each material, some PNG textures, and sky.pfm
where daylight comes in. Metres, +y up, floor at y = 0, middle of the room at x = z = 0.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.random import Generator

from noisewalk.scenes.rooms.lamps import add_lamps, lamp_light, sky_light
from noisewalk.scenes.rooms.materials import GLASS, GLOSSY, bsdf, colour, texture_xml
from noisewalk.scenes.rooms.plan import Room, numbers
from noisewalk.scenes.rooms.shapes import join, write_ply
from noisewalk.scenes.rooms.things import furnish
from noisewalk.scenes.rooms.walls import build_walls


def write_room(seed: int, folder: Path) -> Path:
    """Writes room number `seed` (0 or more) into `folder`, and returns the path of its scene.xml.

    The same seed writes the same bytes. Raises OSError where the folder cannot be written.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    kind = rng.choice(["closed", "windows", "annex", "courtyard"], p=[0.3, 0.3, 0.25, 0.15])
    room = _empty_room(rng, folder, kind)
    _place_camera(rng, room)
    build_walls(rng, room, kind)
    add_lamps(rng, room, kind)
    furnish(rng, room)
    brightness = np.exp(rng.uniform(np.log(0.15), np.log(1.8)))
    light = [*sky_light(rng, room, kind, brightness, folder), *lamp_light(room, brightness)]
    file = folder / "scene.xml"
    body = [_camera_xml(rng, room), *room.materials.values(), *_mesh_xml(room, folder), *light]
    file.write_text('<scene version="3.0.0">\n' + "\n".join(body) + "\n</scene>\n")
    return file


def _empty_room(rng: Generator, folder: Path, kind: str) -> Room:
    """A room of a random size, with materials for walls, floor, ceiling, trim and the things in it."""
    size = np.exp(rng.uniform(np.log((2.6, 2.2, 2.8)), np.log((8, 4.5, 9))))
    if kind == "courtyard":
        size = size * (1.5, 1.2, 1.5)
    elif rng.random() < 0.15:
        size[[0, 2]] = rng.uniform(1.5, 2.3), rng.uniform(6, 12)  # a corridor
    pictures = [texture_xml(rng, folder, f"texture{k}") for k in range(rng.integers(2, 5))]
    materials = {picture[0]: picture[1] for picture in pictures}
    families = ["diffuse", *rng.choice(GLOSSY, rng.integers(1, 4), replace=False)]
    low = rng.choice([0.08, 0.3, 0.5], p=[0.15, 0.35, 0.5])
    tones = []
    for name in ("wall", "accent", "floor", "ceiling", "trim"):
        family = rng.choice([f for f in families if "conductor" not in f]) if name in ("floor", "trim") else "diffuse"
        tint, tone = colour(rng, pictures, 0.6 if name == "floor" else 0.25, low, rng.choice([0.9, 0.6, 0]))
        materials[name] = bsdf(rng, name, family, tint)
        tones.append(tone)
    opaque = ["trim"]
    for number in range(rng.integers(6, 12)):
        opaque.append(name := f"material{number}")
        materials[name] = bsdf(rng, name, rng.choice(families), colour(rng, pictures, 0.35, 0.03)[0])
    glass = [f"glass{k}" for k in range(rng.choice([0, 1, 2, 3], p=[0.25, 0.35, 0.25, 0.15]))]
    for name in glass:
        materials[name] = bsdf(rng, name, rng.choice(GLASS, p=[0.7, 0.15, 0.15]), ("", ""))
    return Room(size, materials, opaque + 3 * glass, opaque, float(np.mean(tones[:4])))


def _place_camera(rng: Generator, room: Room) -> None:
    """Puts the eye away from the middle. It looks across the room, and the space around it stays free."""
    half = room.size[[0, 2]] / 2
    x, z = rng.uniform(0.35, 0.95, 2) * (half - 0.35) * rng.choice([-1, 1], 2)
    room.eye = np.array([x, rng.uniform(0.5, min(room.size[1] - 0.4, 2.1)), z])
    room.target = np.array([-x * rng.uniform(0, 0.8), rng.uniform(0.3, 1.6), -z * rng.uniform(0.1, 0.8)])
    room.taken.append((x, z, 0.55))


def _camera_xml(rng: Generator, room: Room) -> str:
    return f"""<integrator type="path"><integer name="max_depth" value="{rng.integers(6, 17)}"/></integrator>
<sensor type="perspective">
  <float name="fov" value="{rng.uniform(35, 80):.2f}"/><string name="fov_axis" value="y"/>
  <float name="near_clip" value="0.01"/><float name="far_clip" value="200"/>
  <transform name="to_world">
    <lookat origin="{numbers(room.eye)}" target="{numbers(room.target)}" up="0, 1, 0"/>
  </transform>
  <sampler type="independent"/>
  <film type="hdrfilm">
    <integer name="width" value="256"/><integer name="height" value="256"/><rfilter type="box"/>
  </film>
</sensor>"""


def _mesh_xml(room: Room, folder: Path) -> list[str]:
    """Writes one PLY for each material. Returns the XML of these shapes."""
    parts = []
    for material, meshes in room.parts.items():
        write_ply(folder / f"{material}.ply", join(meshes))
        parts.append(
            f'<shape type="ply" id="{material}-shape"><string name="filename" value="{material}.ply"/>'
            f'<ref id="{material}"/></shape>'
        )
    return parts
