"""The one loop: camera -> noisy pair -> training -> denoised picture -> measurement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from noisewalk.app.clock import Stopwatch
from noisewalk.app.console import Talk
from noisewalk.app.errors import Interrupted
from noisewalk.app.options import Machine, WalkOptions, resolve
from noisewalk.denoiser.estimate import Estimate, estimate_error
from noisewalk.denoiser.features import finite
from noisewalk.denoiser.gathering import Gathering
from noisewalk.denoiser.guide import best_open_image_denoise, guide_is_installed
from noisewalk.denoiser.inputs import PreparedPair
from noisewalk.denoiser.metrics import decibels, is_bound, noise_power, psnr
from noisewalk.denoiser.online import Denoised, OnlineDenoiser, Pacing, choose_device
from noisewalk.denoiser.trainer import TrainingReport, TrainingSettings
from noisewalk.renderer import RenderCancelled
from noisewalk.renderer.backend import choose_backend
from noisewalk.renderer.camera_path import CameraPath, load_path
from noisewalk.renderer.default_path import default_path
from noisewalk.renderer.frame import Camera, NoisyPair
from noisewalk.renderer.path_tracer import PathTracer
from noisewalk.renderer.reference import Reference, ReferenceCache
from noisewalk.renderer.scene import Scene, open_scene


@dataclass(frozen=True, eq=False)
class Measurement:
    """PSNR in dB against a reference, of the averaged noisy pair and of the shown image, plain and corrected.

    reference_noise: the noise power of the reference, for the correction (see `metrics.psnr`).
    """

    reference: torch.Tensor
    reference_spp: int
    reference_noise: float
    psnr_noisy: float
    psnr_shown: float
    psnr_noisy_corrected: float
    psnr_shown_corrected: float

    @property
    def noise_floor(self) -> float:
        """The PSNR of the reference against the truth, in dB."""
        return decibels(self.reference_noise)

    def is_bound(self, corrected: float) -> bool:
        """Whether a corrected PSNR is only a bound: the reference is too noisy to tell more."""
        return is_bound(corrected, self.reference_noise)


@dataclass(frozen=True, eq=False)
class Result:
    """One frame. noisy, shown: (H, W, 3) linear radiance on the training device.

    newest:       what was rendered for it.
    pair:         what the pictures are made of: the same, or all that was gathered of this view.
    prepared:     the pair as the denoiser took it.
    estimate:     the estimated error of the shown picture, without a reference.
    milliseconds: of each stage: render, train (the wait for it, in lockstep), denoise, measure.
    training:     the state of training with which this frame was denoised.
    """

    newest: NoisyPair
    pair: NoisyPair
    prepared: PreparedPair
    noisy: torch.Tensor
    shown: torch.Tensor
    measurement: Measurement | None
    estimate: Estimate
    milliseconds: dict[str, float]
    training: Training

    def by_open_image_denoise(self) -> torch.Tensor:
        """(H, W, 3): what Open Image Denoise at its best makes of the pair. It must be installed."""
        means = (finite(self.pair.mean(part)).to(self.shown.device) for part in ("color", "albedo", "normal"))
        color, albedo, normal = means
        return best_open_image_denoise(color, albedo, normal)


@dataclass(frozen=True)
class Training:
    """How far training is.

    trained:              whether the network has learned anything, now or before.
    skipped_steps:        steps that were not finite, so far.
    skipped_pairs:        pairs that were never trained on, so far.
    report, milliseconds: of the last frame that was trained on.
    """

    trained: bool
    steps: int
    skipped_steps: int
    skipped_pairs: int
    report: TrainingReport
    milliseconds: float


class Session:
    """A scene, its renderer, its denoiser and its references. To be used from one thread. Close when done.

    machine: what decided `options` where the person left them open.
    first_weights: those with which it began, before it learned.
    warn:    gets each warning about the scene's pictures once.

    Raises UsageError, RendererError or DenoiserError if something named in the options cannot be used.
    """

    def __init__(self, options: WalkOptions, pacing: Pacing, warn: Callable[[str], None] = lambda line: None) -> None:
        self._warn, self._warned, self._inspected = warn, set[str](), False
        self.backend = choose_backend(options.variant, options.cache_dir)
        self.backend.activate()
        gpu = self.backend.variant.startswith("cuda") or choose_device(options.device).type == "cuda"
        self.machine = Machine(gpu, guide_is_installed())
        self.scene = open_scene(options.scene, self.backend.variant, options.max_depth)
        film = self.scene.start.width, self.scene.start.height
        self.options = resolved = resolve(options, self.machine, film)
        self.path = flight(self.scene, options.path)
        self._tracers: dict[tuple[int, int, int], PathTracer] = {}
        self.set_spp(options.spp)
        folder = reference_folder(options.cache_dir)
        self.references = ReferenceCache(folder, self.scene, resolved.width, resolved.height)
        self.denoiser = OnlineDenoiser(
            TrainingSettings(
                model=options.model,
                pretrained=not options.cold,
                iterations=options.iterations,
                crop=options.crop,
                learning_rate=options.learning_rate,
                seed=options.seed,
            ),
            options.device,
            pacing,
            guided=resolved.guide == "oidn",
        )
        if options.weights is not None:
            try:
                self.denoiser.load(options.weights)
            except BaseException:
                self.close()
                raise
        self.first_weights = self.denoiser.weights()

    def close(self) -> None:
        """Stops training after the step in hand."""
        self.denoiser.close()

    def camera(self, index: int) -> Camera:
        """The view of frame `index` of the path."""
        return self.path.camera(index, self.options.width, self.options.height)

    def reference(self, camera: Camera, progress: Callable[[int], None] = lambda spp: None) -> Reference:
        """The reference of this view from the cache. It is rendered or continued if needed. Raises Interrupted."""
        try:
            return self.references.get(camera, self.options.reference_spp, progress)
        except RenderCancelled as cancelled:
            raise Interrupted from cancelled

    def set_spp(self, spp: int) -> None:
        """Sets the samples per pixel of each half, from the next frame on."""
        self._tracers.clear()  # each keeps its recordings of Dr.Jit
        self._tracer = self._tracer_of(self.options.width, self.options.height, spp)

    def advance(
        self,
        camera: Camera,
        index: int,
        reference: Reference | None,
        train: bool = True,
        check: Callable[[], None] = lambda: None,
        gathering: Gathering | None = None,
    ) -> Result:
        """Renders frame `index`, trains on it, denoises it and, with a reference, measures it.

        check: called now and then. What it raises ends the frame. Raises Interrupted on Ctrl-C.
        gathering: of the earlier frames of this very view. The frame is added, and all of them together are denoised
                   and measured; training learns from the frame alone.
        """
        watch = Stopwatch()
        pair = self.render(camera, index, check)
        watch.lap("render")
        check()
        prepared = self.denoiser.prepare(pair)
        if train:
            self.denoiser.submit(prepared)
        if gathering is None:
            return self._result(pair, pair, prepared, self.denoiser.denoise_both, reference, watch)
        gathered = gathering.add(pair)
        check()
        if gathering.pairs > 1:
            prepared = self.denoiser.prepare_gathered(gathering)
        return self._result(pair, gathered, prepared, self.denoiser.denoise_gathered, reference, watch)

    def render(self, camera: Camera, index: int, check: Callable[[], None] = lambda: None) -> NoisyPair:
        """Only renders frame `index`. check: as in `advance`. Raises Interrupted on Ctrl-C."""
        try:
            pair = self._tracer.render_pair(camera, index, check)
        except RenderCancelled as cancelled:
            raise Interrupted from cancelled
        self._inspect(pair)
        return pair

    def _inspect(self, pair: NoisyPair) -> None:
        """Warns about black and broken pictures; with a GPU only about the first, because looking at one takes time."""
        for line in self._tracer.sensor.warnings:
            self._warn_once(line, line)
        if self._inspected and self.machine.gpu:
            return
        finite = pair.a.color.isfinite().all(dim=-1) & pair.b.color.isfinite().all(dim=-1)
        if broken := finite.numel() - int(finite.sum()):
            line = f"{broken} of {finite.numel()} pixels are not finite (the scene's files may hold such numbers)"
            self._warn_once("finite", f"{self.scene.file}: {line}: where they are, pictures are black")
        if not self._inspected and not (pair.a.color.any() or pair.b.color.any()):
            self._warn_once("black", f"{self.scene.file}: the first picture is black: no light reaches what it shows")
        self._inspected = True

    def _warn_once(self, kind: str, line: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            self._warn(line)

    def preview(self, camera: Camera, index: int, scale: float) -> Result:
        """A small, quick frame with 1 spp for a camera in motion, `scale` times as wide. Nothing is learned from it."""
        watch = Stopwatch()
        width, height = (max(1, round(pixels * scale)) for pixels in (camera.width, camera.height))
        pair = self._tracer_of(width, height, spp=1).render_pair(replace(camera, width=width, height=height), index)
        watch.lap("render")
        prepared = self.denoiser.prepare(pair, remember=False)
        return self._result(pair, pair, prepared, self.denoiser.denoise_both, None, watch)

    def _tracer_of(self, width: int, height: int, spp: int) -> PathTracer:
        """The tracer for this size and spp. It is kept, with its recordings of Dr.Jit."""
        key = width, height, spp
        if key not in self._tracers:
            self._tracers[key] = PathTracer(self.scene, width, height, spp, self.options.seed)
        return self._tracers[key]

    def save_weights(self, file: Path) -> None:
        """Writes the published network and what it was trained on. Any thread may call this. Raises OSError."""
        self.denoiser.save(file, {"scene": self.scene.name, "scene_hash": self.scene.content_hash})

    def _result(
        self,
        newest: NoisyPair,
        pair: NoisyPair,
        prepared: PreparedPair,
        denoise: Callable[[PreparedPair], Denoised],
        reference: Reference | None,
        watch: Stopwatch,
    ) -> Result:
        weights = self.denoiser.weights()
        watch.lap("train")
        denoised = denoise(prepared)
        watch.lap("denoise")
        shown = denoised.shown
        halves = prepared.noisy
        noisy = halves.mean(dim=0)
        measurement = measure(noisy, shown, reference) if reference is not None else None
        estimate = estimate_error(halves, denoised.halves)
        watch.lap("measure")
        return Result(
            newest=newest,
            pair=pair,
            prepared=prepared,
            noisy=noisy,
            shown=shown,
            measurement=measurement,
            estimate=estimate,
            milliseconds=watch.laps,
            training=Training(
                weights.trained,
                weights.steps,
                weights.skipped_steps,
                self.denoiser.skipped_pairs,
                weights.report,
                weights.milliseconds,
            ),
        )


def measure(noisy: torch.Tensor, shown: torch.Tensor, reference: Reference) -> Measurement:
    """PSNR of both images, (H, W, 3) each, against the reference."""
    half_a, half_b = (torch.from_numpy(half).to(shown.device) for half in (reference.a, reference.b))
    mean, noise = (half_a + half_b) / 2, noise_power(half_a, half_b)
    numbers = (psnr(image, mean, correction) for correction in (0.0, noise) for image in (noisy, shown))
    return Measurement(mean, reference.spp, noise, *numbers)


def flight(scene: Scene, file: Path | None) -> CameraPath:
    """The path in `file`, else the scene's own, else the gentle default."""
    if file is not None:
        return load_path(file, scene.start.principal_point)
    return scene.path or default_path(scene)


def open_session(options: WalkOptions, talk: Talk) -> Session:
    """Opens a lockstep session, and prints what a person should know about it."""
    talk.note(f"opening {options.scene} ...")
    session = Session(options, pacing="lockstep", warn=talk.warn)
    for warning in session.scene.warnings:
        talk.warn(warning)
    chosen = session.options
    talk.note(f"renderer: {session.backend.variant}: {session.backend.reason}\ntorch: {session.denoiser.device}")
    if (options.width, options.height) == (None, None) and not session.machine.gpu:
        talk.note(f"no GPU in use: frames of {chosen.width}x{chosen.height} (--width and --height change that)")
    return session


def reference_folder(cache_dir: Path) -> Path:
    """The folder of the references."""
    return cache_dir / "references"
