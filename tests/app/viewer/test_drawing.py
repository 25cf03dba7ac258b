"""What the viewer draws, off screen: the shader against float64 formulas, and whole frames against golden images.

Golden images are made by Mesa's llvmpipe. `scripts/test --update-golden` writes them again; look at them before you
commit. Tolerance: at most 1 in 200 pixels may differ by more than 24 of 255 in any channel, which leaves room for the
antialiasing of another Mesa version and none for anything that a person would notice.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from imgui_bundle import imgui
from PIL import Image

from noisewalk.app.flying.engine import Engine
from noisewalk.app.flying.messages import Message, Picture, SceneFacts, Setup, Status, Viewpoint
from noisewalk.app.flying.preferences import Preferences
from noisewalk.app.flying.series import Sample, Series
from noisewalk.app.flying.view import MODES, DisplaySettings, colors
from noisewalk.app.flying.viewer import Viewer
from noisewalk.app.options import WalkOptions
from noisewalk.app.upload import try_interop
from noisewalk.app.viewer.display import Area, Display
from noisewalk.app.viewer.interface import Interface
from noisewalk.denoiser.estimate import Estimate
from noisewalk.renderer.camera_path import CameraPath, look_at

GOLDEN = Path(__file__).parent / "golden"
MAX_DIFFERENCE, MAX_SHARE = 24, 0.005
POSE = look_at((0, 1, 4), (0, 1, 0), 50.0)


def picture(size: tuple[int, int] = (48, 32), reference: bool = True, steps: int = 1234) -> Picture:
    """Smooth and noisy layers that anyone can compute again."""
    width, height = size
    v, u = np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij")
    clean = np.stack([4 * u * u, 2 * v * u, 0.3 + v], axis=-1).astype(np.float32)
    noise = np.random.default_rng(3).normal(size=(height, width, 3)).astype(np.float32)
    layers = {
        "denoised": clean * 0.9,
        "noisy": np.maximum(clean + 0.3 * noise, 0),
        "half": np.maximum(clean + 0.5 * noise, 0),
        "albedo": np.clip(clean / 3, 0, 1),
        "normal": np.stack([2 * u - 1, 2 * v - 1, np.full_like(u, 0.2)], axis=-1).astype(np.float32),
        "oidn": clean * 0.8,
        "estimated_error": np.repeat((0.3 * u * v)[..., None], 3, axis=-1).astype(np.float32),
    }
    if reference:
        layers["reference"] = clean
    return Picture(
        number=7,
        layers=layers,
        viewpoint=Viewpoint(POSE.to_world, 50.0),
        preview=False,
        path_frame=None,
        decibels={"denoised": 27.31, "noisy": 22.08, "oidn": 26.4} if reference else {},
        noise_floor=34.2 if reference else None,
        estimate=Estimate(
            mse=1.6e-3, error=1e-4, variance=1e-4, noise=0.0, error_map=torch.from_numpy(layers["estimated_error"])
        ),
        reference_spp=512 if reference else 0,
        trained=True,
        steps=steps,
        skipped_pairs=3,
        skipped_steps=0,
        spp=16,
    )


class StillEngine(Engine):
    """An engine without a thread, that shows one picture for ever."""

    def __init__(self, shown: Picture | None, status: Status) -> None:
        options = WalkOptions()
        self.series, self.knobs = Series(), Engine.knobs_of(options)
        self.shown, self.state = shown, status
        self.told: list[Message] = []

    @property
    def picture(self) -> Picture | None:
        return self.shown

    @property
    def status(self) -> Status:
        return self.state

    @property
    def frame_ms(self) -> float:
        return 431.0

    @property
    def in_hand(self) -> bool:
        return False

    def messages(self) -> list[Message]:
        told, self.told = self.told, []
        return told

    def show(self, wish: Any) -> None:
        pass

    def close(self) -> bool:
        return True


def facts() -> SceneFacts:
    return SceneFacts(
        name="cornell",
        file="cornell",
        views={"1: camera": Viewpoint(POSE.to_world, 50.0), "2: window": Viewpoint(POSE.to_world, 30.0)},
        distance=4.0,
        path=CameraPath((POSE, look_at((1, 1, 4), (0, 1, 0), 50.0)), 25.0, 40.0),
        setup=Setup(48, 32),
        film=(48, 32),
        variant="llvm_ad_rgb",
        device="cpu",
        warnings=(),
        reference_spp=512,
        max_spp=256,
        saved_weights=Path("cornell.safetensors"),
    )


def running(shown: Picture, measured: bool = True, status: Status | None = None) -> Viewer:
    """A viewer in the middle of a walk."""
    engine = StillEngine(shown, status or Status("running", "", facts()))
    for number in range(60):
        psnr = (22.0 + 0.3 * np.sin(number), 12.0 + 16 * (1 - np.exp(-number / 20)), 34.0)
        stages = {"render": 210.0, "denoise": 30.0, "measure": 3.0, "train": 180.0 + 20 * (number % 3)}
        engine.series.append(
            Sample(number, psnr if measured and number % 10 < 8 else None, psnr[1] + 0.7, 40 / (1 + number), stages)
        )
    return Viewer(engine, Preferences())


def draw(gl: Any, viewer: Viewer, size: tuple[int, int] = (1280, 720), scale: float = 1.0) -> np.ndarray:
    """The viewer's window after a few frames, (H, W, 3) uint8."""
    with _interface(scale) as interface:
        target, display = gl.simple_framebuffer(size, components=3), Display(gl)
        for _ in range(4):
            io = imgui.get_io()
            io.display_size, io.delta_time = imgui.ImVec2(*size), 1 / 60
            imgui.backends.opengl3_new_frame()
            imgui.new_frame()
            area = interface.draw(viewer)
            viewer.tick(None, now=0.0)
            imgui.render()
            target.use()
            target.viewport = (0, 0, *size)
            gl.clear(0.0, 0.0, 0.0)
            display.draw(target, size[1], area, viewer.picture, viewer.view, viewer.size)
            target.use()
            imgui.backends.opengl3_render_draw_data(imgui.get_draw_data())
        rows = np.frombuffer(target.read(components=3, alignment=1), dtype=np.uint8)
        return rows.reshape(size[1], size[0], 3)[::-1]


@contextmanager
def _interface(scale: float) -> Iterator[Interface]:
    interface = Interface(scale, layout="")
    imgui.backends.opengl3_init("#version 330")
    try:
        yield interface
    finally:
        imgui.backends.opengl3_shutdown()
        interface.close()


def check_golden(name: str, image: np.ndarray, request: pytest.FixtureRequest, tmp_path: Path, gl: Any) -> None:
    """Compares with the golden picture of that name, or writes it."""
    file = GOLDEN / f"{name}.png"
    if request.config.getoption("--update-golden"):
        Image.fromarray(np.ascontiguousarray(image)).save(file, optimize=True)
        return
    if "llvmpipe" not in gl.info["GL_RENDERER"]:
        pytest.skip("golden images are of llvmpipe")
    golden = np.asarray(Image.open(file).convert("RGB")).astype(int)
    assert golden.shape == image.shape
    differing = (np.abs(golden - image).max(axis=-1) > MAX_DIFFERENCE).mean()
    if differing > MAX_SHARE:
        Image.fromarray(np.ascontiguousarray(image)).save(tmp_path / file.name)
    assert differing <= MAX_SHARE, f"{100 * differing:.2f} % of the pixels differ: see {tmp_path / file.name}"


def srgb(v: np.ndarray) -> np.ndarray:
    v = np.clip(v, 0, 1)
    return np.where(v <= 0.0031308, 12.92 * v, 1.055 * v ** (1 / 2.4) - 0.055)


def paper(v: np.ndarray) -> np.ndarray:
    return (np.maximum(v, 0) / (1 + np.maximum(v, 0))) ** (1 / 2.2)


def aces(v: np.ndarray) -> np.ndarray:
    return srgb((v * (2.51 * v + 0.03)) / (v * (2.43 * v + 0.59) + 0.14))


@pytest.mark.parametrize(("tone", "formula"), [("paper", paper), ("srgb", srgb), ("aces", aces)])
def test_tone_maps_and_exposure_follow_their_formulas(gl: Any, tone: str, formula: Any) -> None:
    shown = picture()
    image = Display(gl).image(shown, DisplaySettings(left="noisy", tone=tone, exposure=-1.5))
    expected = 255 * formula(shown.layers["noisy"].astype(np.float64) * 2**-1.5)
    assert np.abs(image - expected).max() < 1.01


@pytest.mark.parametrize(("mode", "filled"), [("denoised", True), ("albedo", True), ("oidn", True), ("error", False)])
def test_what_a_turn_uncovers_is_filled_from_the_wide_picture(gl: Any, mode: str, filled: bool) -> None:
    shown, size = picture(), (48, 32)
    layers = {name: np.full((8, 12, 3), 0.5, np.float32) for name in ("denoised", "noisy", "albedo")}
    wide = replace(shown, number=8, layers=layers)
    half_a_width = np.array([[1.0, 0, 0.5], [0, 1, 0], [0, 0, 1]])  # to the right

    def drawn(around: tuple[Picture, np.ndarray] | None) -> np.ndarray:
        target = gl.simple_framebuffer(size, components=3)
        Display(gl).draw(target, 32, Area(0, 0, *size), shown, DisplaySettings(mode), size, half_a_width, around)
        rows = np.frombuffer(target.read(components=3, alignment=1), dtype=np.uint8)
        return rows.reshape(32, 48, 3)[::-1].astype(int)

    alone, together = drawn(None), drawn((wide, np.eye(3)))
    assert (alone[:, :24] == together[:, :24]).all() and (alone[:, 24:] == alone[:, 24:25]).all()
    assert (alone[:, 24:] != together[:, 24:]).any() == filled
    if filled:
        expected = srgb(np.array(0.5)) if mode == "albedo" else paper(np.array(0.5))
        assert np.abs(together[:, 25:] - 255 * expected).max() < 1.01
    # Where the wide picture does not reach either, the border stays.
    nowhere = drawn((wide, np.array([[1.0, 0, 5], [0, 1, 0], [0, 0, 1]])))
    assert (nowhere == alone).all()


def test_every_mode_shows_its_layer(gl: Any) -> None:
    shown, display = picture(), Display(gl)
    layers = {name: image.astype(np.float64) for name, image in shown.layers.items()}
    errors = {
        "error": np.abs(paper(layers["denoised"]) - paper(layers["reference"])).mean(axis=-1),
        "estimated_error": layers["estimated_error"][..., 0],
    }
    expected = {name: paper(layers[name]) for name in ("denoised", "noisy", "half", "reference", "oidn")}
    expected |= {"albedo": srgb(layers["albedo"]), "normal": layers["normal"] / 2 + 0.5}
    ramp = colors(256)
    for mode, error in errors.items():
        steps = np.clip(error / 0.25, 0.002, 0.998) * 256 - 0.5
        expected[mode] = np.stack([np.interp(steps, range(256), ramp[:, c]) for c in range(3)], axis=-1) / 255
    assert set(expected) == set(MODES)
    for mode, values in expected.items():
        assert np.abs(display.image(shown, DisplaySettings(left=mode)) - 255 * values).max() < 2.0, mode


def test_a_split_shows_both_sides_and_a_missing_reference_nothing(gl: Any) -> None:
    shown, display = picture(reference=False), Display(gl)
    modes = ("albedo", "noisy", "reference", "error")
    whole = [display.image(shown, DisplaySettings(left=mode)).astype(int) for mode in modes]
    split = display.image(shown, DisplaySettings(left="albedo", right="noisy", split_on=True, split=0.25))
    assert (split[:, :12] == whole[0][:, :12]).all() and (split[:, 12:] == whole[1][:, 12:]).all()
    assert (whole[2] == whole[3]).all() and np.ptp(whole[2], axis=(0, 1)).max() == 0


def test_zoomed_in_one_sees_the_pixels(gl: Any) -> None:
    shown, target = picture(), gl.simple_framebuffer((64, 64), components=3)
    view = DisplaySettings(left="albedo", zoom=8.0, center=(0.5, 0.5))
    Display(gl).draw(target, 64, Area(0, 0, 64, 64), shown, view, (48, 32))
    image = np.frombuffer(target.read(components=3, alignment=1), np.uint8).reshape(64, 64, 3)[::-1]
    # 64 / 48 * 8 screen pixels for one of the picture: flat blocks, not a ramp.
    assert 5 <= len(np.unique(image[32], axis=0)) <= 8
    view.smooth = True
    Display(gl).draw(target, 64, Area(0, 0, 64, 64), shown, view, (48, 32))
    smooth = np.frombuffer(target.read(components=3, alignment=1), np.uint8).reshape(64, 64, 3)
    assert len(np.unique(smooth[32], axis=0)) > 16


def test_a_warped_picture_moves_with_the_camera(gl: Any) -> None:
    shown, target = picture(), gl.simple_framebuffer((48, 32), components=3)
    display, whole = Display(gl), Area(0, 0, 48, 32)
    shift = np.array([[1, 0, 12 / 48], [0, 1, 8 / 32], [0, 0, 1.0]])
    display.draw(target, 32, whole, shown, DisplaySettings(left="albedo"), (48, 32), shift)
    moved = np.frombuffer(target.read(components=3, alignment=1), np.uint8).reshape(32, 48, 3)[::-1]
    straight = display.image(shown, DisplaySettings(left="albedo"))
    assert np.abs(moved[:24, :36].astype(int) - straight[8:, 12:]).max() <= 1
    assert np.abs(moved[:24, 37:].astype(int) - straight[8:, -1:]).max() <= 1  # filled from the border


def test_a_new_picture_replaces_the_old_one(gl: Any) -> None:
    display, first = Display(gl), picture()
    before = display.image(first, DisplaySettings(left="noisy"))
    larger = picture((96, 64))
    assert display.image(larger, DisplaySettings(left="noisy")).shape == (64, 96, 3)
    assert (display.image(first, DisplaySettings(left="noisy")) == before).all()


def test_a_screenshot_leaves_nothing_on_the_gpu(gl: Any) -> None:
    gl.gc_mode = "context_gc"  # collects in `objects` what nobody has released; what was is in there as a husk
    display = Display(gl)
    display.image(picture(), DisplaySettings())
    gc.collect()
    assert not [thing for thing in gl.objects if hasattr(thing, "release")]


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_golden_walk(gl: Any, request: pytest.FixtureRequest, tmp_path: Path, scale: float) -> None:
    viewer = running(picture())
    viewer.view.split_on = True
    size = (1280, 720) if scale == 1.0 else (2560, 1440)
    check_golden(f"walk-{scale:.0f}x", draw(gl, viewer, size, scale), request, tmp_path, gl)


def test_golden_start_and_error_and_help(gl: Any, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    start = Viewer(StillEngine(None, Status("opening", "opening cornell", None)), Preferences())
    check_golden("start", draw(gl, start), request, tmp_path, gl)
    failed = running(picture(reference=False), measured=False)
    failed.errors.append("/scenes/kitchen.xml: mesh file not found: chair.ply")
    check_golden("error", draw(gl, failed), request, tmp_path, gl)
    helped = running(picture())
    helped.help_shown, helped.view.left = True, "error"
    check_golden("help", draw(gl, helped), request, tmp_path, gl)


def test_golden_estimate_beside_the_error(gl: Any, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    viewer = running(picture())
    viewer.view.left, viewer.view.right, viewer.view.split_on = "error", "estimated_error", True
    check_golden("estimate", draw(gl, viewer), request, tmp_path, gl)


def test_golden_failure_of_the_session(gl: Any, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    status = Status("failed", "", facts(), "RuntimeError: training failed: out of memory")
    viewer = running(picture(), status=status)
    check_golden("failure", draw(gl, viewer), request, tmp_path, gl)


def test_the_panels_can_be_hidden(gl: Any) -> None:
    viewer = running(picture())
    viewer.panels_shown = False
    image = draw(gl, viewer, (480, 320))
    expected = Display(gl).image(picture(), DisplaySettings())
    # The picture fills the window: its corners are the window's (the caption is elsewhere).
    assert np.abs(image[-3, -3].astype(int) - expected[-1, -1]).max() < 6
    assert np.abs(image[-3, 3].astype(int) - expected[-1, 0]).max() < 6


def test_samples_that_do_not_fit_into_a_frame_cannot_be_asked_for(gl: Any) -> None:
    viewer = Viewer(StillEngine(picture(), Status("running", "", replace(facts(), max_spp=3))), Preferences())
    assert viewer.knobs.spp > 3
    draw(gl, viewer)
    assert viewer.knobs.spp == 3


@pytest.mark.parametrize("size", [(1, 1), (17, 9), (320, 200)])
def test_tiny_windows_are_drawn(gl: Any, size: tuple[int, int]) -> None:
    viewer = running(picture())
    viewer.view.split_on, viewer.view.right = True, "error"
    assert draw(gl, viewer, size).shape == (size[1], size[0], 3)


@pytest.mark.gpu
def test_cuda_tensors_reach_the_texture_unchanged(gl: Any) -> None:
    shown, display = picture(), Display(gl)
    expected = display.image(shown, DisplaySettings(left="noisy"))
    tensors = {name: torch.from_numpy(layer).cuda() for name, layer in shown.layers.items()}
    on_gpu = replace(shown, layers=tensors, number=8)
    assert (display.image(on_gpu, DisplaySettings(left="noisy")) == expected).all()
    # Software GL shares no GPU with CUDA, and says so.
    assert display.upload == ("plain" if "llvmpipe" in gl.info["GL_RENDERER"] else "cuda")


def test_without_cuda_pixels_go_by_way_of_the_cpu(gl: Any) -> None:
    class OnGpu:
        """What try_interop sees of a CUDA tensor, where there is no CUDA."""

        shape, is_cuda = (2, 2, 3), True

    if not torch.cuda.is_available():
        assert try_interop(gl, OnGpu()) is None


def test_an_unsaved_path_is_asked_about(gl: Any, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    viewer = running(picture())
    viewer.tick(None, now=0.0)
    viewer.flight.add(viewer.camera.viewpoint)
    viewer.carefully(viewer.quit)
    check_golden("doubt", draw(gl, viewer), request, tmp_path, gl)


def test_a_small_window_keeps_the_picture(gl: Any, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    viewer = running(picture())
    shown = draw(gl, viewer, (700, 450))
    check_golden("small", shown, request, tmp_path, gl)
    larger = running(picture())
    larger.text_scale = 1.6
    check_golden("large-text", draw(gl, larger), request, tmp_path, gl)
