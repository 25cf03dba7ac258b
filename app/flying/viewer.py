"""The viewer without window and drawing: its state, and all that a person can do."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from noisewalk.app.errors import EXIT_INTERRUPTED, EXIT_USAGE
from noisewalk.app.flying.controls import FOV_RANGE, FlyCamera, Steering, reprojection
from noisewalk.app.flying.engine import Engine
from noisewalk.app.flying.file_jobs import FileJobs, read_path, write_screenshot
from noisewalk.app.flying.flight import Flight
from noisewalk.app.flying.messages import Knobs, Picture, SceneFacts, Setup, Viewpoint, Wish, printable
from noisewalk.app.flying.preferences import TEXT_SCALES, Preferences, save_preferences
from noisewalk.app.flying.questions import Asking, Doubt, Question
from noisewalk.app.flying.undo import Undo
from noisewalk.app.flying.view import EXPOSURE_RANGE, DisplaySettings
from noisewalk.app.layers import as_array

if TYPE_CHECKING:
    from noisewalk.renderer.camera_path import CameraPath

RESTING_SECONDS = 0.25  # after the last move, the camera rests
TOAST_SECONDS = 6.0
MAX_TOASTS = 5
MAX_ITERATIONS, MAX_SPP, MAX_CROP = 64, 256, 1024  # of the knobs

T = TypeVar("T")


class Viewer:
    """Joins camera, flight, view and session thread. Its methods return at once. Another thread writes files."""

    def __init__(self, engine: Engine, preferences: Preferences) -> None:
        self.engine, self.preferences = engine, preferences
        self.knobs = engine.knobs
        self.camera, self.flight = FlyCamera(), Flight()
        self.view = DisplaySettings(
            exposure=preferences.exposure, tone=preferences.tone, error_scale=preferences.error_scale
        )
        self.views = [self.view]  # of all who look at the picture
        self.camera.speed, self.flight.at_end = preferences.speed, preferences.at_end
        self.scene: SceneFacts | None = None
        self.panels_shown = True
        self.help_shown = False
        self.question: Question | None = None
        self.doubt: Doubt | None = None
        self.ask = Asking(self)
        self.typed = ""  # into the path field of the question
        self.quitting = self.screenshot_wanted = False
        self.errors: list[str] = []
        self.toasts: list[tuple[str, float]] = []
        self.pivot: np.ndarray | None = None
        self.ever_opened = False
        self.film_aspect = True  # the sides of another frame size follow the film
        self.moving = False
        self._moved_at = -1e9
        self._seen = self.camera.viewpoint
        self._files = FileJobs()
        self._undo: Undo[tuple[CameraPath | None, Knobs]] = Undo()
        self.text_scale = preferences.text_scale

    @property
    def picture(self) -> Picture | None:
        """The newest picture."""
        return self.engine.picture

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a full frame."""
        return (self.scene.width, self.scene.height) if self.scene else (1, 1)

    def is_current(self, picture: Picture) -> bool:
        """Whether the picture shows the present view of the camera."""
        return self.flight.walking or self.camera.viewpoint.same_as(picture.viewpoint)

    def missing(self, mode: str, picture: Picture) -> str:
        """Why there is nothing to show in this mode; empty where there is."""
        needed = {"error": "reference"}.get(mode, mode)
        if needed in picture.layers:
            return ""
        if mode == "oidn":
            there = self.scene is not None and self.scene.oidn
            return "with the next picture" if there else "Open Image Denoise is not installed: scripts/setup guide"
        return "not trained yet" if mode == "estimated_error" else self.unmeasured(picture)

    def unmeasured(self, picture: Picture) -> str:
        """Why the picture has no reference."""
        if not self.is_current(picture):
            return "moving: not measured"
        if picture.preview:
            return "a quick picture: not measured"
        if self.flight.walking:
            return "no cached reference for this frame of the path"
        if picture.reference_spp:
            return f"reference begun: {picture.reference_spp} spp"
        return "no reference of this view yet: let the camera rest"

    def warp(self, picture: Picture) -> np.ndarray:
        """The homography with which the last picture follows the camera: see `reprojection`."""
        if self.scene is None or self.is_current(picture):
            return np.eye(3)
        width, height = self.size
        return reprojection(self.camera.viewpoint, picture.viewpoint, width / height, self.scene.distance)

    def around(self) -> tuple[Picture, np.ndarray] | None:
        """The wide picture of the last view at rest, and its homography: for what `warp` finds outside the picture."""
        wide = self.engine.around
        if wide is None or self.scene is None or self.flight.walking:
            return None
        width, height = self.size
        return wide, reprojection(self.camera.viewpoint, wide.viewpoint, width / height, self.scene.distance)

    def tick(self, steering: Steering | None, now: float | None = None) -> None:
        """Steers, plays, records, and tells the session thread what is wanted. To be called for every drawn frame."""
        now = time.monotonic() if now is None else now
        self._take_news(now)
        if self.scene is None:
            return
        if steering is not None and self.camera.steer(steering):
            self.flight.playing = False
        picture = self.picture
        shown = picture.path_frame if picture is not None and not picture.preview else None
        if self.flight.tick(shown, now):
            self.camera.move_to(self.flight.view())
        seen = self.camera.viewpoint
        self.flight.record_tick(seen, now)
        self._undo.see((self.flight.path, self.knobs), now)
        if not seen.same_as(self._seen):
            self._seen, self._moved_at = seen, now
        walking = self.flight.walking
        self.moving = not walking and now - self._moved_at < RESTING_SECONDS
        path_frame = self.flight.frame if walking else None
        oidn = any(view.shows("oidn") for view in self.views)
        self.engine.show(Wish(self.knobs, *seen, moving=self.moving, path_frame=path_frame, oidn=oidn))

    def undo(self) -> None:
        """Takes back the last change of the path or of a knob."""
        self._restore(self._undo.back(), "nothing to undo")

    def redo(self) -> None:
        """Does again what was undone."""
        self._restore(self._undo.forth(), "nothing to redo")

    def _restore(self, state: tuple[CameraPath | None, Knobs] | None, otherwise: str) -> None:
        if state is None:
            self.toast(otherwise)
            return
        path, self.knobs = state
        if path is not None and path is not self.flight.path:
            self.flight.restore(path)

    def carefully(self, action: Callable[[], None]) -> None:
        """Does what would lose an unsaved path, but asks first if there is one."""
        if self.flight.edited:
            self.doubt = Doubt("The path has changes that are not saved.", action)
        else:
            action()

    def enlarge(self, factor: float) -> None:
        """Makes all text larger or smaller."""
        self.text_scale = float(np.clip(self.text_scale * factor, *TEXT_SCALES))

    def look(self, right: float, down: float) -> None:
        """Turns the camera by a drag, in heights of the picture."""
        if self.scene is not None and self.camera.look(right, down):
            self.flight.playing = False

    def begin_orbit(self, x: float, y: float) -> None:
        """Finds the point to orbit around, at (x, y) in [0, 1] of the picture."""
        self.pivot = None
        if self.picture is not None:
            self.engine.pick(x, y, self.picture, lambda point: setattr(self, "pivot", point))

    def orbit(self, right: float, down: float) -> None:
        """Turns around the picked point. Until it is known, around a point ahead."""
        if self.scene is None:
            return
        ahead = self.camera.pose[:3, 3] + self.camera.pose[:3, 2] * self.scene.distance
        if self.camera.orbit(ahead if self.pivot is None else self.pivot, right, down):
            self.flight.playing = False

    def set_fov(self, fov_y: float) -> None:
        """Sets the vertical field of view, in degrees."""
        self.camera.move_to(self.camera.viewpoint._replace(fov_y=float(np.clip(fov_y, *FOV_RANGE))))

    def go_to_view(self, name: str) -> None:
        """Goes to one of the scene's own sensors."""
        assert self.scene
        self.flight.playing = False
        self.camera.place(self.scene.views[name], self.scene.distance)

    def reset_camera(self) -> None:
        """Returns to the sensor's own view."""
        self.flight.playing = False
        self.camera.reset()

    def play(self, every_frame: bool = False) -> None:
        """Plays or pauses the path; with `every_frame`, all of its frames are rendered, trained on and measured."""
        self.flight.play(every_frame)
        if self.flight.playing:
            self.camera.move_to(self.flight.view())

    def scrub(self, frame: int) -> None:
        """Goes to a frame of the path."""
        self.flight.scrub(frame)
        self.camera.move_to(self.flight.view())

    def go_to_keyframe(self, index: int) -> None:
        """Selects a keyframe and goes there."""
        self.flight.go_to(index)
        self.camera.move_to(self.flight.view())

    def record(self) -> None:
        """Starts or ends the recording of a flight."""
        if self.scene is None:
            return
        if self.flight.record(self.camera.viewpoint):
            self.toast(f"recorded: {self.flight.keyframes} keyframes; Space plays them")
        elif not self.flight.recording:
            self.toast("nothing recorded: the camera did not move")

    def set_mode(self, mode: str) -> None:
        """Sets what is shown, at the left of a split."""
        self.view.left = mode

    def train(self, on: bool) -> None:
        """Continues or pauses training."""
        self.knobs = replace(self.knobs, train=on)

    def restart_network(self) -> None:
        """Forgets what was learned."""
        self.engine.restart_network()

    def expose(self, stops: float) -> None:
        """Makes the picture brighter or darker, by stops."""
        self.view.exposure = float(np.clip(self.view.exposure + stops, *EXPOSURE_RANGE))

    def open_scene(self, scene: str) -> None:
        """Opens another scene; the old one stays if that fails."""
        self.engine.open(scene)

    def drop(self, paths: list[str]) -> None:
        """Takes files dropped on the window: scenes, paths or weights. Their names tell which."""
        file = Path(paths[0])
        if file.suffix == ".json":
            self.carefully(lambda: self.load_path(file))
        elif file.suffix == ".safetensors":
            self.load_weights(file)
        else:
            self.carefully(lambda: self.open_scene(str(file)))

    def reopen(self, setup: Setup) -> None:
        """Opens the scene anew with another setup, if it is another; camera and path stay."""
        if self.scene is not None and setup != self.scene.setup:
            self.engine.reopen(setup)

    def load_weights(self, file: Path) -> None:
        """Continues from saved weights."""
        if self._can_be_read(file):
            self.engine.load_weights(file)

    def load_path(self, file: Path) -> None:
        """Flies the path of a file."""

        def take(path: CameraPath) -> None:
            self.flight.take(path)
            self.toast(f"{file.name}: {len(path.keyframes)} keyframes, {path.seconds:.1f} s")

        if self._can_be_read(file):
            own = next(iter(self.scene.views.values())) if self.scene else Viewpoint(np.eye(4), 45.0)
            self._with_files(lambda: read_path(file, own.principal_point), take)

    def save_path(self, file: Path, then: Callable[[], None] = lambda: None) -> None:
        """Saves the path for another flight, here or headless. then: what to do when it is saved."""
        path = self.flight.path
        assert path

        def save() -> None:
            from noisewalk.renderer.camera_path import save_path

            save_path(path, file)

        def saved(_: None) -> None:
            self.flight.edited = self.flight.path is not path
            self.toast(f"path saved: {file}")
            then()

        self._with_files(save, saved)

    def ask_screenshot(self) -> None:
        """Takes a screenshot at the end of this frame."""
        self.screenshot_wanted = True

    def quit(self) -> None:
        """Closes the window after this frame."""
        self.quitting = True

    def screenshot(self, draw: Callable[[Picture, DisplaySettings], np.ndarray]) -> None:
        """The picture as `draw` shows it as PNG, and all its layers as EXR, both numbered, in the current folder.

        Where the camera rests, it waits for a full frame.
        """
        picture, scene = self.picture, self.scene
        if picture is not None and picture.preview and not self.moving:
            return
        self.screenshot_wanted = False
        if picture is None or scene is None:
            return
        pixels = draw(picture, self.view)
        layers = {name: as_array(image).copy() for name, image in picture.layers.items()}
        self._with_files(lambda: write_screenshot(scene, pixels, layers), self.toast)

    def save_preferences(self, window: tuple[int, int], layout: str) -> None:
        """Saves the present settings for the next time."""
        view = self.view
        self.preferences = kept = replace(
            self.preferences,
            exposure=view.exposure,
            tone=view.tone,
            error_scale=view.error_scale,
            speed=self.camera.speed,
            at_end=self.flight.at_end,
            text_scale=self.text_scale,
            window=window,
            layout=layout,
        )

        self._with_files(lambda: save_preferences(kept), lambda _: None)

    def toast(self, text: str) -> None:
        """Shows a line that disappears by itself."""
        self.toasts = [*self.toasts, (printable(text), time.monotonic() + TOAST_SECONDS)][-MAX_TOASTS:]

    def report(self, error: str) -> None:
        """Shows an error until it is confirmed."""
        self.errors.append(printable(error))

    def close(self) -> bool:
        """Saves weights and settings, and ends the threads. Returns False if one of them did not end in time."""
        ended = self.engine.close()
        return self._files.close() and ended

    def exit_code(self, ended: bool, interrupted: bool) -> int:
        """After `close`: says why nothing could be opened. Does not return where a thread goes on."""
        problem = "" if self.ever_opened else self.engine.status.failure
        if problem:
            print(f"noisewalk: error: {problem}", file=sys.stderr)
        code = EXIT_USAGE if problem else EXIT_INTERRUPTED if interrupted else 0
        if not ended:
            # A render that hangs must not keep the process: the weights are saved without it.
            self.engine.rescue_weights()
            sys.stderr.flush()
            os._exit(code)
        return code

    def _can_be_read(self, file: Path) -> bool:
        """Reports an error if it cannot. Reading from a pipe or a device may never end."""
        there = os.path.isfile(file)  # unlike Path.is_file, it accepts any name
        if not there:
            self.report(f"{file}: {'not a regular file' if os.path.exists(file) else 'no such file'}")
        return there

    def _with_files(self, job: Callable[[], T], done: Callable[[T], None]) -> None:
        """Runs `job` on the file thread, then `done` with its result here. Reports an error if one of them fails."""
        if not self._files.add(job, done, self.report):
            self.toast("too many files are waiting: this one is left out")

    def _take_news(self, now: float) -> None:
        self._files.finished()
        for message in self.engine.messages():
            if message.error:
                self.report(message.text)
            else:
                self.toast(message.text)
        self.toasts = [toast for toast in self.toasts if toast[1] > now]
        scene = self.engine.status.scene
        if scene is not None and scene is not self.scene:
            self._enter(scene)

    def _enter(self, scene: SceneFacts) -> None:
        same = self.scene is not None and self.scene.file == scene.file
        self.scene, self.ever_opened = scene, True
        self.knobs = replace(self.knobs, spp=min(self.knobs.spp, scene.max_spp))
        if not same:
            self.camera.place(next(iter(scene.views.values())), scene.distance)
            self.flight.take(scene.path)
            self._undo.begin((scene.path, self.knobs))
            self.view.fit()
            self.preferences = self.preferences.with_recent(scene.file)
