"""A frame recompiles nothing, copies no picture to the host and leaves no memory. This is counted, not timed."""

from __future__ import annotations

import gc
import json
import platform
import sys
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from noisewalk.app.memory import keep_freed_memory
from noisewalk.app.options import WalkOptions
from noisewalk.app.session import Session
from noisewalk.denoiser.inputs import PreparedPair
from noisewalk.denoiser.planes import CHANNELS
from noisewalk.denoiser.trainer import Trainer, TrainingSettings
from noisewalk.renderer.alone import alone
from noisewalk.renderer.frame import Camera
from noisewalk.renderer.path_tracer import Pass, Sensor

WIDTH, HEIGHT = 64, 32
PICTURE_BYTES = WIDTH * HEIGHT * 3 * 4
WARM_UP, FRAMES = 3, 6


@pytest.fixture(params=["llvm_backend", pytest.param("cuda_backend", marks=pytest.mark.gpu)])
def session(request: pytest.FixtureRequest, tiny_xml: Path, cache_dir: Path) -> Iterator[Session]:
    """A session that has shown its first frames and previews."""
    variant = request.getfixturevalue(request.param).variant
    small = WalkOptions(scene=str(tiny_xml), width=WIDTH, height=HEIGHT, spp=2, iterations=2, crop=32)
    opened = Session(replace(small, variant=variant, cache_dir=cache_dir), "lockstep")
    walk(opened, range(WARM_UP))
    yield opened
    opened.close()


def walk(session: Session, frames: range) -> None:
    """Frames and previews in turn, each from another place."""
    for index in frames:
        camera = session.camera(20 * index)
        session.preview(replace(camera, fov_y=camera.fov_y - index), index, 1 / 4)
        session.advance(replace(camera, fov_y=camera.fov_y + index), index, None)


def test_a_moving_camera_compiles_and_traces_nothing(session: Session) -> None:
    import drjit as dr

    with dr.scoped_set_flag(dr.JitFlag.KernelHistory, True):
        walk(session, range(WARM_UP, 2 * WARM_UP))  # a change of flags makes recordings invalid
        dr.kernel_history_clear()
        walk(session, range(2 * WARM_UP, 2 * WARM_UP + FRAMES))
        kernels = [kernel for kernel in dr.kernel_history() if kernel["type"] == dr.KernelType.JIT]
    assert all(kernel["cache_hit"] for kernel in kernels)
    samples = [kernel for kernel in kernels if kernel["size"] >= WIDTH * HEIGHT // 16]
    assert len(samples) >= FRAMES * 2 * 2 * 2  # frame and preview, two halves, path and features
    assert all(kernel["recording_mode"] == dr.KernelRecordingMode.Replayed for kernel in samples)


def test_pictures_reach_the_denoiser_in_the_memory_they_were_rendered_to(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[Any] = []
    render = Sensor.render

    def watched(self: Sensor, camera: Camera, passes: Sequence[Pass], spp: int) -> list[Any]:
        images = render(self, camera, passes, spp)
        rendered.extend(images)
        return images

    monkeypatch.setattr(Sensor, "render", watched)
    pair = session.advance(session.camera(0), WARM_UP, None).pair
    places = [image.torch().data_ptr() for image in rendered]
    normals = [frame.normal.data_ptr() - 3 * 4 for frame in (pair.a, pair.b)]  # after the albedo, in the same pixels
    assert places == [pair.a.color.data_ptr(), normals[0], pair.b.color.data_ptr(), normals[1]]
    assert pair.a.color.is_cuda == session.backend.variant.startswith("cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("session", ["cuda_backend"], indirect=True)
def test_no_picture_travels_between_gpu_and_host(session: Session, tmp_path: Path) -> None:
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profiler:
        walk(session, range(WARM_UP, WARM_UP + FRAMES))
        torch.cuda.synchronize()
    profiler.export_chrome_trace(str(tmp_path / "trace.json"))
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert any(event.get("cat") == "kernel" for event in events)
    copies = [event for event in events if event.get("cat") == "gpu_memcpy" and "DtoD" not in event["name"]]
    # The smallest picture is a preview; losses and poses are smaller.
    assert all(event["args"]["bytes"] < PICTURE_BYTES // 16 for event in copies)


def test_memory_does_not_grow_from_frame_to_frame(session: Session) -> None:
    import drjit as dr

    backend = dr.JitBackend.CUDA if session.backend.variant.startswith("cuda") else dr.JitBackend.LLVM
    tracemalloc.start()
    try:
        walk(session, range(WARM_UP, WARM_UP + 2))
        dr.detail.malloc_clear_statistics()
        walk(session, range(WARM_UP + 2, WARM_UP + 4))
        before = census(backend)
        walk(session, range(WARM_UP + 4, WARM_UP + 4 + FRAMES))
        after = census(backend)
    finally:
        tracemalloc.stop()
    grown = {name: after[name] - before[name] for name in before}
    # Python keeps a few small objects, but no picture of each frame.
    assert grown.pop("python bytes") < FRAMES * PICTURE_BYTES / 2 and grown.pop("python objects") < FRAMES
    assert grown == dict.fromkeys(grown, 0)


@pytest.mark.skipif(sys.platform != "linux" or not platform.libc_ver()[0], reason="glibc's memory")
def test_a_training_step_finds_its_memory_where_the_last_one_left_it() -> None:
    import resource

    keep_freed_memory()
    trainer = Trainer(TrainingSettings(iterations=2), torch.device("cpu"))
    noise = torch.Generator().manual_seed(0)
    pair = PreparedPair(0, *(torch.rand(1, CHANNELS, 128, 128, generator=noise) for _ in range(2)))
    for _ in range(WARM_UP):
        trainer.train(pair)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(FRAMES):
        trainer.train(pair)
    faults = (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / (2 * FRAMES)
    assert faults < 200  # pages; without it thousands


def census(backend: Any) -> dict[str, int]:
    """How much is alive, counted by Python, torch and Dr.Jit."""
    import drjit as dr

    gc.collect()
    with alone():  # frees the scenes of earlier tests
        pass
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
        torch.cuda.empty_cache()  # frees what finished streams still hold
    objects = gc.get_objects()
    tensors = [thing for thing in objects if issubclass(type(thing), torch.Tensor)]
    return {
        "python objects": len(objects),
        "python bytes": tracemalloc.get_traced_memory()[0],
        "tensors": len(tensors),
        "tensor bytes": sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        "Dr.Jit variables": len(dr.whos(as_string=True).splitlines()),
        "Dr.Jit peak bytes": dr.detail.malloc_watermark(backend),
        "CUDA bytes": torch.cuda.memory_allocated() if torch.cuda.is_initialized() else 0,
    }
