"""The session thread. It takes the newest wish of the window, and gives the newest picture. The window never waits.

Nothing heavy is imported before the thread runs, so that the window is there at once.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from noisewalk.app.errors import Interrupted
from noisewalk.app.flying.around import SCALE as SCALE_AROUND
from noisewalk.app.flying.around import widened
from noisewalk.app.flying.messages import Knobs, Message, Picture, Setup, Status, Wish
from noisewalk.app.flying.opened import Opened, camera_of, viewpoint_of
from noisewalk.app.flying.publish import picture_of, sample_of
from noisewalk.app.flying.series import Series
from noisewalk.app.flying.setup import with_setup
from noisewalk.app.options import WalkOptions
from noisewalk.denoiser import DenoiserError
from noisewalk.renderer import RenderCancelled, RendererError
from noisewalk.renderer.bundled import find_scene, scene_name

if TYPE_CHECKING:
    from noisewalk.app.session import Result, Session
    from noisewalk.renderer.frame import Camera

FIRST_SCALE = 1.0  # of the first picture, which has one sample per pixel
MAX_ORDERS = 64
JOIN_SECONDS = 20.0
NICENESS = 5


class _Stale(Exception):
    """This frame is no longer wanted: the camera moved on, or something is more urgent."""


class Engine:
    """Owns the session thread. All methods except `close` return at once.

    wake: the session thread calls it when there is something new to show.
    """

    def __init__(self, options: WalkOptions, wake: Callable[[], None] = lambda: None) -> None:
        self.series = Series()
        self.knobs = self.knobs_of(options)
        self._wake = wake
        self._options = options
        self._wish = Wish(self.knobs)
        self._orders: deque[Callable[[], None]] = deque()
        self._messages: deque[Message] = deque(maxlen=MAX_ORDERS)
        self._changed = threading.Condition()
        self._stop = False
        self._picture: Picture | None = None
        self._around: Picture | None = None
        self._status = Status("opening", "starting", None)
        self._opened: Opened | None = None
        self._numbers = 0  # of frames; seeds depend on it, so it never decreases
        self._frame_ms = 0.0
        self._saved_weights: Path | None = None
        self._thread = threading.Thread(target=self._run, name="session", daemon=True)

    @staticmethod
    def knobs_of(options: WalkOptions) -> Knobs:
        """The first position of the knobs."""
        return Knobs(True, options.iterations, options.crop, options.learning_rate, options.spp)

    # The window's side.

    def start(self) -> None:
        """Begins to open the scene."""
        self._thread.start()

    @property
    def status(self) -> Status:
        """The present state of the session thread."""
        return self._status

    @property
    def frame_ms(self) -> float:
        """Milliseconds of the last full frame; 0 before the first."""
        return self._frame_ms

    @property
    def picture(self) -> Picture | None:
        """The newest picture."""
        return self._picture

    @property
    def around(self) -> Picture | None:
        """A small, wide picture of the view at which the camera rested last."""
        return self._around

    @property
    def in_hand(self) -> bool:
        """Whether a training step is being computed."""
        return self._opened is not None and self._opened.session.denoiser.in_hand

    def messages(self) -> list[Message]:
        """What has happened since the last call."""
        taken = []
        while self._messages:
            taken.append(self._messages.popleft())
        return taken

    def show(self, wish: Wish) -> None:
        """Replaces what is wanted."""
        with self._changed:
            before, self._wish = self._wish, wish
            self._changed.notify_all()
        if wish.knobs.train != before.knobs.train and self._opened is not None:
            self._opened.session.denoiser.pause(not wish.knobs.train)  # at once, whatever the session thread does

    def restart_network(self) -> None:
        """Forgets what was learned."""

        def restart(session: Session) -> None:
            self._revive(session)
            session.denoiser.restart()

        self._order(restart, "the network starts afresh")

    def restart_training(self) -> None:
        """After training has failed: goes on with the last weights."""
        self._order(self._revive, "training goes on")

    def load_weights(self, file: Path) -> None:
        """Continues from saved weights. A message says so if they were trained on another scene."""

        def load(session: Session) -> None:
            self._revive(session)
            about = session.denoiser.load(file)
            if about.get("scene_hash") != session.scene.content_hash:
                self._tell(f"{file.name}: these weights come from another scene ({about.get('scene', 'unknown')})")
            else:
                self._tell(f"{file.name}: loaded, {about.get('steps')} steps")

        self._order(load)

    def save_weights(self, file: Path, saved: Callable[[Path], None] | None = None) -> None:
        """Exports the network as it is published now, and says so, or calls `saved` on the session thread."""

        def save(session: Session) -> None:
            session.save_weights(file)
            if saved is not None:
                saved(file)

        self._order(save, "" if saved else f"weights saved: {file}")

    def pick(self, x: float, y: float, picture: Picture, done: Callable[[np.ndarray | None], None]) -> None:
        """Finds the point in the world under (x, y) in [0, 1] of a picture; calls `done` on the session thread."""

        def find(session: Session) -> None:
            from noisewalk.renderer.rays import pick

            done(pick(session.scene, camera_of(session, picture.viewpoint), x, y))

        self._order(find)

    def open(self, scene: str) -> None:
        """Opens another scene. If that fails, the old one stays."""
        self._append(lambda: self._switch(replace(self._options, scene=scene, path=None, weights=None)))

    def reopen(self, setup: Setup) -> None:
        """Opens the scene anew with another size, model, guide or path depth. Camera and, where the model is the same,
        weights stay. If that fails, the old session stays.
        """
        self._append(lambda: self._switch(with_setup(self._options, setup), again=True))

    def restart(self) -> None:
        """Begins again after a failure, with the weights that were saved last."""
        self._append(self._recover)

    def close(self) -> bool:
        """Saves the weights and ends the thread. Returns False if it did not end within JOIN_SECONDS."""
        with self._changed:
            self._stop = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(JOIN_SECONDS)
        return not self._thread.is_alive()

    def rescue_weights(self) -> None:
        """Saves the weights from any thread, for when the session thread does not end."""
        opened = self._opened
        if opened is not None:
            opened.autosave.save()

    # The session thread's side.

    def _order(self, action: Callable[[Session], None], done: str = "") -> None:
        def carry_out() -> None:
            if self._opened is None:
                self._tell("no scene is open yet", error=True)
                return
            action(self._opened.session)
            if done:
                self._tell(done)

        self._append(carry_out)

    def _append(self, order: Callable[[], None]) -> None:
        with self._changed:
            fits = len(self._orders) < MAX_ORDERS
            if fits:
                self._orders.append(order)
            self._changed.notify_all()
        if not fits:
            self._tell("too much is waiting to be done: this is left out")

    def _tell(self, text: str, error: bool = False) -> None:
        self._messages.append(Message(text, error))
        self._wake()

    def _run(self) -> None:
        _give_way()
        self._append(lambda: self._switch(self._options))
        while not self._stop:
            try:
                self._step()
            except (_Stale, Interrupted, RenderCancelled):
                continue
            except Exception as error:  # noqa: BLE001 (whatever it is, the window must say it)
                if not self._hear_of_training():
                    traceback.print_exc(file=sys.stderr)
                    self._fail(f"{type(error).__name__}: {error}")
        if self._opened is not None:
            self._opened.leave()
        self._opened = None  # freed on this thread, which made it, and not where the garbage collector runs
        self._status = replace(self._status, phase="closed")

    def _step(self) -> None:
        while self._orders:
            order = self._orders.popleft()
            try:
                order()
            except (RendererError, DenoiserError, OSError) as error:
                self._tell(str(error), error=True)
        opened, wish = self._opened, self._wish
        if opened is None or self._status.phase != "running":
            self._pause(0.5)
            return
        opened.apply(wish.knobs)
        if wish.path_frame is not None and wish.path_frame == opened.last_path_frame:
            self._pause(0.1)  # the window has not asked for the next frame yet
            if self._wish.path_frame == opened.last_path_frame:
                return
            wish = self._wish
        self._hear_of_training()
        camera = opened.camera(wish)
        if self._picture is None:
            self._preview(opened, wish, camera, FIRST_SCALE)
            self._begin("first full frame")
        elif wish.moving and opened.pace.too_slow(self._frame_ms):
            start = time.perf_counter()
            self._preview(opened, wish, camera, opened.pace.scale)
            opened.pace.took(1e3 * (time.perf_counter() - start))
        else:
            self._frame(opened, wish, camera)
            if self._rests(wish):
                self._look_around(opened, wish, camera)
                opened.reference.grow(camera, opened.spp)
        if opened.autosave.due:
            opened.autosave.save()

    def _pause(self, seconds: float) -> None:
        with self._changed:
            if not self._orders and not self._stop:
                self._changed.wait(seconds)

    def _next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _rests(self, wish: Wish) -> bool:
        """Whether the view stays the same, and nothing else is to be done."""
        newest = self._wish
        moved = newest.moving or newest.to_world is not wish.to_world
        return not (moved or self._orders or wish.path_frame is not None)

    def _hear_of_training(self) -> bool:
        """Says once that training has failed: the picture goes on. Returns whether that was news."""
        failure = self._opened.session.denoiser.failure if self._opened else None
        if failure is None or self._status.training_failure:
            return False
        traceback.print_exception(failure, file=sys.stderr)
        self._status = replace(self._status, training_failure=str(failure))
        self._tell(
            f"{failure}. The picture goes on with the last weights. The training panel can restart it.", error=True
        )
        return True

    def _revive(self, session: Session) -> None:
        if self._status.training_failure:
            session.denoiser.revive()
            session.denoiser.pause(not self._wish.knobs.train)
            self._status = replace(self._status, training_failure="")

    def _preview(self, opened: Opened, wish: Wish, camera: Camera, scale: float) -> None:
        result = opened.session.preview(camera, self._next_number(), scale)
        self._publish(opened, wish, result, preview=True)

    def _frame(self, opened: Opened, wish: Wish, camera: Camera) -> None:
        def check() -> None:
            newest = self._wish
            overtaken = newest.moving and opened.pace.too_slow(self._frame_ms)
            if self._stop or self._orders or overtaken:
                raise _Stale

        start = time.perf_counter()
        reference = opened.reference.find(camera, opened.spp, wish.moving)
        train = wish.knobs.train and not self._status.training_failure
        gathering = opened.gathering(wish)
        result = opened.session.advance(camera, self._next_number(), reference, train, check, gathering)
        self._frame_ms = 1e3 * (time.perf_counter() - start)
        self._publish(opened, wish, result, preview=False)
        opened.last_path_frame = wish.path_frame
        self._status = replace(self._status, note="", stages=())

    def _look_around(self, opened: Opened, wish: Wish, camera: Camera) -> None:
        view = widened(viewpoint_of(camera))
        if self._around is None or not self._around.viewpoint.same_as(view):
            result = opened.session.preview(camera_of(opened.session, view), self._next_number(), SCALE_AROUND)
            self._around = picture_of(result, wish, True, opened.reference.spp, oidn=False)

    def _publish(self, opened: Opened, wish: Wish, result: Result, preview: bool) -> None:
        oidn = wish.oidn and opened.facts.oidn
        self._picture = picture = picture_of(result, wish, preview, opened.reference.spp, oidn)
        if not preview:
            self.series.append(sample_of(result, picture))
        self._wake()

    def _switch(self, options: WalkOptions, again: bool = False) -> None:
        """Opens a scene, and then closes the old one. again: it is the same scene."""
        left, old_status = self._opened, self._status
        try:
            name = scene_name(find_scene(options.scene))
            self._status = replace(old_status, phase="opening", failure="", stages=())
            self._begin("loading PyTorch")
            import_module("noisewalk.app.session")
            self._begin(f"opening {name}")
            opened = Opened(options, self._tell)
            if again and left is not None:
                opened.take_over(left)
        except (RendererError, DenoiserError, OSError, RuntimeError, ValueError, MemoryError) as error:
            self._status = old_status if left else replace(old_status, phase="failed", failure=str(error))
            named = options.scene in str(error)
            self._tell(str(error) if named else f"cannot open {options.scene}: {error}", error=True)
            return
        self._opened, self._options, self._frame_ms = opened, options, 0.0
        self._picture = self._around = None
        if left is not None:
            left.leave()
        if not again:
            self._wish = Wish(self._wish.knobs)
        self.series.clear()
        self._status = Status("running", "", opened.facts, stages=self._status.stages)
        self._begin("preparing kernels")  # compiled, or found where they were kept: nobody can tell before
        for warning in opened.facts.warnings:
            self._tell(warning)

    def _begin(self, stage: str) -> None:
        self._status = self._status.begun(stage, time.monotonic())
        self._wake()

    def _recover(self) -> None:
        if self._status.phase == "failed":
            saved = self._saved_weights
            self._switch(replace(self._options, weights=saved if saved and saved.exists() else self._options.weights))

    def _fail(self, cause: str) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            self._saved_weights = opened.autosave.file
            try:
                opened.leave()
            except Exception as error:  # noqa: BLE001 (the first cause is the one to show)
                print(f"noisewalk: warning: {error}", file=sys.stderr)
        self._status = replace(self._status, phase="failed", failure=cause)
        self._tell(cause, error=True)


def _give_way() -> None:
    """Gives this thread and all threads that it starts (Dr.Jit's, torch's) a lower priority than the window."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
