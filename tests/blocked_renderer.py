"""A real window over a renderer that blocks: hundreds of turns of the main loop pass inside one render.

Run by test_viewer_window.py as a program: `python -m tests.blocked_renderer SCENE CACHE_DIR`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from imgui_bundle import imgui

from noisewalk.app.flying.engine import Engine
from noisewalk.app.flying.preferences import Preferences
from noisewalk.app.flying.viewer import Viewer
from noisewalk.app.options import WalkOptions
from noisewalk.app.viewer.window import Window
from noisewalk.renderer.frame import Camera, NoisyPair
from noisewalk.renderer.path_tracer import PathTracer
from tests.desktop import wait_for

TURNS = 100


def main(scene: str, cache_dir: str) -> None:
    """Raises AssertionError where drawing or input wait for the renderer."""
    go_on, inside = threading.Event(), threading.Event()
    render = PathTracer.render_pair

    def blocked(self: PathTracer, camera: Camera, index: int, check: Callable[[], None] = lambda: None) -> NoisyPair:
        inside.set()
        assert go_on.wait(120)
        return render(self, camera, index, check)

    PathTracer.render_pair = blocked  # type: ignore[method-assign]
    window = Window(Preferences())
    options = WalkOptions(scene=scene, width=32, height=24, spp=1, cache_dir=Path(cache_dir))
    viewer = Viewer(Engine(options), Preferences())
    viewer.engine.start()
    try:
        wait_for(inside.is_set, "the render")
        for _ in range(3):
            window.frame(viewer)
        position = viewer.camera.pose[:3, 3].copy()
        imgui.get_io().add_key_event(imgui.Key.w, True)
        for _ in range(TURNS):
            window.frame(viewer)
        assert not go_on.is_set() and viewer.picture is None
        assert np.linalg.norm(viewer.camera.pose[:3, 3] - position) > 0
        assert window.report()["drawn_frames"] >= 0.9 * TURNS
        imgui.get_io().add_key_event(imgui.Key.w, False)
        go_on.set()
        wait_for(lambda: window.frame(viewer) or viewer.picture, "the picture")
    finally:
        go_on.set()
        assert viewer.close()
        window.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
