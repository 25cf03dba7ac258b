"""Noisy pairs, seeds, recorded kernels, sensors: on the real renderer."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from noisewalk.renderer import RendererError
from noisewalk.renderer.backend import Backend, choose_backend
from noisewalk.renderer.optix import OptixDenoiser
from noisewalk.renderer.path_tracer import PathTracer, Sensor, frame_seed, reference_seed
from noisewalk.renderer.reference import ReferenceCache
from noisewalk.renderer.scene import Scene, open_scene
from tests.renderer.helpers import load, view


def test_seeds_are_never_reused_and_disjoint_from_the_references() -> None:
    references = {reference_seed(index, half) for index in range(5000) for half in (0, 1)}
    assert len(references) == 10_000 and max(references) < 2**32
    for run_seed in (0, 1, 12345, 2**31 - 1):
        frames = {frame_seed(run_seed, index, half) for index in range(5000) for half in (0, 1)}
        assert len(frames) == 10_000 and max(frames) < 2**32
        # The scalar variant takes this of it, at 512x512.
        assert {seed * 2**19 % 2**32 for seed in frames}.isdisjoint(seed * 2**19 % 2**32 for seed in references)


def test_a_pair_has_the_promised_shapes_and_ranges(tiny_scene: Scene) -> None:
    pair = PathTracer(tiny_scene, 48, 32, 8, 0).render_pair(view(tiny_scene), 3)
    for frame in (pair.a, pair.b):
        for image in (frame.color, frame.albedo, frame.normal):
            assert image.shape == (32, 48, 3) and image.dtype == torch.float32 and image.isfinite().all()
        assert frame.color.min() >= 0
        assert frame.albedo.min() >= 0 and frame.albedo.max() <= 1
        assert frame.normal.norm(dim=-1).max() <= 1 + 1e-5
    assert (pair.index, pair.spp) == (3, 8)


def test_halves_are_independent_and_unbiased(tiny_scene: Scene) -> None:
    tracer = PathTracer(tiny_scene, 24, 16, 8, 0)
    camera = view(tiny_scene, 24, 16)
    pairs = [tracer.render_pair(camera, index) for index in range(60)]
    a, b = (torch.stack([half.color for half in halves]) for halves in zip(*((p.a, p.b) for p in pairs), strict=True))
    # Each pixel counts the same: the few that see the lamp's edge would drown all others.
    a_noise, b_noise = ((half - half.mean(dim=0)) / (half.std(dim=0) + 1e-6) for half in (a, b))
    assert abs((a_noise * b_noise).mean()) < 0.03 * a_noise.square().mean()
    # Both estimate the same picture: per pixel, the means differ as much as their noise predicts.
    variance = (a.var(dim=0) + b.var(dim=0)) / len(pairs)
    z_squared = (a.mean(dim=0) - b.mean(dim=0)).square()[variance > 1e-10] / variance[variance > 1e-10]
    assert 0.8 < z_squared.mean() < 1.25


def test_frames_are_reproducible_and_differ_by_index(tiny_scene: Scene) -> None:
    first = PathTracer(tiny_scene, 48, 32, 4, 7).render_pair(view(tiny_scene), 0)
    again = PathTracer(tiny_scene, 48, 32, 4, 7).render_pair(view(tiny_scene), 0)
    later = PathTracer(tiny_scene, 48, 32, 4, 7).render_pair(view(tiny_scene), 1)
    assert torch.equal(first.a.color, again.a.color) and torch.equal(first.b.color, again.b.color)
    assert not torch.equal(first.a.color, later.a.color) and not torch.equal(first.a.color, first.b.color)


def test_features_belong_to_the_same_pixel_samples_as_the_color(llvm_backend: Backend, tiny_scene: Scene) -> None:
    import mitsuba as mi

    tracer = PathTracer(tiny_scene, 48, 32, 4, 0)
    pair = tracer.render_pair(view(tiny_scene), 5)
    nested = mi.load_dict(
        {"type": "aov", "aovs": "albedo:albedo,normal:sh_normal", "path": {"type": "path", "max_depth": 4}}
    )
    both = np.array(
        mi.render(tiny_scene.mi_scene, sensor=tiny_scene.sensor, integrator=nested, spp=4, seed=frame_seed(0, 5, 0))
    )
    # The floor's albedo is one colour; its coverage of a pixel comes from the very samples.
    np.testing.assert_allclose(pair.a.normal.cpu().numpy(), both[..., -3:], atol=1e-4)


@pytest.mark.parametrize("name", ["llvm_backend", pytest.param("cuda_backend", marks=pytest.mark.gpu)])
def test_moving_the_camera_recompiles_nothing(name: str, tiny_xml: Path, request: pytest.FixtureRequest) -> None:
    """Looks at what Dr.Jit reports, kernel by kernel."""
    variant = request.getfixturevalue(name).variant
    import drjit as dr

    scene = open_scene(str(tiny_xml), variant)
    tracer = PathTracer(scene, 40, 24, 4, 0)
    cache_dir = request.getfixturevalue("tmp_path")
    references = ReferenceCache(cache_dir, scene, 40, 24)
    references.get(view(scene, 40, 24), 8)
    for index in range(2):
        tracer.render_pair(view(scene, 40, 24, shift=0.01 * index), index)
    with dr.scoped_set_flag(dr.JitFlag.KernelHistory, True):
        dr.kernel_history_clear()
        for index in range(2, 6):
            camera = replace(view(scene, 40, 24, shift=0.1 * index), fov_y=40.0 + index)
            tracer.render_pair(camera, index)
        # A reference between frames must not cost a recompilation either.
        references.get(view(scene, 40, 24, shift=-0.5), 8)
        tracer.render_pair(view(scene, 40, 24, shift=0.7), 6)
        compiled = [k for k in dr.kernel_history() if k["type"] == dr.KernelType.JIT]
    assert len(compiled) >= 10
    missed = [k for k in compiled if not k["cache_hit"]]
    assert not missed


@pytest.mark.parametrize("integrator", ["path", "direct"])
def test_recorded_pictures_are_those_that_are_traced_anew(
    integrator: str, tmp_path: Path, llvm_backend: Backend
) -> None:
    old = '<integrator type="path"><integer name="max_depth" value="4"/>'
    scene = load(tmp_path, llvm_backend, old, f'<integrator type="{integrator}">')
    features = PathTracer(scene, 48, 32, 4, 0).features
    sensors = Sensor(scene, 48, 32), Sensor(scene, 24, 40)
    for index in range(4):
        for sensor in sensors:
            camera = replace(view(scene, sensor.width, sensor.height, shift=0.1 * index), fov_y=40.0 + index)
            path, other = (scene.integrator, index), (features, index + 1)
            for passes, spp in (([path], 4), ([path], 1), ([other], 4), ([path, other], 4), ([path, other, path], 1)):
                recorded = [np.array(image) for image in sensor.render(camera, passes, spp)]
                # Not every time, because a new trace also sets the right size of the film.
                if index % 2:
                    for picture, (renders, seed) in zip(recorded, passes, strict=True):
                        assert np.array_equal(picture, np.array(sensor.render_bare(camera, renders, spp, seed)))


def test_what_cannot_be_recorded_is_traced_anew(
    tmp_path: Path, llvm_backend: Backend, capfd: pytest.CaptureFixture[str]
) -> None:
    lens = '<sensor type="thinlens"><float name="aperture_radius" value="0.05"/>'
    lens += '<float name="focus_distance" value="4"/>'
    blurred = PathTracer(load(tmp_path, llvm_backend, '<sensor type="perspective">', lens), 48, 32, 16, 0)
    sharp = PathTracer(load(tmp_path, llvm_backend, "path", "path"), 48, 32, 16, 0)
    for index in range(3):
        normals = []
        for tracer in (blurred, sharp):
            normals.append(tracer.render_pair(view(tracer.sensor.scene, shift=0.1 * index), index).a.normal)
        assert 0 < (normals[0] - normals[1]).abs().mean() < 0.05
    assert "".join(capfd.readouterr()) == ""


def test_variants_agree_on_the_picture(tiny_xml: Path, llvm_backend: Backend, tmp_path: Path) -> None:
    import mitsuba as mi

    means = {}
    for variant in ("scalar_rgb", llvm_backend.variant):
        mi.set_variant(variant)
        scene = open_scene(str(tiny_xml), variant)
        reference = ReferenceCache(tmp_path / variant, scene, 24, 16).get(view(scene, 24, 16), 512)
        means[variant] = reference
    llvm_backend.activate()
    a, b = (means[v].mean for v in means)
    noise = np.mean([(r.a - r.b) ** 2 / 4 for r in means.values()])
    assert np.mean((a - b) ** 2) < 4 * noise


def test_film_crop_keeps_its_place_at_another_size(tmp_path: Path, backend: Backend) -> None:
    crop = """<integer name="height" value="32"/>
      <integer name="crop_width" value="24"/><integer name="crop_height" value="16"/>
      <integer name="crop_offset_x" value="12"/><integer name="crop_offset_y" value="8"/>"""
    whole = load(tmp_path, backend, "path", "path")
    full = PathTracer(whole, 96, 64, 64, 0).render_pair(view(whole, 96, 64), 0)
    cropped = load(tmp_path, backend, '<integer name="height" value="32"/>', crop)
    assert (cropped.start.width, cropped.start.height) == (24, 16)
    assert not cropped.warnings and not whole.warnings
    part = PathTracer(cropped, 48, 32, 64, 0).render_pair(view(cropped, 48, 32), 0)
    window = full.a.normal[16:48, 24:72]
    assert (part.a.normal - window).abs().mean() < 0.01 < (part.a.normal - full.a.normal[:32, :48]).abs().mean()


@pytest.mark.gpu
def test_cuda_pairs_stay_on_the_gpu(tiny_xml: Path, cuda_backend: Backend) -> None:
    scene = open_scene(str(tiny_xml), cuda_backend.variant)
    assert PathTracer(scene, 48, 32, 4, 0).render_pair(view(scene), 0).a.color.is_cuda


@pytest.mark.gpu
def test_the_optix_denoiser_takes_noise_away(tiny_xml: Path, cuda_backend: Backend) -> None:
    scene = open_scene(str(tiny_xml), cuda_backend.variant)
    camera = view(scene)
    pair = PathTracer(scene, 48, 32, 4, 0).render_pair(camera, 0)
    truth = PathTracer(scene, 48, 32, 4096, 0).render_pair(camera, 0).b.color
    denoised = OptixDenoiser(48, 32)(pair.a, camera)
    assert (denoised - truth).square().mean() < 0.5 * (pair.a.color - truth).square().mean()


FLAT = """<scene version="3.0.0"><integrator type="path"/><emitter type="constant"/>
  <sensor type="perspective"><float name="fov" value="53.130102354155978"/><string name="fov_axis" value="y"/>
  <film type="hdrfilm"><integer name="width" value="100"/><integer name="height" value="70"/></film></sensor>
  <shape type="rectangle"><transform name="to_world"><scale value="9"/><rotate y="1" angle="180"/>
  <translate z="1"/></transform></shape></scene>"""


@pytest.mark.parametrize("variant", ["scalar_rgb", "llvm"])
def test_halves_share_no_stream_of_random_numbers(variant: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """One sample a pixel: where in its pixel it fell are the stream's first two numbers."""
    backend = request.getfixturevalue("llvm_backend") if variant == "llvm" else choose_backend(variant)
    backend.activate()
    (tmp_path / "flat.xml").write_text(FLAT)
    scene = open_scene(str(tmp_path / "flat.xml"), backend.variant)
    streams = []
    for index in range(3):
        pair = PathTracer(scene, 100, 70, 1, 0).render_pair(scene.start, index)
        for half in (pair.a, pair.b):
            assert half.position is not None
            pixels = half.position[..., :2].double().cpu().numpy() * 70  # the wall is one unit away, and as high
            streams.append(np.mod(pixels, 1.0).reshape(-1, 2))
    trees = [cKDTree(stream) for stream in streams]
    for one in range(len(trees)):
        for other in range(one):
            near = trees[one].count_neighbors(trees[other], 3e-5)
            assert near <= 3, (one, other)  # by chance: 7000 x 7000 pairs in an area of 3e-9


def test_what_cannot_be_recorded_is_said_and_other_errors_are_not_hidden(
    tmp_path: Path, llvm_backend: Backend, tiny_scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    import drjit as dr

    lens = '<sensor type="thinlens"><float name="aperture_radius" value="0.05"/>'
    lens += '<float name="focus_distance" value="4"/>'
    tracer = PathTracer(load(tmp_path, llvm_backend, '<sensor type="perspective">', lens), 48, 32, 4, 0)
    for index in range(2):
        tracer.render_pair(view(tracer.sensor.scene), index)
    assert [line for line in tracer.sensor.warnings if "cannot be recorded" in line] == tracer.sensor.warnings
    assert len(tracer.sensor.warnings) == 1

    def short_of_memory(function: object) -> object:
        raise RuntimeError("jit_malloc(): out of memory! Could not allocate 17179869184 bytes")

    monkeypatch.setattr(dr, "freeze", short_of_memory)
    tracer = PathTracer(tiny_scene, 48, 32, 4, 0)
    with pytest.raises(RendererError, match="out of memory") as raised:
        tracer.render_pair(view(tiny_scene), 0)
    assert str(tiny_scene.file) in str(raised.value) and not tracer.sensor.warnings


SCALED = """<scene version="3.0.0"><integrator type="path"/><emitter type="constant"/>
  <sensor type="perspective"><float name="fov" value="{fov}"/>
  <float name="near_clip" value="{near}"/><float name="far_clip" value="{far}"/>
  <transform name="to_world"><lookat origin="{x}, {y}, {z}" target="0, 0, 0" up="0, 1, 0"/></transform>
  <film type="hdrfilm"><integer name="width" value="24"/><integer name="height" value="16"/><rfilter type="box"/></film>
  </sensor><shape type="cube"><transform name="to_world"><scale value="{room}"/></transform></shape></scene>"""


@pytest.mark.parametrize("fov", [0.001, 45.0, 179.0])
@pytest.mark.parametrize("unit", [1e-7, 1.0, 1e7])
def test_pictures_are_bare_mitsubas_at_any_scale(tmp_path: Path, backend: Backend, unit: float, fov: float) -> None:
    import mitsuba as mi

    numbers = {"fov": fov, "room": 9 * unit, "near": unit / 100, "far": unit * 1000}
    numbers |= dict(zip("xyz", (2 * unit, 3 * unit, 4 * unit), strict=True))
    (tmp_path / "scaled.xml").write_text(SCALED.format(**numbers))
    scene = open_scene(str(tmp_path / "scaled.xml"), backend.variant)
    tracer = PathTracer(scene, 24, 16, 16, 0)
    ours = tracer.render_pair(scene.start, 0).a
    bare = mi.load_file(str(tmp_path / "scaled.xml"))
    expected = np.array(mi.render(bare, integrator=tracer.features, spp=16))[..., -3:]
    assert ours.position is not None
    found = ours.position.cpu().numpy()
    pixel = 9 * unit * math.tan(math.radians(min(fov, 120)) / 2) / 12  # its edge on the wall, about
    assert np.abs(found - expected).mean() < pixel and np.abs(expected).min(axis=(0, 1)).max() > 0.1 * unit
