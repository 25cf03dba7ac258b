"""Frames as renderers write them, denoised by the real command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
import torch

from noisewalk.app.denoise.frames import Frames
from noisewalk.app.denoise.sequence import find_shot
from noisewalk.denoiser.inputs import InputMaker
from noisewalk.denoiser.metrics import psnr
from noisewalk.denoiser.planes import AGE, part
from tests.app.denoise.conftest import (
    RenderedShot,
    Run,
    channels,
    color,
    halves,
    layers,
    ndc_of_pbrt,
    pixels,
    write,
    write_mitsuba,
)

QUICK = ("--iterations", "1", "--guide", "none")


def write_cycles(folder: Path, shot: RenderedShot) -> list[str]:
    """A part for each pass, and a picture that Cycles has denoised itself. Vectors to the frame before and the next."""
    folder.mkdir()
    for index, seed, of in halves(shot):
        vector = np.concatenate([of["motion"] * (1, -1), np.full_like(of["motion"], 7.0)], axis=-1, dtype=np.float32)
        parts = [
            ("View Layer.Combined", channels("View Layer.Combined", of["color"] * 0.9)),
            ("View Layer.Depth", channels("View Layer.Depth.Z", of["color"][..., 0])),
            ("View Layer.Position", channels("View Layer.Position", of["position"], "XYZ")),
            ("View Layer.Normal", channels("View Layer.Normal", of["normal"], "XYZ")),
            ("View Layer.Vector", channels("View Layer.Vector", vector, "XYZW")),
            ("View Layer.Noisy Image", channels("View Layer.Noisy Image", of["color"])),
            ("View Layer.Denoising Albedo", channels("View Layer.Denoising Albedo", of["albedo"])),
            ("View Layer.Denoising Normal", channels("View Layer.Denoising Normal", of["normal"], "XYZ")),
        ]
        names, planes = zip(*parts, strict=True)
        write(folder / f"walk_h{seed}_{index:04d}.exr", *planes, names=names)
    return [f"{folder}/walk_h0_####.exr"]


def write_cycles_interleaved(folder: Path, shot: RenderedShot) -> list[str]:
    """The same names in one part."""
    folder.mkdir()
    for index, seed, of in halves(shot):
        write(
            folder / f"{seed}_{index:04d}.exr",
            channels("ViewLayer.Combined", of["color"])
            | channels("ViewLayer.Denoising Albedo", of["albedo"])
            | channels("ViewLayer.Denoising Normal", of["normal"], "XYZ"),
        )
    return [f"{folder}/0_%04d.exr", "--half", f"{folder}/1_%04d.exr"]


def write_pbrt(folder: Path, shot: RenderedShot) -> list[str]:
    """The `gbuffer` film. By default its positions are in the camera's space: right, up, forward."""
    folder.mkdir()
    for index, seed, of in halves(shot):
        camera = shot.cameras[index]
        seen = (of["position"] - camera.to_world[:3, 3]) @ camera.to_world[:3, :3] * (-1, 1, 1)
        write(
            folder / f"frame.seed{seed}.{index}.exr",
            channels("", of["color"].astype(np.float16))
            | channels("Albedo", of["albedo"].astype(np.float16))
            | channels("P", np.where(of["position"].any(axis=-1, keepdims=True), seen, 0.0).astype(np.float32), "XYZ")
            | channels("N", -of["normal"], "XYZ")
            | channels("Ns", of["normal"], "XYZ")
            | channels("Variance", of["color"]),
            worldToCamera=np.linalg.inv(camera.to_world @ np.diag([-1.0, 1.0, 1.0, 1.0])).astype(np.float32),
            worldToNDC=ndc_of_pbrt(camera).astype(np.float32),
        )
    return [str(folder)]


def write_arnold(folder: Path, shot: RenderedShot) -> list[str]:
    """RGBA, denoise_albedo, N, Z and variance."""
    folder.mkdir()
    for index, seed, of in halves(shot):
        write(
            folder / f"beauty_{'AB'[seed]}.{index:04d}.exr",
            channels("", of["color"])
            | {"A": np.ones((32, 48), np.float32), "Z": of["color"][..., 0]}
            | channels("denoise_albedo", of["albedo"])
            | channels("N", of["normal"], "XYZ")
            | channels("variance", of["color"]),
        )
    return [f"{folder}/beauty_A.*.exr"]


def write_renderman(folder: Path, shot: RenderedShot) -> list[str]:
    """Ci, albedo, normal, backward, diffuse and specular; lower-case components; both halves in one file."""
    folder.mkdir()
    for index, pair in enumerate(shot.pairs):
        of = layers(pair.a)
        write(
            folder / f"rman.{index:04d}.exr",
            channels("Ci", of["color"], "rgb")
            | channels("beauty2", layers(pair.b)["color"], "rgb")
            | channels("albedo", of["albedo"], "rgb")
            | channels("normal", of["normal"], "xyz")
            | channels("backward", np.dstack([-of["motion"], of["color"][..., 0]]), "xyz")
            | channels("diffuse", of["color"], "rgb")
            | channels("mse", of["color"], "rgb"),
        )
    return [str(folder), "--layers", "half=beauty2"]


def write_choi(folder: Path, shot: RenderedShot) -> list[str]:
    """A file for each layer, as in the data set of Choi et al. 2024. Falcor's motion is in parts of the picture."""
    folder.mkdir()
    for index, pair in enumerate(shot.pairs):
        of = layers(pair.a)
        motion = (of["motion"] / (48, 32)).astype(np.float32)
        write(folder / f"color_{index:04d}.exr", channels("", of["color"]))
        write(folder / f"color2_{index:04d}.exr", channels("", layers(pair.b)["color"]))
        write(folder / f"albedo_{index:04d}.exr", channels("", of["albedo"]))
        write(folder / f"normal_{index:04d}.exr", channels("", of["normal"]))
        write(folder / f"mvec_{index:04d}.exr", channels("", np.dstack([motion, np.zeros_like(motion[..., 0])])))
        write(folder / f"ref_{index:04d}.exr", channels("", of["color"]))
    return [str(folder)]


def write_tungsten(folder: Path, shot: RenderedShot) -> list[str]:
    """`two_buffer_variance`: the mean, A and B of each output."""
    folder.mkdir()
    for index, pair in enumerate(shot.pairs):
        for name, components in (("color", "RGB"), ("albedo", "RGB"), ("normal", "RGB")):
            a, b = layers(pair.a)[name], layers(pair.b)[name]
            for suffix, image in (("", (a + b) / 2), ("A", a), ("B", b)):
                write(folder / f"{name}{index:04d}{suffix}.exr", channels("", image, components))
    return [str(folder)]


def write_pfm(folder: Path, shot: RenderedShot) -> list[str]:
    """oidnDenoise's three files, and a second half."""
    folder.mkdir()
    for index, seed, of in halves(shot):
        for word, image in (("hdr", of["color"]), ("alb", of["albedo"]), ("nrm", of["normal"])):
            data = np.ascontiguousarray(image[::-1], "<f4").tobytes()
            (folder / f"h{seed}.{index}.{word}.pfm").write_bytes(b"PF\n48 32\n-1.0\n" + data)
    return [f"{folder}/h0.#.hdr.pfm"]


# How a shot is written, what the result's layer is called, and what must be found.
CONVENTIONS: dict[str, tuple[Callable[[Path, RenderedShot], list[str]], str, str]] = {
    "mitsuba": (write_mitsuba, "", "color: RGB, albedo: albedo, normal: nn, position: pos"),
    "cycles": (
        write_cycles,
        "View Layer.Combined",
        "color: View Layer.Noisy Image (into View Layer.Combined), albedo: View Layer.Denoising Albedo, "
        "normal: View Layer.Normal, position: View Layer.Position, motion: View Layer.Vector",
    ),
    "cycles-interleaved": (
        write_cycles_interleaved,
        "ViewLayer.Combined",
        "color: ViewLayer.Combined, albedo: ViewLayer.Denoising Albedo, normal: ViewLayer.Denoising Normal",
    ),
    "pbrt": (write_pbrt, "", "color: RGB, albedo: Albedo, normal: Ns, position: P"),
    "arnold": (write_arnold, "", "color: RGB, albedo: denoise_albedo, normal: N, depth: Z"),
    "renderman": (write_renderman, "Ci", "color: Ci, half: beauty2, albedo: albedo, normal: normal, motion: backward"),
    "choi": (write_choi, "", "color: RGB"),
    "tungsten": (write_tungsten, "", "color: RGB"),
    "pfm": (write_pfm, "", "color: RGB"),
}
MOTION = {
    "cycles": "in pixels, to where things were, y up",
    "renderman": "in pixels, from where things were, y down",
    "choi": "in picture sizes, to where things were, y down",
}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_frames_of_a_renderer_come_out_with_less_noise(
    name: str, denoise: Run, shot: RenderedShot, tmp_path: Path
) -> None:
    writer, layer, found = CONVENTIONS[name]
    words = writer(tmp_path / "in", shot)
    code, _, printed = denoise(*words, "-o", tmp_path / "out", *QUICK)
    assert code == 0, printed
    assert f"\n{found}\n" in printed and "warning" not in printed
    assert f"motion: {MOTION[name]} (" in printed if name in MOTION else "things" not in printed
    results = sorted((tmp_path / "out").glob("*.exr"))
    assert len(results) == len(shot.pairs)
    before = psnr(shot.pairs[0].mean("color"), shot.reference)
    after = psnr(_color(results[0], layer), shot.reference)
    assert after > before + 2, (before, after)
    source = tmp_path / "in" / results[0].name
    if source.exists():
        old, new = pixels(source), pixels(results[0])
        changed = {channel for channel in old if not np.array_equal(old[channel], new[channel])}
        assert old.keys() == new.keys() and changed == {c for c in old if c.rpartition(".")[0] == layer} - {"A", "Z"}
        assert all(old[channel].dtype == new[channel].dtype for channel in old)


def _color(file: Path, layer: str) -> torch.Tensor:
    if f"{layer}.r" in pixels(file):
        return torch.from_numpy(np.stack([pixels(file)[f"{layer}.{c}"] for c in "rgb"], axis=-1))
    return color(file, layer).float()


def test_positions_in_the_camera_space_of_pbrt_bring_a_history(shot: RenderedShot, tmp_path: Path) -> None:
    frames = Frames(find_shot(write_pbrt(tmp_path / "in", shot), None), {}, [])
    maker = InputMaker(torch.device("cpu"), guided=False, context=True)
    for index in range(len(shot.pairs)):
        prepared = maker.prepare(frames.read(index).pair())
    assert (part(prepared.a, AGE) > 0).float().mean() > 0.5


def test_windows_attributes_types_and_parts_stay(denoise: Run, shot: RenderedShot, tmp_path: Path) -> None:
    import mitsuba as mi

    attributes = {
        "compression": OpenEXR.PIZ_COMPRESSION,
        "dataWindow": (np.array([-7, 3], np.int32), np.array([40, 34], np.int32)),
        "displayWindow": (np.array([0, 0], np.int32), np.array([29, 39], np.int32)),
        "pixelAspectRatio": 1.5,
        "owner": "somebody",
        "worldToNDC": np.arange(16, dtype=np.float32).reshape(4, 4),
    }
    of, other = layers(shot.pairs[0].a), layers(shot.pairs[0].b)
    for name, one in (("shot_a", of), ("shot_b", other)):
        planes = channels("", one["color"].astype(np.float16)) | {"A": np.full((32, 48), 0.25, np.float16)}
        ids = {"crypto.id": np.arange(32 * 48, dtype=np.uint32).reshape(32, 48)}
        parts = [planes, channels("albedo", one["albedo"]) | ids]
        write(tmp_path / f"{name}.exr", *parts, names=("rgba", "data"), **attributes)
    code, _, printed = denoise(tmp_path / "shot_a.exr", "-o", tmp_path / "out", "--noisy", "--png", *QUICK)
    assert code == 0 and "no normal found" in printed
    result = tmp_path / "out" / "shot_a.exr"
    with OpenEXR.File(str(tmp_path / "shot_a.exr"), True) as before, OpenEXR.File(str(result), True) as after:
        for old, new in zip(before.parts, after.parts, strict=True):
            assert old.name() == new.name() and old.header.keys() == new.header.keys()
            for key in old.header.keys() - {"channels", "chunkCount"}:
                np.testing.assert_equal(new.header[key], old.header[key])
            for name, channel in old.channels.items():
                assert new.channels[name].pixels.dtype == channel.pixels.dtype
                assert np.array_equal(new.channels[name].pixels, channel.pixels) == (name not in "RGB")
        mean = (of["color"].astype(np.float16) + other["color"].astype(np.float16).astype(np.float32)) / 2
        noisy = np.stack([after.parts[0].channels[f"noisy.{c}"].pixels for c in "RGB"], axis=-1)
        np.testing.assert_allclose(noisy, mean, rtol=1e-3, atol=1e-6)
        shown = np.stack([after.parts[0].channels[c].pixels for c in "RGB"], axis=-1)
    read = dict(mi.Bitmap(str(result)).split())
    np.testing.assert_array_equal(np.array(read["<root>"])[..., :3], shown)
    np.testing.assert_array_equal(np.array(read["noisy"]), noisy)
    assert (tmp_path / "out" / "shot_a.png").stat().st_size > 500
