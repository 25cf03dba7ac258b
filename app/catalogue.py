"""`noisewalk scenes`: the bundled scenes and what they are."""

from __future__ import annotations

import re
from pathlib import Path

from noisewalk.app.console import Talk
from noisewalk.renderer.bundled import bundled_scenes


def scenes(talk: Talk) -> int:
    """Lists the bundled scenes with the first line of what they test."""
    talk.listing({name: _describe(file.parent / "README.md") for name, file in bundled_scenes().items()})
    return 0


def _describe(readme: Path) -> str:
    """The first sentence after the heading, or its part before a colon."""
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    paragraph = " ".join(line for line in text.splitlines() if not line.startswith("#"))
    return re.split(r"[.:](?:\s|$)", paragraph.strip(), maxsplit=1)[0]
