"""Files that a crash must not leave half-written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import UsageError


@contextmanager
def written_aside(file: Path) -> Iterator[Path]:
    """A temporary path to write to; it becomes `file` at the end of the block, and goes away if the block fails."""
    temporary = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def require_folder(file: Path) -> None:
    """For files that are written at the end of something long. Raises UsageError where there is no place for it."""
    if not file.parent.is_dir():
        raise UsageError(f"{file}: there is no folder {file.parent}")
