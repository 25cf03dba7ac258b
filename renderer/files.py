"""Files that a crash must not leave half-written."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


def make_folder(folder: Path) -> None:
    """Makes a folder and those above, where they are missing.

    Raises FileNotFoundError if another process deletes it meanwhile: `mkdir` finds it, then not, and calls that
    FileExistsError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        with suppress(FileNotFoundError):
            if not stat.S_ISDIR(folder.lstat().st_mode):
                raise error  # a file is there
        raise FileNotFoundError(errno.ENOENT, "deleted meanwhile", str(folder)) from error


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """Errors of the block name this file: a disk that is full says not where."""
    try:
        yield
    except OSError as error:
        if error.strerror:
            error.filename, error.filename2 = str(file), None
        raise
