"""Materials of a room as Mitsuba XML. There are few kinds, so that kernels compile quickly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image

from noisewalk.scenes.rooms.plan import numbers
from noisewalk.scenes.rooms.textures import random_colour, texture

GLASS = ("dielectric", "thindielectric", "roughdielectric")
GLOSSY = ("roughplastic", "plastic", "roughconductor", "conductor", "principled")
METALS = ("Al", "Au", "Cu", "Ag", "Cr", "W", "none")


def texture_xml(rng: Generator, folder: Path, name: str) -> tuple[str, str, float]:
    """Writes a texture. Returns its name, its XML and its mean albedo."""
    picture = texture(rng)
    Image.fromarray(np.uint8(255 * picture ** (1 / 2.2))).save(folder / f"{name}.png")
    scale = np.exp(rng.uniform(np.log(0.4), np.log(5)))
    xml = f'<texture type="bitmap" id="{name}"><string name="filename" value="{name}.png"/>'
    return name, f'{xml}<transform name="to_uv"><scale value="{scale:.3f}"/></transform></texture>', picture.mean()


def colour(
    rng: Generator, pictures: list, textured: float, low: float, pale: float = 0
) -> tuple[tuple[str, str], float]:
    """XML before and after the name of a reflectance, and its mean albedo.

    It is a texture with probability `textured`, else a color. pale: from 0 (vivid) to 1 (grey).
    """
    if rng.random() < textured:
        name, _, tone = pictures[rng.integers(len(pictures))]
        return (f'<ref id="{name}" name="', '"/>'), tone
    colour = random_colour(rng, low)
    colour = colour + pale * (colour.max() - colour)
    return ('<rgb name="', f'" value="{numbers(colour)}"/>'), colour.mean()


def bsdf(rng: Generator, name: str, family: str, colour: tuple[str, str]) -> str:
    """XML of a material of this family. `colour` is used if the family has a color."""

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


def _metal(rng: Generator, tint: Callable[[str], str]) -> str:
    metal = rng.choice(METALS)
    return f'<string name="material" value="{metal}"/>' + (tint("specular_reflectance") if metal == "none" else "")
