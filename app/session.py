"""The one loop: camera -> noisy pair -> training -> denoised picture -> measurement."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from app.options import FRAME_SIZE, REFERENCE_SPP, WalkOptions
from denoiser.metrics import noise_floor, psnr
from denoiser.online import OnlineDenoiser, Pacing
from denoiser.trainer import TrainingSettings
from renderer.backend import choose_backend
from renderer.camera_path import CameraPath, load_path
from renderer.default_path import default_path
from renderer.frame import Camera, NoisyPair
from renderer.path_tracer import PathTracer
from renderer.reference import Reference, ReferenceCache
from renderer.scene import Scene, open_scene


@dataclass(frozen=True, eq=False)
class Measurement:
    """Against a reference: PSNR in dB of the averaged noisy pair and of the shown image; the reference's own limit."""

    reference: torch.Tensor
    psnr_noisy: float
    psnr_shown: float
    noise_floor: float
    reference_spp: int


@dataclass(frozen=True, eq=False)
class Result:
    """One frame. noisy, shown: (H, W, 3) linear radiance on the training device.

    loss:          mean over this frame's finite steps, NaN where there was none.
    skipped_steps: training steps with a non-finite loss or gradient; skipped_pairs: pairs never trained on (so far).
    milliseconds:  per stage: render, train (waited for, in lockstep), denoise, measure.
    """

    pair: NoisyPair
    noisy: torch.Tensor
    shown: torch.Tensor
    measurement: Measurement | None
    loss: float
    skipped_steps: int
    skipped_pairs: int
    milliseconds: dict[str, float]


def fill_in(options: WalkOptions, gpu: bool) -> WalkOptions:
    """Options with the frame size and reference spp that suit a machine with or without a GPU."""
    column = 0 if gpu else 1
    return replace(
        options,
        width=options.width or options.height or FRAME_SIZE[column],
        height=options.height or options.width or FRAME_SIZE[column],
        reference_spp=options.reference_spp or REFERENCE_SPP[column],
    )


class Session:
    """A scene, its renderer, its denoiser and its references. Use from one thread; close when done.

    Raises the modules' own ValueErrors where something named in the options cannot be used.
    """

    def __init__(self, options: WalkOptions, pacing: Pacing) -> None:
        self.backend = choose_backend(options.variant, options.cache_dir)
        self.backend.activate()
        gpu = self.backend.variant.startswith("cuda") or torch.cuda.is_available()
        self.options = options = fill_in(options, gpu)
        assert options.width and options.height and options.reference_spp
        self.scene = open_scene(options.scene, self.backend.variant, options.max_depth)
        self.path = flight(self.scene, options.path)
        self._tracer = PathTracer(self.scene, options.width, options.height, options.spp, options.seed)
        self.references = ReferenceCache(reference_folder(options), self.scene, options.width, options.height)
        self.denoiser = OnlineDenoiser(
            TrainingSettings(options.iterations, options.crop, options.learning_rate, options.seed),
            options.device,
            pacing,
        )
        if options.weights is not None:
            try:
                self.denoiser.load(options.weights)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Stops training after the iterations in hand."""
        self.denoiser.close()

    def camera(self, index: int) -> Camera:
        """The view of frame `index` of the path."""
        assert self.options.width and self.options.height
        return self.path.camera(index, self.options.width, self.options.height)

    def reference(self, camera: Camera, progress: Callable[[int], None] = lambda spp: None) -> Reference:
        """The cached reference of this view, rendered or continued where there is none or too little."""
        assert self.options.reference_spp
        return self.references.get(camera, self.options.reference_spp, progress)

    def advance(self, camera: Camera, index: int, reference: Reference | None) -> Result:
        """Renders, trains on, denoises and, where there is a reference, measures frame `index`."""
        watch = _Stopwatch()
        pair = self._tracer.render_pair(camera, index)
        watch.lap("render")
        self.denoiser.submit(pair)
        weights = self.denoiser.weights()
        watch.lap("train")
        shown = self.denoiser.denoise(pair)
        noisy = ((pair.a.color + pair.b.color) / 2).to(shown.device)
        watch.lap("denoise")
        measurement = measure(noisy, shown, reference) if reference is not None else None
        watch.lap("measure")
        return Result(
            pair=pair,
            noisy=noisy,
            shown=shown,
            measurement=measurement,
            loss=weights.report.loss,
            skipped_steps=weights.report.skipped,
            skipped_pairs=self.denoiser.skipped_pairs,
            milliseconds=watch.laps,
        )


def measure(noisy: torch.Tensor, shown: torch.Tensor, reference: Reference) -> Measurement:
    """PSNR of both images, (H, W, 3) each, against the reference."""
    half_a, half_b = (torch.from_numpy(half).to(shown.device) for half in (reference.a, reference.b))
    mean = (half_a + half_b) / 2
    return Measurement(mean, psnr(noisy, mean), psnr(shown, mean), noise_floor(half_a, half_b), reference.spp)


def flight(scene: Scene, file: Path | None) -> CameraPath:
    """The path in `file`, else the scene's own, else a gentle default."""
    return load_path(file) if file is not None else scene.path or default_path(scene)


def reference_folder(options: WalkOptions) -> Path:
    """Where the references lie."""
    return options.cache_dir / "references"


class _Stopwatch:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        # A GPU works on after its calls return: without waiting, a stage's time would be booked on the next.
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.laps[stage] = 1e3 * (now - self._last)
        self._last = now
