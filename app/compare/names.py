"""Names of scenes that differ, for those that are walked together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from noisewalk.app.errors import UsageError
from noisewalk.renderer.bundled import find_scene, scene_name


def distinct_names(scenes: Sequence[str]) -> list[str]:
    """The names of the scenes. Equal names get so many of their folders in front that they differ.

    Raises SceneError if there is no such scene, UsageError if one is named twice.
    """
    files = [Path(os.path.abspath(find_scene(scene))) for scene in scenes]
    for scene, file in zip(scenes, files, strict=True):
        if files.count(file) > 1:
            raise UsageError(f"{scene}: named twice")
    return [_distinct_name(file, files) for file in files]


def _distinct_name(file: Path, files: Sequence[Path]) -> str:
    for depth in range(len(file.parts)):
        name = _longer_name(file, depth)
        if all(other == file or _longer_name(other, depth) != name for other in files):
            return name
    return str(file)


def _longer_name(file: Path, depth: int) -> str:
    """The scene's name after the last `depth` folders of its path."""
    above = (file.parent if file.name == "scene.xml" else file).parent
    return "/".join([*above.parts[max(0, len(above.parts) - depth) :], scene_name(file)])
