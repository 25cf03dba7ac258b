"""Noisy pairs, kernels, sensors, references: on the real renderer."""

from __future__ import annotations

import math
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from noisewalk.renderer import RenderCancelled
from noisewalk.renderer.backend import Backend, choose_backend
from noisewalk.renderer.bundled import bundled_scenes
from noisewalk.renderer.default_path import default_path
from noisewalk.renderer.exr import write_exr
from noisewalk.renderer.frame import Camera
from noisewalk.renderer.optix import OptixDenoiser
from noisewalk.renderer.path_tracer import PathTracer, View, frame_seed, reference_seed
from noisewalk.renderer.reference import CacheError, ReferenceCache
from noisewalk.renderer.scene import Scene, open_scene
from tests.conftest import TINY_XML


def view(scene: Scene, width: int = 48, height: int = 32, shift: float = 0.0) -> Camera:
    to_world = scene.start.to_world.copy()
    to_world[0, 3] += shift
    return replace(scene.start, to_world=to_world, width=width, height=height)


def load(tmp_path: Path, backend: Backend, old: str, new: str) -> Scene:
    assert old in TINY_XML
    file = tmp_path / "changed.xml"
    file.write_text(TINY_XML.replace(old, new))
    return open_scene(str(file), backend.variant)


def test_seeds_are_never_reused_and_disjoint_from_the_references() -> None:
    references = {reference_seed(index, half) for index in range(5000) for half in (0, 1)}
    assert len(references) == 10_000 and max(references) < 2**32
    for run_seed in (0, 1, 12345, 2**31 - 1):
        frames = {frame_seed(run_seed, index, half) for index in range(5000) for half in (0, 1)}
        assert len(frames) == 10_000 and max(frames) < 2**32
        # The scalar variant takes this of it, at 512x512.
        assert {seed * 2**18 % 2**32 for seed in frames}.isdisjoint(seed * 2**18 % 2**32 for seed in references)


def test_a_frame_is_not_in_its_reference(tiny_xml: Path, tmp_path: Path) -> None:
    choose_backend("scalar_rgb", None).activate()
    scene = open_scene(str(tiny_xml), "scalar_rgb")
    pair = PathTracer(scene, 32, 32, 4, 0).render_pair(view(scene, 32, 32), 0)
    reference = ReferenceCache(tmp_path, scene, 32, 32).get(view(scene, 32, 32), 8)
    assert not any((half.color.cpu().numpy() == reference.a).all(axis=-1).mean() > 0.5 for half in (pair.a, pair.b))


def test_broken_samples_do_not_break_a_reference(tmp_path: Path, backend: Backend) -> None:
    import mitsuba as mi

    sky = np.ones((8, 16, 3), dtype=np.float32)
    sky[3, 5] = np.inf
    mi.Bitmap(sky).write(str(tmp_path / "sky.exr"))
    emitter = '<emitter type="envmap"><string name="filename" value="sky.exr"/></emitter>'
    scene = load(tmp_path, backend, "</scene>", emitter + "</scene>")
    above = replace(view(scene, 24, 16), fov_y=120.0)
    for spp in (8, 32):
        reference = ReferenceCache(tmp_path / "cache", scene, 24, 16).get(above, spp)
        assert np.isfinite(reference.mean).all() and reference.mean.mean() > 0.1


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
    views = View(scene, 48, 32), View(scene, 24, 40)
    for index in range(4):
        for one in views:
            one.look(replace(view(scene, one.width, one.height, shift=0.1 * index), fov_y=40.0 + index))
            path, other = (scene.integrator, index), (features, index + 1)
            for passes, spp in (([path], 4), ([path], 1), ([other], 4), ([path, other], 4), ([path, other, path], 1)):
                recorded = [np.array(image) for image in one.render(passes, spp)]
                # Not every time: what is traced anew also sets the film's size right.
                if index % 2:
                    for picture, (renders, seed) in zip(recorded, passes, strict=True):
                        assert np.array_equal(picture, np.array(one.render_bare(renders, spp, seed)))


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
            normals.append(tracer.render_pair(view(tracer.view.scene, shift=0.1 * index), index).a.normal)
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
    assert [warning for warning in cropped.warnings if "cropped" in warning] and not whole.warnings
    part = PathTracer(cropped, 48, 32, 64, 0).render_pair(view(cropped, 48, 32), 0)
    window = full.a.normal[16:48, 24:72]
    assert (part.a.normal - window).abs().mean() < 0.01 < (part.a.normal - full.a.normal[:32, :48]).abs().mean()


def test_field_of_view_is_the_scenes_own_at_any_size(tmp_path: Path, backend: Backend) -> None:
    wide = load(tmp_path, backend, '<string name="fov_axis" value="y"/>', '<string name="fov_axis" value="x"/>')
    expected = 2 * math.degrees(math.atan(math.tan(math.radians(25)) * 32 / 48))
    assert wide.start.fov_y == pytest.approx(expected, abs=1e-3)


def test_the_integrators_own_settings_stay(tmp_path: Path, backend: Backend) -> None:
    hidden = load(
        tmp_path, backend, '<integer name="max_depth" value="4"/>', '<boolean name="hide_emitters" value="true"/>'
    )
    visible = load(tmp_path, backend, '<integer name="max_depth" value="4"/>', '<integer name="max_depth" value="4"/>')
    looking_up = np.eye(4)
    looking_up[:3, 3] = 1.5, 2.5, -1.0
    camera = Camera(looking_up, 20.0, 8, 8)
    seen, unseen = (PathTracer(s, 8, 8, 4, 0).render_pair(camera, 0).a.color[4, 4].max() for s in (visible, hidden))
    assert seen > 10 > unseen
    nested = (
        '<integrator type="aov"><string name="aovs" value="d:depth"/><integrator type="path"><integer name="max_depth"'
    )
    wrapped = TINY_XML.replace('<integrator type="path"><integer name="max_depth"', nested)
    file = tmp_path / "wrapped.xml"
    file.write_text(wrapped.replace("</integrator>", "</integrator></integrator>"))
    assert "max_depth = 4" in str(open_scene(str(file), backend.variant).integrator)
    assert "max_depth = 2" in str(open_scene(str(file), backend.variant, max_depth=2).integrator)


def test_a_film_filter_of_the_scene_gives_way_to_box(tmp_path: Path, backend: Backend) -> None:
    film = '<integer name="height" value="32"/>'
    scene = load(tmp_path, backend, film, film + '<rfilter type="lanczos"/>')
    assert "BoxFilter" in str(scene.sensor.film())
    assert PathTracer(scene, 48, 32, 4, 0).render_pair(view(scene), 0).a.color.min() >= 0


def test_content_hash_follows_content(tmp_path: Path, backend: Backend) -> None:
    first, same = (load(tmp_path, backend, "path", "path").content_hash for _ in range(2))
    brighter = load(tmp_path, backend, 'value="12"', 'value="13"').content_hash
    file = tmp_path / "changed.xml"
    deeper = open_scene(str(file), backend.variant, max_depth=9).content_hash
    assert first == same and len({first, brighter, deeper}) == 3


def test_silent_omissions_are_warned_about(tmp_path: Path, backend: Backend) -> None:
    dark = load(tmp_path, backend, '<emitter type="area"><rgb name="radiance" value="12"/></emitter>', "")
    assert any("no emitters" in w for w in dark.warnings)
    fog = '<bsdf type="null"/><medium name="interior" type="homogeneous"/><emitter type="area">'
    foggy = load(tmp_path, backend, '<emitter type="area">', fog)
    assert any("media" in w for w in foggy.warnings)
    assert load(tmp_path, backend, "path", "path").warnings == ()


def test_a_reference_is_the_same_whatever_else_is_in_the_cache(
    tiny_scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("noisewalk.renderer.reference.SAMPLES_PER_PASS", 24 * 16 * 10)  # of 64 spp: 20 + 20 + 20 + 4
    camera = view(tiny_scene, 24, 16)
    cache, spp = ReferenceCache(tmp_path / "full", tiny_scene, 24, 16), []
    grown = cache.accumulation(camera)
    grown.add(7)
    grown.save()
    few, more = cache.get(camera, 16), cache.get(camera, 64, spp.append)
    assert (few.spp, more.spp) == (16, 64) and spp == [0, 20, 40, 60, 64]
    alone = ReferenceCache(tmp_path / "alone", tiny_scene, 24, 16).get(camera, 16)
    assert np.array_equal(few.a, alone.a) and np.array_equal(few.b, alone.b)
    spp.clear()
    assert np.array_equal(cache.get(camera, 64, spp.append).a, more.a) and spp == [64]
    # What grows without an end goes on from the best, and leaves that as it is.
    best = cache.best(camera)
    assert best == cache.file(camera, 64) and best.exists()
    content, grown = best.read_bytes(), cache.accumulation(camera)
    assert grown.spp == 64
    grown.add(1)
    grown.save()
    assert cache.best(camera) == cache.file(camera) and best.read_bytes() == content
    # More samples are closer to the truth, and the halves know by how much.
    truth = ReferenceCache(tmp_path, tiny_scene, 24, 16).get(camera, 2048).mean
    assert np.mean((more.mean - truth) ** 2) < np.mean((few.mean - truth) ** 2)
    assert not np.array_equal(more.a, more.b)


def test_ctrl_c_in_a_render_leaves_no_half_picture_behind(tiny_xml: Path, tmp_path: Path) -> None:
    # Mitsuba takes Ctrl-C for itself while it renders, and returns early with a picture that is too dark.
    choose_backend("scalar_rgb", None).activate()
    scene = open_scene(str(tiny_xml), "scalar_rgb")
    cache, camera, came = ReferenceCache(tmp_path, scene, 64, 64), view(scene, 64, 64), []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        for render in (
            lambda: PathTracer(scene, 64, 64, 4096, 0).render_pair(camera, 0),
            lambda: cache.get(camera, 10**6),
        ):
            timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
            timer.start()
            with pytest.raises(RenderCancelled):
                render()
            timer.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(came) == 2
    half = cache.get(camera, 32)
    assert half.spp == 32  # nothing of the cancelled pass was kept
    assert half.a.mean() == pytest.approx(half.b.mean(), rel=0.1)


def test_an_interrupted_reference_keeps_what_it_has(tiny_scene: Scene, tmp_path: Path) -> None:
    camera, cache = view(tiny_scene, 24, 16), ReferenceCache(tmp_path, tiny_scene, 24, 16)

    def stop(spp: int) -> None:
        if spp >= 8:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        cache.get(camera, 8, stop)
    seen: list[int] = []
    cache.get(camera, 8, seen.append)
    assert seen == [8]


def test_a_stopped_reference_goes_on_to_the_very_same_numbers(
    tiny_scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("noisewalk.renderer.reference.SAMPLES_PER_PASS", 24 * 16)
    camera = view(tiny_scene, 24, 16)
    straight = ReferenceCache(tmp_path / "straight", tiny_scene, 24, 16).get(camera, 14)

    calls: list[int] = []

    def stop(spp: int) -> None:
        calls.append(spp)
        if len(calls) % 3 == 0:
            raise InterruptedError

    for spp in (4, 8, 12):
        with pytest.raises(InterruptedError):
            ReferenceCache(tmp_path / "stopped", tiny_scene, 24, 16).get(camera, 14, stop)
        assert calls[-1] == spp
    stopped = ReferenceCache(tmp_path / "stopped", tiny_scene, 24, 16).get(camera, 14)
    assert np.array_equal(stopped.a, straight.a) and np.array_equal(stopped.b, straight.b)


def test_other_views_and_sizes_have_other_references(tiny_scene: Scene, tmp_path: Path) -> None:
    cache = ReferenceCache(tmp_path, tiny_scene, 24, 16)
    camera = view(tiny_scene, 24, 16)
    assert cache.file(camera) == cache.file(view(tiny_scene, 24, 16))
    others = [view(tiny_scene, 24, 16, shift=0.01), replace(camera, fov_y=51.0)]
    assert len({cache.file(c) for c in (camera, *others)}) == 3
    assert ReferenceCache(tmp_path, tiny_scene, 16, 24).file(camera) != cache.file(camera)


def test_corrupt_references_are_named(tiny_scene: Scene, tmp_path: Path) -> None:
    cache, camera = ReferenceCache(tmp_path, tiny_scene, 24, 16), view(tiny_scene, 24, 16)
    cache.get(camera, 4)
    file = cache.file(camera, 4)
    good = file.read_bytes()
    for bad in (good[: len(good) // 2], b"", b"nonsense" * 100):
        file.write_bytes(bad)
        with pytest.raises(CacheError, match=r"corrupt reference.*delete it") as raised:
            cache.get(camera, 4)
        assert str(file) in str(raised.value) and raised.value.file == file
        with pytest.raises(CacheError):
            cache.accumulation(camera)


def test_the_cache_is_bounded_and_the_longest_unused_goes(tiny_scene: Scene, tmp_path: Path) -> None:
    import os

    cache = ReferenceCache(tmp_path, tiny_scene, 24, 16, max_bytes=3 * (24 * 16 * 3 * 4 * 2 + 600))
    cameras = [view(tiny_scene, 24, 16, shift=0.1 * i) for i in range(5)]
    for age, camera in enumerate(cameras[:3]):
        cache.get(camera, 2)
        os.utime(cache.file(camera, 2), (1000 + age, 1000 + age))
    cache.get(cameras[0], 2)  # used again: now the youngest
    for camera in cameras[3:]:
        cache.get(camera, 2)
    kept = [cache.file(c, 2).exists() for c in cameras]
    assert kept == [True, False, False, True, True]
    cache.make_room_for(5)  # a walk that needs them all
    for camera in cameras:
        cache.get(camera, 2)
    assert all(cache.file(camera, 2).exists() for camera in cameras)


def test_default_path_is_gentle_deterministic_and_stays_inside(backend: Backend, tmp_path: Path) -> None:
    room = TINY_XML.replace(
        "</scene>",
        '<shape type="cube" id="room"><transform name="to_world"><scale value="5"/></transform></shape></scene>',
    )
    file = tmp_path / "room.xml"
    file.write_text(room)
    scene = open_scene(str(file), backend.variant)
    path, again = default_path(scene), default_path(scene)
    poses = np.stack([path.camera(i, 8, 8).to_world for i in range(len(path))])
    assert len(path) == 1000
    assert np.array_equal(poses[500], again.camera(500, 8, 8).to_world)
    np.testing.assert_allclose(poses[0], scene.start.to_world, atol=1e-4)
    assert (np.abs(poses[:, :3, 3]) < 5).all()
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    assert 0 < steps.max() < 0.02
    turned = np.degrees(np.arccos(np.clip((poses[:, :3, 2] @ poses[0, :3, 2]), -1, 1)))
    assert 3 < turned.max() < 25


def test_exr_layers_come_back_by_name(backend: Backend, tmp_path: Path) -> None:
    import mitsuba as mi

    backend.activate()
    rng = np.random.default_rng(0)
    layers = {"": rng.random((5, 7, 3), np.float32), "albedo.": rng.random((5, 7, 3), np.float32)}
    normal = rng.random((5, 7, 3), np.float32)
    write_exr(tmp_path / "x.exr", layers, normal)
    split = dict(mi.Bitmap(str(tmp_path / "x.exr")).split())
    np.testing.assert_array_equal(np.array(split["<root>"]), layers[""])
    np.testing.assert_array_equal(np.array(split["albedo"]), layers["albedo."])
    np.testing.assert_array_equal(np.array(split["sh_normal"]), normal)


@pytest.mark.parametrize("name", sorted(bundled_scenes()))
def test_bundled_scenes_open_without_warnings_and_fly_a_thousand_frames(name: str, backend: Backend) -> None:
    backend.activate()
    scene = open_scene(name, backend.variant)
    assert scene.warnings == () and scene.path is not None and len(scene.path) == 1000
    pair = PathTracer(scene, 32, 32, 4, 0).render_pair(scene.path.camera(0, 32, 32), 0)
    assert pair.a.color.isfinite().all() and 0.05 < pair.a.color.mean() < 5
    assert pair.a.albedo.std() > 0.05
    box = scene.mi_scene.bbox()
    for index in range(0, 1000, 20):
        position = scene.path.camera(index, 32, 32).to_world[:3, 3]
        assert box.contains(position.tolist())
    folder = bundled_scenes()[name].parent
    assert (folder / "README.md").is_file() and (folder / "generate.py").is_file()


def test_bundled_scenes_are_small() -> None:
    files = [f for xml in bundled_scenes().values() for f in xml.parent.rglob("*") if f.is_file()]
    assert len(bundled_scenes()) == 3
    assert sum(f.stat().st_size for f in files) < 10 * 2**20


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
