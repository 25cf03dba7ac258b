"""Errors and exit codes."""

from __future__ import annotations

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class UsageError(ValueError):
    """Something that a person can correct. The message is one line that names what and why."""


class Interrupted(Exception):
    """Ctrl-C or SIGTERM came. It is raised at a place where nothing is lost."""
