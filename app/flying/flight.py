"""The flight through a scene: play, scrub, record, edit. Nothing is drawn here."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from noisewalk.app.flying.messages import Viewpoint

if TYPE_CHECKING:
    from noisewalk.renderer.camera_path import CameraPath, Keyframe
    from noisewalk.renderer.frame import Camera

RECORD_SECONDS = 0.5  # between recorded keyframes
MAX_KEYFRAMES = 1000
FPS = 25.0
SECONDS_RANGE = (0.0, 3600.0)  # of a path; one frame at least
ENDS = {"round": "goes round", "back": "there and back", "stop": "stops"}  # what playing does at the path's end


class Flight:
    """A path, and the present frame on it. An edited `path` is another object. edited: there are changes to save.

    at_end:      one of ENDS.
    every_frame: playing waits until each frame is shown, so that each is trained on and measured. Without it, playing
                 keeps the path's own speed, and shows what is ready.
    """

    def __init__(self) -> None:
        self.path: CameraPath | None = None
        self.frame = 0
        self.playing = False
        self.at_end = "round"
        self.every_frame = False
        self.edited = False
        self.selected: int | None = None
        self._step = 1
        self._advanced_at: float | None = None  # when the present frame was due; None until the first tick
        self._recorded: list[Keyframe] | None = None
        self._recorded_at = 0.0

    @property
    def recording(self) -> bool:
        """Whether a flight is being recorded."""
        return self._recorded is not None

    @property
    def recorded_keyframes(self) -> int:
        """Number of keyframes recorded so far."""
        return len(self._recorded or ())

    @property
    def keyframes(self) -> int:
        """Number of keyframes of the path."""
        return len(self.path.keyframes) if self.path else 0

    def take(self, path: CameraPath) -> None:
        """Flies another path from its beginning."""
        self.path, self.frame, self.playing, self.edited, self.selected = path, 0, False, False, None
        self._recorded, self._step = None, 1

    def restore(self, path: CameraPath) -> None:
        """Takes an earlier or later state of the same path, after an undo."""
        self.path, self.edited, self.playing, self.selected = path, True, False, None
        self.frame = min(self.frame, len(path) - 1)

    def view(self) -> Viewpoint:
        """The view of the present frame."""
        assert self.path
        return _viewpoint(self.path.camera(self.frame, 1, 1))

    def play(self, every_frame: bool = False) -> None:
        """Plays or pauses; starts over at the end."""
        if self.path is None:
            return
        self.playing = not self.playing
        self.every_frame, self._step, self._advanced_at = every_frame, 1, None
        if self.playing and self.at_end == "stop" and self.frame >= len(self.path) - 1:
            self.frame = 0

    def scrub(self, frame: int) -> None:
        """Goes to a frame of the path, and pauses there."""
        assert self.path
        self.playing = False
        self.frame = min(max(0, frame), len(self.path) - 1)

    @property
    def walking(self) -> bool:
        """Whether every frame of the path is waited for."""
        return self.playing and self.every_frame

    def tick(self, shown: int | None, now: float | None = None) -> bool:
        """While playing: goes on, at most `fps` frames a second. Returns whether it went.

        shown: the number of the frame that is shown. With `every_frame` there is no next one before it is the present.
        """
        now = time.monotonic() if now is None else now
        if not self.playing or self.path is None:
            return False
        if self.every_frame:
            due = self._advanced_at is None or now - self._advanced_at >= 1 / self.path.fps
            frames = int(shown == self.frame and due)
            self._advanced_at = now if frames else self._advanced_at
        else:
            self._advanced_at = now if self._advanced_at is None else self._advanced_at
            frames = int((now - self._advanced_at) * self.path.fps + 1e-6)
            self._advanced_at += frames / self.path.fps
        return frames > 0 and self._advance(frames)

    def _advance(self, frames: int) -> bool:
        """Returns whether the frame is another one now."""
        assert self.path
        before, last = self.frame, len(self.path) - 1
        if self.at_end == "back" and last > 0:
            there = (before if self._step > 0 else 2 * last - before) + frames
            there %= 2 * last
            self._step = 1 if there < last else -1
            self.frame = min(there, 2 * last - there)
        elif self.at_end == "round":
            self.frame = (before + frames) % (last + 1)
        else:
            self.frame = min(before + frames, last)
            self.playing = before + frames <= last
        return self.frame != before

    def record(self, viewpoint: Viewpoint) -> bool:
        """Starts or ends a recording. At its end the flight becomes the path. Returns whether it did."""
        recorded, self._recorded = self._recorded, None
        if recorded is None:
            self.playing = False
            self._recorded, self._recorded_at = [], 0.0
            self.record_tick(viewpoint)
            return False
        if not viewpoint.same_as(_viewpoint(recorded[-1])):
            recorded.append(_keyframe(viewpoint))  # the last position, after the last keyframe
        if len(recorded) < 2:
            return False
        self._make(recorded, RECORD_SECONDS * (len(recorded) - 1))
        self.frame, self.selected = 0, None
        return True

    def record_tick(self, viewpoint: Viewpoint, now: float | None = None) -> None:
        """While recording: a keyframe every RECORD_SECONDS."""
        now = time.monotonic() if now is None else now
        if self._recorded is None or now - self._recorded_at < RECORD_SECONDS:
            return
        self._recorded.append(_keyframe(viewpoint))
        self._recorded_at = now
        if len(self._recorded) >= MAX_KEYFRAMES:
            self.record(viewpoint)

    def go_to(self, index: int) -> None:
        """Selects a keyframe, and goes there."""
        assert self.path
        self.selected = index
        self.scrub(round(index * (len(self.path) - 1) / max(1, self.keyframes - 1)))

    def add(self, viewpoint: Viewpoint) -> None:
        """Adds a keyframe after the selected one, or at the end."""
        if self.keyframes >= MAX_KEYFRAMES:
            return
        keys = list(self.path.keyframes) if self.path else []
        at = len(keys) if self.selected is None else self.selected + 1
        keys.insert(at, _keyframe(viewpoint))
        self._make(keys, self._spacing() * (len(keys) - 1))
        self.go_to(at)

    def replace(self, viewpoint: Viewpoint) -> None:
        """Gives the selected keyframe another view."""
        if self.path is not None and self.selected is not None:
            keys = list(self.path.keyframes)
            keys[self.selected] = _keyframe(viewpoint)
            self._make(keys, self.path.seconds)

    def delete(self) -> None:
        """Deletes the selected keyframe, unless it is the only one."""
        if self.path is not None and self.selected is not None and self.keyframes > 1:
            keys = list(self.path.keyframes)
            del keys[self.selected]
            self._make(keys, self._spacing() * (len(keys) - 1))
            self.go_to(min(self.selected, len(keys) - 1))

    def set_seconds(self, seconds: float) -> None:
        """Sets the duration of the path in seconds."""
        assert self.path
        seconds = min(max(1 / self.path.fps, seconds), SECONDS_RANGE[1])
        self.path, self.edited = replace(self.path, seconds=seconds), True
        self.frame = min(self.frame, len(self.path) - 1)

    def _spacing(self) -> float:
        return self.path.seconds / (self.keyframes - 1) if self.path and self.keyframes > 1 else 1.0

    def _make(self, keyframes: list[Keyframe], seconds: float) -> None:
        from noisewalk.renderer.camera_path import CameraPath

        fps = self.path.fps if self.path else FPS
        self.path, self.edited = CameraPath(tuple(keyframes), fps, max(seconds, 1 / fps)), True
        self.frame = min(self.frame, len(self.path) - 1)


def _viewpoint(view: Keyframe | Camera) -> Viewpoint:
    return Viewpoint(view.to_world, view.fov_y, view.principal_point)


def _keyframe(viewpoint: Viewpoint) -> Keyframe:
    from noisewalk.renderer.camera_path import Keyframe

    return Keyframe(viewpoint.to_world.copy(), viewpoint.fov_y, viewpoint.principal_point)
