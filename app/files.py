"""Files of the program: where they can be written, and JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from noisewalk.app.errors import UsageError
from noisewalk.renderer.files import written_aside


def require_folder(file: Path) -> None:
    """For files that are written at the end of something long. Raises UsageError where there is no place for it."""
    if not file.parent.is_dir():
        raise UsageError(f"{file}: there is no folder {file.parent}")


def new_folder(given: Path | None, parent: str) -> Path:
    """The folder that a person chose, which must be empty, or else a new one: parent/001, ... Raises UsageError."""
    if given is not None:
        if given.exists() and any(given.iterdir()):
            raise UsageError(f"{given}: not empty: choose another folder with --out")
        given.mkdir(parents=True, exist_ok=True)
        return given
    number = 1
    while (folder := Path(parent) / f"{number:03d}").exists():
        number += 1
    folder.mkdir(parents=True)
    return folder


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object. Raises UsageError naming the file."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{file}: not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise UsageError(f"{file}: not a JSON object")
    return document


def write_json(file: Path, document: dict[str, Any]) -> None:
    """Writes aside, then renames."""
    with written_aside(file) as temporary:
        temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
