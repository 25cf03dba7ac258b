"""Changes the tiny scene, and gives views of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from noisewalk.renderer.backend import Backend
from noisewalk.renderer.frame import Camera
from noisewalk.renderer.scene import Scene, open_scene
from tests.conftest import TINY_XML


def view(scene: Scene, width: int = 48, height: int = 32, shift: float = 0.0) -> Camera:
    """The scene's own view at another size, `shift` units to the side."""
    to_world = scene.start.to_world.copy()
    to_world[0, 3] += shift
    return replace(scene.start, to_world=to_world, width=width, height=height)


def load(tmp_path: Path, backend: Backend, old: str, new: str) -> Scene:
    """The tiny scene with the text `old` replaced by `new`."""
    assert old in TINY_XML
    file = tmp_path / "changed.xml"
    file.write_text(TINY_XML.replace(old, new))
    return open_scene(str(file), backend.variant)
