"""References: progressive, cached, bounded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noisewalk.renderer import RenderCancelled
from noisewalk.renderer.backend import Backend, choose_backend
from noisewalk.renderer.path_tracer import PathTracer
from noisewalk.renderer.reference import CacheError, ReferenceCache
from noisewalk.renderer.scene import Scene, open_scene
from tests.renderer.helpers import load, view


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


def test_a_pixel_whose_first_pass_was_broken_is_not_too_dark(tmp_path: Path, backend: Backend) -> None:
    import mitsuba as mi

    sky = np.ones((8, 16, 3), dtype=np.float32)
    sky[3, 5] = np.inf
    mi.Bitmap(sky).write(str(tmp_path / "sky.exr"))
    file = tmp_path / "sky.xml"
    file.write_text(
        """<scene version="3.0.0"><integrator type="path"/><sensor type="perspective"><float name="fov" value="150"/>
        <film type="hdrfilm"><integer name="width" value="24"/><integer name="height" value="16"/></film></sensor>
        <emitter type="envmap"><string name="filename" value="sky.exr"/></emitter></scene>"""
    )
    scene = open_scene(str(file), backend.variant)
    cache = ReferenceCache(tmp_path / "cache", scene, 24, 16)
    means = []
    for spp in (2, 4, 16):
        for axis in range(4):  # somewhere is the broken texel
            angle = axis * np.pi / 2
            turned = np.eye(4)
            turned[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
            means.append(cache.get(replace(scene.start, to_world=turned), spp).mean)
    seen = np.stack(means)
    assert np.isfinite(seen).all() and (seen == 0).any()
    halves = {0.0, 0.5, 1.0}  # of the mean of two halves, of which one may be broken everywhere
    assert set(np.unique(seen.round(4)).tolist()) <= halves


def test_what_another_process_has_rendered_further_is_kept(tiny_scene: Scene, tmp_path: Path) -> None:
    camera = view(tiny_scene, 24, 16)
    one, other = (ReferenceCache(tmp_path, tiny_scene, 24, 16) for _ in range(2))
    slow = one.accumulation(camera)
    slow.add(2)
    fast = other.accumulation(camera)
    fast.add(8)
    fast.save()
    slow.save()
    assert np.array_equal(one.accumulation(camera).reference().a, fast.reference().a)


def test_a_cache_that_is_cleared_at_any_moment_does_no_harm(tiny_scene: Scene, tmp_path: Path) -> None:
    """Another process that does nothing but clear it."""
    folder = tmp_path / "cache"
    clear = f"import shutil, time\nwhile True: shutil.rmtree({str(folder)!r}, ignore_errors=True); time.sleep(1e-4)"
    clearing = subprocess.Popen([sys.executable, "-c", clear])
    try:
        for index in range(100):
            cache, camera = ReferenceCache(folder, tiny_scene, 24, 16), view(tiny_scene, 24, 16, shift=0.001 * index)
            with suppress(FileNotFoundError):  # too often in a row
                assert cache.get(camera, 2).spp == 2
    finally:
        clearing.kill()
        clearing.wait()
    assert cache.get(camera, 2).spp == 2


def test_a_disk_that_takes_no_more_is_one_error_and_leaves_the_old_reference(tiny_scene: Scene, tmp_path: Path) -> None:
    import resource

    cache, camera = ReferenceCache(tmp_path, tiny_scene, 24, 16), view(tiny_scene, 24, 16)
    before = cache.get(camera, 4)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            cache.get(camera, 16)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.glob("*.tmp"))
    assert np.array_equal(cache.get(camera, 4).a, before.a)


def test_a_cache_in_the_place_of_a_file_is_an_error_that_names_it(tiny_scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(OSError, match="cache"):
        ReferenceCache(tmp_path / "cache", tiny_scene, 24, 16).get(view(tiny_scene, 24, 16), 2)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1), mask=st.integers(1, 255), cut=st.none() | st.floats(0, 1))
def test_a_damaged_reference_is_read_or_named(
    tiny_scene: Scene, tmp_path: Path, at: float, mask: int, cut: float | None
) -> None:
    cache, camera = ReferenceCache(tmp_path, tiny_scene, 24, 16), view(tiny_scene, 24, 16)
    cache.get(camera, 4)
    file = cache.file(camera, 4)
    good = file.read_bytes()
    bad = bytearray(good)
    bad[int(at * (len(bad) - 1))] ^= mask
    file.write_bytes(bad if cut is None else bad[: int(cut * len(bad))])
    try:
        loaded = cache.get(camera, 4)
    except CacheError as error:
        assert str(file) in str(error) and "\n" not in str(error)
    else:
        assert loaded.mean.shape == (16, 24, 3)
    file.write_bytes(good)


def test_a_hundred_views_have_a_hundred_references_in_any_unit(tiny_scene: Scene, tmp_path: Path) -> None:
    for unit in (1e-7, 1.0, 1e7):
        cache = ReferenceCache(tmp_path, tiny_scene, 24, 16)
        poses = [tiny_scene.start.to_world * 1.0 for _ in range(100)]
        for index, pose in enumerate(poses):
            pose[:3, 3] = unit * (1 + 1e-4 * index)
        assert len({cache.file(replace(tiny_scene.start, to_world=pose)) for pose in poses}) == 100
    fields = {cache.file(replace(tiny_scene.start, fov_y=0.001 * (1 + 1e-5 * index))) for index in range(100)}
    assert len(fields) == 100
