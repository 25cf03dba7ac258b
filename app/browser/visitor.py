"""One browser: its pictures, its camera, and its view settings."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import viser
from PIL import Image

from noisewalk.app.browser.axes import Axes, Matrix
from noisewalk.app.browser.link import Link
from noisewalk.app.flying.develop import develop
from noisewalk.app.flying.messages import Picture
from noisewalk.app.flying.view import BACKGROUND, DisplaySettings

ANSWER_SECONDS = 10.0  # after so long without an answer, the next picture is sent
PLACING_SECONDS = 1.0  # after moving a browser's camera, what it reports for so long may be the old place
ASPECTS = (0.2, 5.0)
SMALLEST = 128  # pixels; no link needs smaller pictures


class Visitor:
    """A visitor. A thread sends the newest picture when the last one has arrived: never two at once, never an old one.

    newest: gives the picture to show now. view: the settings of this visitor.
    """

    def __init__(self, client: viser.ClientHandle, newest: Callable[[], Picture | None]) -> None:
        self.client, self.view, self.link = client, DisplaySettings(), Link()
        self.looks_around = False
        self._newest = newest
        self._news = threading.Event()
        self._gone = False
        self._told: tuple[Matrix, Matrix] | None = None
        self._at: Matrix | None = None
        self._placed_at = 0.0
        client.camera.on_update(self._camera_told)
        self._thread = threading.Thread(target=self._send, name=f"visitor {client.client_id}", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Tells the thread that there is something new to show."""
        self._news.set()

    def leave(self) -> None:
        """Ends the thread."""
        self._gone = True
        self._news.set()

    def place(self, axes: Axes, pose: Matrix, distance: float) -> None:
        """Moves the browser's camera. distance: the viewing distance of the scene."""
        self._at, self._placed_at = pose, time.monotonic()
        place = axes.place(pose, distance / 50 if self.looks_around else distance)
        camera = self.client.camera
        with self.client.atomic():
            camera.up_direction = place.up
            camera.position = place.position
            camera.look_at = place.look_at

    def steered(self, axes: Axes) -> Matrix | None:
        """The new view if the visitor has moved the camera since the last call, else None."""
        told, self._told = self._told, None
        pose = axes.pose(*told) if told else None
        if pose is None or self._at is None:
            return None
        if axes.same(pose, self._at):
            self._placed_at = 0.0
            return None
        if time.monotonic() - self._placed_at < PLACING_SECONDS:
            self._told = self._told or told
            return None
        self._at = pose
        return pose

    def notify(self, text: str, error: bool) -> None:
        """Shows a line over the picture. An error stays until it is closed."""
        color, seconds = ("red", None) if error else (None, 6.0)
        self.client.add_notification("", text, auto_close_seconds=seconds, color=color)  # type: ignore[arg-type]

    async def _camera_told(self, camera: viser.CameraHandle) -> None:
        self._told = np.array(camera.position), np.array(camera.wxyz)

    def _send(self) -> None:
        shown: tuple[int, DisplaySettings, float] | None = None
        while not self._gone:
            self._news.wait()
            self._news.clear()
            picture, view, aspect = self._newest(), replace(self.view), self._aspect()
            if self._gone or picture is None or (picture.number, view, aspect) == shown:
                continue
            shown = picture.number, view, aspect
            pixels = framed(self._scaled(develop(picture, view), picture.preview), aspect)
            self.client.scene.set_background_image(pixels, "jpeg", jpeg_quality=self.link.quality)
            self.link.answered(self._answer())
            self._news.set()  # there may be something new already

    def _answer(self) -> float:
        """Seconds until the browser has handled the picture. It answers messages in their order."""
        start = time.monotonic()
        with contextlib.suppress(RuntimeError, TimeoutError):  # gone, asleep, or no storage: an answer too
            self.client.local_storage.get_item("noisewalk", ANSWER_SECONDS)
        return time.monotonic() - start

    def _scaled(self, pixels: np.ndarray, preview: bool) -> np.ndarray:
        """The picture, not larger than the link carries and the browser shows. Previews are small already."""
        height, width = pixels.shape[:2]
        scale = min(max(self.link.scale, SMALLEST / height), self.client.camera.image_height / height)
        if scale >= 1.0 or preview:
            return pixels
        size = max(1, round(width * scale)), max(1, round(height * scale))
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))

    def _aspect(self) -> float:
        """Width divided by height of the browser's canvas."""
        camera = self.client.camera
        return float(np.clip(camera.image_width / max(1, camera.image_height), *ASPECTS))


def framed(pixels: np.ndarray, aspect: float) -> np.ndarray:
    """Puts (H, W, 3) into the middle of a picture of that aspect, because viser stretches it over its canvas."""
    height, width = pixels.shape[:2]
    full_width, full_height = max(width, round(height * aspect)), max(height, round(width / aspect))
    left, top = (full_width - width) // 2, (full_height - height) // 2
    ground = np.empty((full_height, full_width, 3), np.uint8)
    ground[:] = np.round(np.array(BACKGROUND) * 255)
    ground[top : top + height, left : left + width] = pixels
    return ground
