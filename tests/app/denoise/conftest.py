"""A shot of the tiny scene, and how renderers would write it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
import torch

from noisewalk.renderer.backend import Backend
from noisewalk.renderer.frame import Camera, Frame, NoisyPair
from noisewalk.renderer.path_tracer import PathTracer
from noisewalk.renderer.scene import open_scene

FRAMES = 2


@dataclass(frozen=True, eq=False)
class RenderedShot:
    """Frames of 48x32 at 2 spp, along the path of a bundled scene, and what the first would be without noise."""

    pairs: list[NoisyPair]
    reference: torch.Tensor

    @property
    def cameras(self) -> list[Camera]:
        """What saw each frame."""
        return [pair.camera for pair in self.pairs if pair.camera is not None]


@pytest.fixture(scope="session")
def shot(chosen_backend: Backend) -> RenderedShot:
    """Rendered once."""
    chosen_backend.activate()
    scene = open_scene("cornell", chosen_backend.variant)
    assert scene.path is not None
    cameras = [scene.path.camera(10 * index, 48, 32) for index in range(FRAMES)]
    tracer, long = PathTracer(scene, 48, 32, 2, seed=0), PathTracer(scene, 48, 32, 256, seed=1)
    # The renderer's memory is its own: a copy of what it has rendered stays.
    before = [cameras[0], *cameras]
    pairs = [with_motion(tracer.render_pair(camera, i), before[i]) for i, camera in enumerate(cameras)]
    return RenderedShot(pairs, with_motion(long.render_pair(cameras[0], 0), cameras[0]).mean("color"))


def with_motion(pair: NoisyPair, before: Camera) -> NoisyPair:
    """A copy of the pair, with its motion since another camera saw it."""

    def kept(frame: Frame) -> Frame:
        assert frame.position is not None and pair.camera is not None
        parts = [part.cpu().clone() for part in (frame.color, frame.albedo, frame.normal, frame.position)]
        return Frame(*parts, motion=seen_at(before, parts[3]) - seen_at(pair.camera, parts[3]))

    return replace(pair, a=kept(pair.a), b=kept(pair.b))


def seen_at(camera: Camera, points: torch.Tensor) -> torch.Tensor:
    """Where a camera sees points (..., 3), (..., 2) in pixels from the top left."""
    to_world = torch.from_numpy(camera.to_world)
    left, up, forward = ((points.double() - to_world[:3, 3]) @ to_world[:3, :3]).unbind(dim=-1)
    focal = camera.height / 2 / np.tan(np.radians(camera.fov_y) / 2)
    x = camera.width * camera.principal_point[0] - focal * left / forward
    y = camera.height * camera.principal_point[1] - focal * up / forward
    return torch.stack([x, y], dim=-1).float()


def ndc_of_pbrt(camera: Camera) -> np.ndarray:
    """`worldToNDC` as pbrt-v4 writes it: it takes the shorter side of the picture to 0 to 1, and multiplies columns."""
    short = min(camera.width, camera.height)
    focal = camera.height / short / np.tan(np.radians(camera.fov_y) / 2)
    screen = np.array([[focal, 0, 0, 0], [0, focal, 0, 0], [0, 0, 1.01, -0.01], [0, 0, 1, 0]])
    half = np.array([[0.5, 0, 0, 0.5], [0, 0.5, 0, 0.5], [0, 0, 0.5, 0.5], [0, 0, 0, 1]])
    matrix: np.ndarray = half @ screen @ np.linalg.inv(camera.to_world @ np.diag([-1.0, 1.0, 1.0, 1.0]))
    return matrix


def layers(half: Frame) -> dict[str, np.ndarray]:
    """The parts of a frame by our names."""
    return {name: image.numpy() for name, image in vars(half).items() if image is not None}


def halves(shot: RenderedShot) -> Iterator[tuple[int, int, dict[str, np.ndarray]]]:
    """The index, the seed, and the parts by our names of all halves of a shot."""
    for index, pair in enumerate(shot.pairs):
        yield index, 0, layers(pair.a)
        yield index, 1, layers(pair.b)


def channels(name: str, image: np.ndarray, components: str = "RGB") -> dict[str, np.ndarray]:
    """The channels of a layer, by their names."""
    if image.ndim == 2:
        return {name: image}
    return {f"{name}.{c}" if name else c: np.ascontiguousarray(image[..., i]) for i, c in enumerate(components)}


def write(file: Path, *parts: Mapping[str, np.ndarray], names: Sequence[str] = (), **attributes: Any) -> None:
    """An EXR file; several parts under names."""
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage} | attributes
    made = [
        OpenEXR.Part(
            dict(header), {n: OpenEXR.Channel(n, np.ascontiguousarray(p)) for n, p in one.items()}, *names[i : i + 1]
        )
        for i, one in enumerate(parts)
    ]
    OpenEXR.File(made).write(str(file))


def write_mitsuba(folder: Path, shot: RenderedShot, both: bool = True) -> list[str]:
    """As Mitsuba's `aov` integrator does; returns the words that name the shot."""
    folder.mkdir(exist_ok=True)
    for index, seed, of in halves(shot):
        if seed == 0 or both:
            write(
                folder / f"tiny_{'ab'[seed]}_{index:04d}.exr",
                channels("", of["color"])
                | channels("albedo", of["albedo"])
                | channels("nn", of["normal"], "XYZ")
                | channels("pos", of["position"], "XYZ"),
            )
    return [str(folder)]


def write_motion(folder: Path, shot: RenderedShot, numbers: Sequence[int] = (), layer: str = "motion") -> list[str]:
    """Color, albedo, normal and motion, without positions; `numbers` in place of 0, 1, ..."""
    folder.mkdir()
    for index, seed, of in halves(shot):
        write(
            folder / f"m_h{seed}_{numbers[index] if numbers else index:04d}.exr",
            channels("", of["color"])
            | channels("albedo", of["albedo"])
            | channels("normal", of["normal"], "XYZ")
            | channels(layer, of["motion"], "XY"),
        )
    return [str(folder)]


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def denoise(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `noisewalk denoise`; returns the exit code and what it printed."""
    from noisewalk.app.__main__ import main

    def run(*words: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["denoise", *map(str, words)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def pixels(file: Path) -> dict[str, np.ndarray]:
    """All channels of a file, read by OpenEXR."""
    with OpenEXR.File(str(file), separate_channels=True) as opened:
        return {name: channel.pixels for part in opened.parts for name, channel in part.channels.items()}


def color(file: Path, layer: str = "") -> torch.Tensor:
    """(H, W, 3) of a layer of a file."""
    found = pixels(file)
    return torch.from_numpy(np.stack([found[f"{layer}.{c}" if layer else c] for c in "RGB"], axis=-1))
