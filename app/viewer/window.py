"""`noisewalk SCENE`: the window and its main loop. Nothing slow runs here."""

from __future__ import annotations

import ctypes
import os
import statistics
import sys
import time
from collections import deque
from typing import Any

from imgui_bundle import imgui  # before glfw: one GLFW copy is loaded, and the first decides

# isort: split
import glfw
import moderngl
import numpy as np
import psutil

from noisewalk.app import STARTED
from noisewalk.app.console import StopSignal, Talk
from noisewalk.app.errors import EXIT_USAGE, UsageError
from noisewalk.app.flying.engine import Engine
from noisewalk.app.flying.preferences import Preferences, load_preferences
from noisewalk.app.flying.view import BACKGROUND
from noisewalk.app.flying.viewer import Viewer
from noisewalk.app.options import WalkOptions
from noisewalk.app.viewer.dialogs import NativeDialogs
from noisewalk.app.viewer.display import Area, Display
from noisewalk.app.viewer.hands import Hands
from noisewalk.app.viewer.interface import Interface
from noisewalk.renderer.bundled import find_scene

GL_VERSION = (3, 3)
TIMED_FRAMES = 100_000
LIVELY_SECONDS = 0.5  # so long after the last key or mouse move, the window is drawn at the display's rate
IDLE_PERIOD, OPENING_PERIOD = 0.25, 0.05
_KEPT: list[Any] = []  # callbacks that C code still uses
INSTEAD = "add --headless to walk without a window"


def view(options: WalkOptions, talk: Talk) -> int:
    """Opens the window, runs until it is closed, and returns the exit code.

    Raises UsageError if there is no display or no GL, SceneError if there is no such scene.
    """
    find_scene(options.scene)
    preferences = load_preferences()
    window = Window(preferences)
    try:
        viewer = Viewer(Engine(options, glfw.post_empty_event), preferences)
        try:
            with StopSignal("closing; once more to stop at once") as stop:
                _report_lost_display(viewer)
                # Importing torch and Mitsuba would slow down Python in this thread. So the window is opened first.
                window.frame(viewer)
                viewer.engine.start()
                while not (stop.requested or viewer.quitting):
                    window.frame(viewer)
                    if window.closed():
                        viewer.carefully(viewer.quit)
        finally:
            # After a defect in the program too: what was learned must not be lost.
            window.hide()
            viewer.save_preferences(window.size, window.layout())
            ended = viewer.close()
        talk.result(window.report())
    finally:
        window.close()
    return viewer.exit_code(ended, stop.requested)


class Window:
    """GLFW window, GL context and ImGui. Raises UsageError if one of them cannot be made."""

    def __init__(self, preferences: Preferences) -> None:
        self._errors: list[str] = []
        glfw.set_error_callback(lambda code, text: self._errors.append(_text(text)))
        if not glfw.init():
            raise UsageError(f"no window can be opened ({self._cause('no display')}): {INSTEAD}")
        try:
            self._open(preferences)
        except BaseException:
            glfw.terminate()
            raise

    def _open(self, preferences: Preferences) -> None:
        for hint, value in (
            (glfw.CONTEXT_VERSION_MAJOR, GL_VERSION[0]),
            (glfw.CONTEXT_VERSION_MINOR, GL_VERSION[1]),
            (glfw.OPENGL_PROFILE, glfw.OPENGL_CORE_PROFILE),
            (glfw.OPENGL_FORWARD_COMPAT, True),
            (glfw.SCALE_TO_MONITOR, True),
        ):
            glfw.window_hint(hint, value)
        self._window = glfw.create_window(*_fitting(preferences.window), "noisewalk", None, None)
        if not self._window:
            version = ".".join(map(str, GL_VERSION))
            raise UsageError(f"no window with OpenGL {version} ({self._cause('the driver gives none')}): {INSTEAD}")
        glfw.make_context_current(self._window)
        glfw.swap_interval(1)
        try:
            self._context = moderngl.create_context(require=100 * GL_VERSION[0] + 10 * GL_VERSION[1])
        except Exception as error:  # moderngl raises bare exceptions of several kinds
            raise UsageError(f"OpenGL does not work here ({error}): {INSTEAD}") from error
        self._dropped: list[str] = []
        self._lively_until = time.monotonic() + LIVELY_SECONDS
        glfw.set_drop_callback(self._window, self._drop)
        for watch in (
            glfw.set_key_callback,
            glfw.set_cursor_pos_callback,
            glfw.set_mouse_button_callback,
            glfw.set_scroll_callback,
            glfw.set_window_focus_callback,
            glfw.set_framebuffer_size_callback,
        ):
            watch(self._window, self._touched)
        self._interface = Interface(self._scale(), preferences.layout)
        # Installed last: ImGui's callbacks pass on to those that are there already.
        imgui.backends.glfw_init_for_opengl(ctypes.cast(self._window, ctypes.c_void_p).value or 0, True)
        imgui.backends.opengl3_init("#version 330")
        self._display = Display(self._context)
        self._hands, self._dialogs = Hands(), NativeDialogs()
        self._area = Area(0, 0, *preferences.window)
        self._title = ""
        self._drawn_at = time.monotonic()
        self._seconds: deque[float] = deque(maxlen=TIMED_FRAMES)
        self._seconds_to: dict[str, float] = {}

    def closed(self) -> bool:
        """Whether the person has closed the window since the last time. It stays until the program ends it."""
        closing = bool(glfw.window_should_close(self._window))
        glfw.set_window_should_close(self._window, False)
        return closing

    @property
    def size(self) -> tuple[int, int]:
        """Width and height at scale 1."""
        width, height = glfw.get_window_size(self._window)
        scale = self._scale() if sys.platform != "darwin" else 1.0
        return max(200, round(width / scale)), max(200, round(height / scale))

    def frame(self, viewer: Viewer) -> None:
        """One turn of the main loop: events, one drawn frame, at the display's own rate."""
        now = time.monotonic()
        lively = viewer.moving or viewer.flight.recording or imgui.get_io().want_text_input
        if lively or now < self._lively_until:
            glfw.poll_events()
        else:
            # Nothing moves: processors that also render, or even draw, have better things to do than the same picture.
            glfw.wait_events_timeout(OPENING_PERIOD if viewer.picture is None else IDLE_PERIOD)
            self._drawn_at = time.monotonic()
        if self._dropped:
            viewer.drop(self._dropped)
            self._dropped = []
        self._dialogs.poll(viewer)
        width, height = glfw.get_framebuffer_size(self._window)
        if width == 0 or height == 0 or glfw.get_window_attrib(self._window, glfw.ICONIFIED):
            viewer.tick(None)
            glfw.wait_events_timeout(0.1)
            self._drawn_at = time.monotonic()
            return
        self._draw(viewer, width, height)
        glfw.swap_buffers(self._window)
        self._keep_time(viewer)

    def _draw(self, viewer: Viewer, width: int, height: int) -> None:
        imgui.backends.opengl3_new_frame()
        imgui.backends.glfw_new_frame()
        imgui.new_frame()
        self._area = self._interface.draw(viewer)
        viewer.tick(self._hands.read(viewer, self._area))
        imgui.render()
        screen = self._context.screen
        screen.use()
        screen.viewport = (0, 0, width, height)
        self._context.clear(*BACKGROUND)
        ratio = imgui.get_io().display_framebuffer_scale
        area = self._area
        pixels = Area(area.x * ratio.x, area.y * ratio.y, area.width * ratio.x, area.height * ratio.y)
        picture = viewer.picture
        warp = np.eye(3) if picture is None else viewer.warp(picture)
        self._display.draw(screen, height, pixels, picture, viewer.view, viewer.size, warp, viewer.around())
        imgui.backends.opengl3_render_draw_data(imgui.get_draw_data())
        if viewer.screenshot_wanted:
            viewer.screenshot(self._display.image)
        title = f"{viewer.scene.name} - noisewalk" if viewer.scene else "noisewalk"
        if title != self._title:
            self._title = title
            glfw.set_window_title(self._window, title)

    def _touched(self, *event: Any) -> None:
        """Somebody is there."""
        self._lively_until = time.monotonic() + LIVELY_SECONDS

    def _drop(self, window: Any, paths: Any, *more: Any) -> None:
        self._touched()
        self._dropped = [_text(path) for path in paths]

    def layout(self) -> str:
        """Where ImGui's windows are, as its own text."""
        return imgui.save_ini_settings_to_memory()

    def hide(self) -> None:
        """At once, while threads still end."""
        glfw.hide_window(self._window)
        glfw.poll_events()

    def report(self) -> dict[str, Any]:
        """Times of the main loop, for `--json`."""
        seconds = sorted(self._seconds)
        return {
            "drawn_frames": len(seconds),
            "frame_ms_median": round(1e3 * statistics.median(seconds), 2) if seconds else None,
            "frame_ms_99": round(1e3 * seconds[int(0.99 * len(seconds))], 2) if seconds else None,
            "frame_ms_worst": round(1e3 * seconds[-1], 2) if seconds else None,
            "seconds_to": {name: round(value, 2) for name, value in self._seconds_to.items()},
            "memory_mb": round(psutil.Process().memory_info().rss / 2**20),
            "upload": self._display.upload,
            "gl": self._context.info["GL_RENDERER"],
        }

    def close(self) -> None:
        """Frees everything."""
        imgui.backends.opengl3_shutdown()
        imgui.backends.glfw_shutdown()
        self._interface.close()
        self._context.release()
        glfw.terminate()

    def _scale(self) -> float:
        """Of text and widgets, in window coordinates, which on some systems have the density in them already."""
        content = glfw.get_window_content_scale(self._window)[0]
        ratio = glfw.get_framebuffer_size(self._window)[0] / max(1, glfw.get_window_size(self._window)[0])
        return max(0.5, content / max(ratio, 0.5))

    def _keep_time(self, viewer: Viewer) -> None:
        """Where the driver does not wait for the display, waits for the rest of its period."""
        mode = glfw.get_video_mode(glfw.get_primary_monitor()) if glfw.get_primary_monitor() else None
        period = 1.0 / (mode.refresh_rate if mode and mode.refresh_rate > 0 else 60)
        left = period - (time.monotonic() - self._drawn_at)
        if left > 0.001:
            time.sleep(left)
        now = time.monotonic()
        if now < self._lively_until or viewer.moving:
            self._seconds.append(now - self._drawn_at)
        self._drawn_at = now
        for name, there in (("window", True), ("picture", viewer.picture is not None)):
            if there and name not in self._seconds_to:
                self._seconds_to[name] = now - STARTED

    def _cause(self, otherwise: str) -> str:
        return self._errors[-1] if self._errors else otherwise


def _fitting(size: tuple[int, int]) -> tuple[int, int]:
    """The size, at scale 1, cut to what the display has room for."""
    monitor = glfw.get_primary_monitor()
    if not monitor:
        return size
    scale = glfw.get_monitor_content_scale(monitor)[0] if sys.platform != "darwin" else 1.0
    _, _, width, height = glfw.get_monitor_workarea(monitor)
    return min(size[0], int(width / scale)), min(size[1], int(height / scale))


def _report_lost_display(viewer: Viewer) -> None:
    """Xlib ends the process when the X server goes away; before that, the weights are saved and the cause is said."""
    if sys.platform != "linux" or glfw.get_platform() != glfw.PLATFORM_X11:
        return

    def lost(display: int) -> int:
        viewer.engine.rescue_weights()
        print("noisewalk: error: the display is gone; the weights are in the cache", file=sys.stderr, flush=True)
        os._exit(EXIT_USAGE)

    handler = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(lost)
    _KEPT.append(handler)
    ctypes.CDLL("libX11.so.6").XSetIOErrorHandler(handler)


def _text(text: str | bytes) -> str:
    return text.decode(errors="replace") if isinstance(text, bytes) else text
