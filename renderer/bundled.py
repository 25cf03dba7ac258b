"""Finds scenes: bundled ones and files. It imports nothing heavy."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from noisewalk.renderer import RendererError

_FOLDER = Path(str(files("noisewalk.scenes")))


class SceneError(RendererError):
    """A scene that cannot be opened or flown. The message is one line that names the file and the cause."""


def bundled_scenes() -> dict[str, Path]:
    """Names and XML files of the bundled scenes."""
    return {file.parent.name: file for file in sorted(_FOLDER.glob("*/scene.xml"))}


def find_scene(name: str) -> Path:
    """The XML file of a bundled name, an XML path, or a folder that holds a scene.xml. Raises SceneError."""
    bundled = bundled_scenes()
    if name in bundled:
        return bundled[name]
    file = Path(name)
    if file.is_dir() and (file / "scene.xml").is_file():
        return file / "scene.xml"
    if not file.is_file():
        raise SceneError(f"{name}: no such scene file, and no bundled scene of this name ({', '.join(bundled)})")
    return file


def scene_name(file: Path) -> str:
    """The name of a scene, which its results also have: that of its file, or that of the folder of a scene.xml."""
    whole = Path(os.path.abspath(file))  # `scene.xml` and `../scene.xml` do not contain the name of their folder
    name = whole.parent.name if whole.name == "scene.xml" else whole.stem
    text = name.encode("utf-8", "replace").decode()  # a name whose bytes are not text cannot be written to files
    return text.strip(". ") or "scene"  # a folder cannot be called `..`
