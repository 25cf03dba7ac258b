"""Where files can be written."""

from __future__ import annotations

from pathlib import Path

from app.errors import UsageError


def require_folder(file: Path) -> None:
    """For files that are written at the end of something long. Raises UsageError where there is no place for it."""
    if not file.parent.is_dir():
        raise UsageError(f"{file}: there is no folder {file.parent}")
