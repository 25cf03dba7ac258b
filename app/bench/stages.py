"""The stages of a frame, one by one, as `noisewalk bench` times them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import torch

from noisewalk.app.bench.crowd import Crowd
from noisewalk.app.clock import synchronise
from noisewalk.app.doctor import opengl
from noisewalk.app.session import Session
from noisewalk.denoiser.estimate import estimate_error
from noisewalk.denoiser.online import OnlineDenoiser
from noisewalk.denoiser.trainer import Trainer, TrainingSettings
from noisewalk.renderer.frame import Camera
from noisewalk.renderer.path_tracer import PathTracer, to_torch

LABELS = {
    "render": "render pair",
    "path": "  path pass, both halves",
    "features": "  feature pass, both halves",
    "bare": "  bare mi.render, both halves",
    "input": "network input: features, guide, history",
    "train_one": "one training iteration",
    "train": "a frame's training iterations",
    "train_busy": "  the same beside busy programs",
    "denoise": "denoise two",
    "estimate": "estimate of the error",
    "upload": "upload to texture",
    "lockstep": "whole frame, lockstep",
    "overlapped": "whole frame, overlapped",
}
SUMMED = ("render", "input", "train", "denoise", "estimate")  # the parts of a lockstep frame


class Stages:
    """The methods in LABELS do one stage of frame `index` of the session's path. They may return before a GPU is done.

    Each rendered frame has its own number, because two frames of a denoiser may not share one. `overlapped` comes last:
    after `overlap` the session is no longer in lockstep.
    """

    def __init__(self, session: Session) -> None:
        options = session.options
        self._session = session
        self._tracer = PathTracer(session.scene, options.width, options.height, options.spp, options.seed)
        self._trainer = Trainer(session.denoiser.settings, session.denoiser.device)
        self._numbers = count()
        self.render(0)
        self.input(0)
        self.denoise(0)
        self._write: Callable[[torch.Tensor], None] | None = None
        self._gl: Any = None
        self._crowd = Crowd()

    def render(self, index: int) -> None:
        self._pair = self._session.render(self._session.camera(index), next(self._numbers))

    def path(self, index: int) -> None:
        self._pass(self._recorded, self._session.scene.integrator, index)

    def features(self, index: int) -> None:
        self._pass(self._recorded, self._tracer.features, index)

    def bare(self, index: int) -> None:
        self._pass(self._tracer.sensor.render_bare, self._session.scene.integrator, index)

    def input(self, index: int) -> None:
        self._prepared = self._session.denoiser.prepare(self._pair)

    def train_one(self, index: int) -> None:
        self._train(replace(self._session.denoiser.settings, iterations=1))

    def train(self, index: int) -> None:
        self._train(self._session.denoiser.settings)

    def train_busy(self, index: int) -> None:
        with self._crowd.busy():
            self.train(index)
            synchronise()

    def _train(self, settings: TrainingSettings) -> None:
        self._trainer.settings = settings
        self._trainer.train(self._prepared)

    def denoise(self, index: int) -> None:
        self._denoised = self._session.denoiser.denoise_both(self._prepared)

    def estimate(self, index: int) -> None:
        estimate_error(self._prepared.noisy, self._denoised.halves)

    def upload(self, index: int) -> None:
        assert self._write is not None
        self._write(self._denoised.shown)

    def lockstep(self, index: int) -> None:
        self._session.advance(self._session.camera(index), next(self._numbers), None)

    overlapped = lockstep

    def overlap(self) -> None:
        """Trains in a thread from now on: frames no longer wait for their training."""
        old = self._session.denoiser
        old.close()
        guided = self._session.options.guide == "oidn"
        self._session.denoiser = OnlineDenoiser(old.settings, str(old.device), "free", guided)

    def open_gl(self) -> str | None:
        """Prepares `upload`. Returns why that is not possible here, or None."""
        if not (found := opengl()).startswith("works"):
            return found
        import moderngl

        from noisewalk.app.upload import try_interop, write_texture

        backend = {"backend": "egl"} if sys.platform == "linux" else {}
        self._gl = moderngl.create_context(standalone=True, require=330, **backend)  # type: ignore[arg-type]
        height, width = self._denoised.shown.shape[:2]
        texture = self._gl.texture((width, height), 3, dtype="f4")
        synchronise()  # only computed tensors may be read there
        interop = try_interop(self._gl, self._denoised.shown) if self._denoised.shown.is_cuda else None

        def write(image: torch.Tensor) -> None:
            write_texture(texture, image, interop)
            self._gl.finish()

        self._write = write
        return None

    def close(self) -> None:
        """Frees the GL context, and ends the busy programs."""
        self._crowd.close()
        if self._gl is not None:
            self._gl.release()

    def _recorded(self, camera: Camera, integrator: Any, spp: int, seed: int) -> Any:
        return self._tracer.sensor.render(camera, [(integrator, seed)], spp)[0]

    def _pass(self, render: Callable[[Camera, Any, int, int], Any], integrator: Any, index: int) -> None:
        camera = self._session.camera(index)
        for half in (0, 1):
            to_torch(render(camera, integrator, self._session.options.spp, 2 * index + half))
