"""How the program ends when it does not end well."""

from __future__ import annotations

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class UsageError(ValueError):
    """Something that the person can put right; the message is one line that names what and why."""


class Interrupted(Exception):
    """Ctrl-C or SIGTERM, noticed at a place where nothing is lost."""
