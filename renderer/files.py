"""Files that a crash must not leave half-written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_aside(file: Path) -> Iterator[Path]:
    """A temporary path to write to. At the end of the block it becomes `file`; if the block fails, it is deleted."""
    temporary = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    with naming(file):
        try:
            yield temporary
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """Errors of the block name this file: a disk that is full says not where."""
    try:
        yield
    except OSError as error:
        if error.strerror:
            error.filename, error.filename2 = str(file), None
        raise
