"""The scenes that come with the program. Light: nothing heavy is imported to list them."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).resolve().parent.parent / "scenes"


def bundled_scenes() -> dict[str, Path]:
    """Names and XML files of the bundled scenes."""
    return {file.parent.name: file for file in sorted(_FOLDER.glob("*/scene.xml"))}
