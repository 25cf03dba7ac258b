"""Random textures and skies for rooms."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

SIZE = 256


def random_colour(rng: Generator, low: float = 0.03, high: float = 0.85) -> np.ndarray:
    """(3,) linear albedo, from grey to saturated."""
    saturation = rng.choice([0.05, 0.3, 0.7, 0.97], p=[0.35, 0.3, 0.2, 0.15])
    hue = np.clip(np.abs((rng.random() * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return rng.uniform(low**0.5, high**0.5) ** 2 * (1 - saturation * (1 - hue))


def clouds(rng: Generator, slope: float, shape: tuple[int, int] = (SIZE, SIZE)) -> np.ndarray:
    """Noise in [0, 1] that tiles. Its amplitude falls with frequency ** -slope."""
    fy, fx = np.fft.fftfreq(shape[0])[:, None] * shape[0], np.fft.rfftfreq(shape[1])[None, :] * shape[1]
    falloff = np.maximum(np.hypot(fx, fy), 1) ** -slope
    noise = np.fft.irfft2(np.fft.rfft2(rng.normal(size=shape)) * falloff, shape)
    return (noise - noise.min()) / np.ptp(noise)


def texture(rng: Generator) -> np.ndarray:
    """(SIZE, SIZE, 3) linear picture in [0, 1] that tiles, of a random kind."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    kind = _KINDS[rng.integers(len(_KINDS))]
    return np.clip(kind(rng, x, y), 0.01, 0.9)


def _mixed(rng: Generator, t: np.ndarray, count: int = 2) -> np.ndarray:
    """Two or more colors, mixed by values in [0, 1]."""
    colours = np.array([random_colour(rng) for _ in range(count)])
    return np.stack([np.interp(t, np.linspace(0, 1, count), c) for c in colours.T], axis=-1)


def _stone(rng: Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _mixed(rng, clouds(rng, rng.uniform(0.6, 2)), 4)


def _stripes(rng: Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    wave = np.sin(2 * np.pi * (rng.integers(2, 30) * x + rng.integers(0, 3) * y))
    return _mixed(rng, np.clip(wave * rng.choice([0.5, 20]) + 0.5, 0, 1))


def _wood(rng: Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    boards = int(rng.choice([4, 8, 16]))
    bend = clouds(rng, 2) * rng.uniform(2, 8) + x * boards
    grain = 0.7 * (bend * 3 % 1) + 0.3 * np.repeat(clouds(rng, 0.3)[:1], SIZE, axis=0)
    grain = (grain + rng.random(boards)[(x * boards).astype(int)]) / 2
    base, dark = np.array([0.55, 0.33, 0.16]) * rng.uniform(0.3, 1.2), rng.uniform(0.3, 0.7)
    return base * (dark + (1 - dark) * grain[..., None])


def _tiles(rng: Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    rows, columns = rng.choice([4, 8, 16], 2)
    shift = np.where((y * rows).astype(int) % 2, rng.choice([0, 0.5]), 0)
    u, v = x * columns + shift, y * rows
    gap = (np.minimum(u % 1, v % 1) < rng.uniform(0.03, 0.12))[..., None]
    tone = rng.uniform(0.5, 1, (rows, columns + 1))[v.astype(int) % rows, u.astype(int) % columns]
    return np.where(gap, random_colour(rng), _mixed(rng, clouds(rng, 1.2)) * tone[..., None])


def _checker(rng: Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    count = int(rng.choice([2, 8, 16, 32]))
    return _mixed(rng, ((x * count).astype(int) + (y * count).astype(int)) % 2)


def _writing(rng: Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Lines of words made of small strokes, dark on light."""
    lines = int(rng.choice([8, 16, 32]))
    ink = rng.random((SIZE // 2, SIZE // 2)).repeat(2, 0).repeat(2, 1) < 0.5
    words = (rng.random((lines, 32)) < 0.8)[(y * lines).astype(int), (x * 32).astype(int)]
    page = ink & words & (y * lines % 1 > 0.4)
    return _mixed(rng, 1 - page) if rng.random() < 0.5 else np.where(page[..., None], 0.03, [0.8, 0.78, 0.7])


def _speckles(rng: Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _mixed(rng, np.floor(clouds(rng, rng.uniform(0.2, 1.5)) * 8) / 8 % 0.5 * 2, 4)


def _photograph(rng: Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Soft colors with some shapes with hard edges in front."""
    picture = np.stack([clouds(rng, 1.6) for _ in range(3)], axis=-1) ** rng.uniform(1, 2)
    for _ in range(rng.integers(2, 12)):
        (cx, cy, r), squash = rng.uniform(0.1, 0.9, 3), rng.uniform(0.3, 3)
        inside = np.hypot(x - cx, (y - cy) * squash) < r * 0.3
        picture = np.where(inside[..., None], _mixed(rng, clouds(rng, 1.2)), picture)
    return picture


_KINDS = (_stone, _stripes, _wood, _tiles, _checker, _writing, _speckles, _photograph)


def sky(rng: Generator, sun: float) -> np.ndarray:
    """(64, 128, 3) radiance of all directions, first row at the zenith. The mean of the upper half is 1.

    sun: how many times as much light as the sky it gives the ground; 0 for no sun.
    """
    zenith, horizon = np.array([0.35, 0.6, 1.1]) * rng.uniform(0.5, 1.2), np.array([1.1, 1.0, 0.9])
    if rng.random() < 0.1:
        zenith, horizon = random_colour(rng, 0.3), random_colour(rng, 0.3)
    up = np.cos((np.arange(64) + 0.5) / 64 * np.pi)[:, None, None]
    picture = np.where(up > 0, horizon + (zenith - horizon) * np.sqrt(np.abs(up)), random_colour(rng, 0.05, 0.4))
    picture = picture * (0.6 + 0.8 * clouds(rng, 1.5, (64, 128))[..., None] ** rng.uniform(0.5, 2))
    picture /= picture[:32].mean()
    row, column = rng.integers(8, 26), rng.integers(0, 128)
    elevation = np.pi / 2 - (row + 0.5) / 64 * np.pi
    texel = (np.pi / 64) ** 2 * np.cos(elevation)
    picture[row, column] += sun * np.pi / (texel * np.sin(elevation)) * np.array([1.05, 1.0, 0.85])
    return picture
