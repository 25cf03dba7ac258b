"""An open scene, and all that the session thread keeps for it only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from noisewalk.app.flying.autosave import Autosave
from noisewalk.app.flying.live_reference import LiveReference
from noisewalk.app.flying.messages import Knobs, SceneFacts, Setup, Viewpoint, Wish
from noisewalk.app.flying.pace import Pace
from noisewalk.app.options import WalkOptions
from noisewalk.renderer.bundled import bundled_scenes

if TYPE_CHECKING:
    from noisewalk.app.session import Session
    from noisewalk.denoiser.gathering import Gathering
    from noisewalk.renderer.frame import Camera


class Opened:
    """An open scene, and all that the session thread keeps for it only."""

    def __init__(self, options: WalkOptions, tell: Callable[[str], None]) -> None:
        from noisewalk.app.session import Session

        self.session = Session(options, pacing="free", warn=tell)
        try:
            self.reference = LiveReference(self.session, tell)
            self.autosave = Autosave(self.session, tell)
            self.facts = _facts(self.session, self.autosave.file)
        except BaseException:
            self.session.close()
            raise
        self.last_path_frame: int | None = None
        self._gathering: Gathering | None = None
        self._gathered: Viewpoint | None = None  # the view of what is gathered
        self._applied: Knobs | None = None
        self.pace = Pace()

    @property
    def spp(self) -> int:
        """Samples per pixel of the rendered frames: the wanted number, or as many as fit."""
        return self._applied.spp if self._applied else 1

    def apply(self, wanted: Knobs) -> None:
        """Uses other settings for training and rendering from now on."""
        knobs = replace(wanted, spp=min(wanted.spp, self.facts.max_spp))
        if knobs == self._applied:
            return
        self.session.denoiser.configure(iterations=knobs.iterations, crop=knobs.crop, learning_rate=knobs.learning_rate)
        if self._applied is None or knobs.spp != self._applied.spp:
            self.session.set_spp(knobs.spp)
        self.session.denoiser.pause(not knobs.train)
        self.pace.target = knobs.moving_ms
        self._applied = knobs

    def camera(self, wish: Wish) -> Camera:
        """The view that is wanted; the scene's own where none is."""
        if wish.to_world is None:
            return camera_of(self.session, next(iter(self.facts.views.values())))
        return camera_of(self.session, Viewpoint(wish.to_world, wish.fov_y, wish.principal_point))

    def gathering(self, wish: Wish) -> Gathering | None:
        """All samples of the wanted view so far, where the camera rests; None elsewhere. To be asked for each frame."""
        view = viewpoint_of(self.camera(wish))
        rests = not wish.moving and wish.path_frame is None
        if not rests or self._gathered is None or not view.same_as(self._gathered):
            self._gathering = self.session.denoiser.gathering() if rests else None
            self._gathered = view if rests else None
        return self._gathering

    def take_over(self, left: Opened) -> None:
        """Goes on with what another session has learned, where the model is the same."""
        learned = left.session.denoiser.weights()
        if learned.trained and left.facts.setup.model == self.facts.setup.model:
            self.session.denoiser.adopt(learned)

    def leave(self) -> None:
        """Saves reference and weights, and closes the session."""
        try:
            self.reference.keep(self.spp)
            self.autosave.save()
        finally:
            self.session.close()  # otherwise its training thread stays, with network and optimiser


def _facts(session: Session, weights: Path) -> SceneFacts:
    from noisewalk.renderer.path_tracer import MAX_SAMPLES
    from noisewalk.renderer.rays import viewing_distance

    scene, options = session.scene, session.options
    session.path.camera(0, 1, 1)  # makes the splines on this thread, which takes seconds with many keyframes
    return SceneFacts(
        name=scene.name,
        file=options.scene if options.scene in bundled_scenes() else str(scene.file.resolve()),
        views={name: viewpoint_of(camera) for name, camera in scene.views.items()},
        distance=viewing_distance(scene),
        path=session.path,
        setup=Setup(options.width, options.height, options.model, options.guide == "oidn", options.max_depth),
        film=(scene.start.width, scene.start.height),
        variant=session.backend.variant,
        device=str(session.denoiser.device),
        warnings=scene.warnings,
        reference_spp=options.reference_spp,
        max_spp=max(1, MAX_SAMPLES // (options.width * options.height)),
        saved_weights=weights if weights.exists() else None,
        oidn=session.machine.guide,
    )


def viewpoint_of(camera: Camera) -> Viewpoint:
    """What this camera sees."""
    return Viewpoint(camera.to_world, camera.fov_y, camera.principal_point)


def camera_of(session: Session, viewpoint: Viewpoint) -> Camera:
    """The camera of a full frame that sees this."""
    from noisewalk.renderer.frame import Camera

    width, height = session.options.width, session.options.height
    return Camera(viewpoint.to_world, viewpoint.fov_y, width, height, viewpoint.principal_point)
