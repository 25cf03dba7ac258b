"""What is kept when the window closes: exposure, speed, recent scenes, layout. A damaged file gives the defaults."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import platformdirs

from noisewalk.app.flying.flight import ENDS
from noisewalk.app.flying.view import EXPOSURE_RANGE, TONES
from noisewalk.renderer.files import written_aside

FILE = Path(platformdirs.user_config_dir("noisewalk")) / "viewer.json"
MAX_RECENT = 12
TEXT_SCALES = (0.7, 2.5)
WINDOW_SIZE = (1280, 720)


@dataclass(frozen=True)
class Preferences:
    """exposure: in stops. speed: in viewing distances per second. text_scale: of all text, beside the display's own.
    layout: ImGui's own text. window: (width, height).
    """

    exposure: float = 0.0
    tone: str = "paper"
    error_scale: float = 0.25
    speed: float = 0.5
    at_end: str = "round"
    text_scale: float = 1.0
    recent: tuple[str, ...] = ()
    window: tuple[int, int] = WINDOW_SIZE
    layout: str = field(default="", repr=False)

    def with_recent(self, scene: str) -> Preferences:
        """The same, with this scene first among the recent ones."""
        return replace(self, recent=(scene, *(s for s in self.recent if s != scene))[:MAX_RECENT])


def load_preferences(file: Path = FILE) -> Preferences:
    """What was saved. What is missing or makes no sense gets its default."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return Preferences()
    known = {f.name: stored[f.name] for f in fields(Preferences) if isinstance(stored, dict) and f.name in stored}
    return Preferences(**{name: value for name, value in known.items() if _CHECKS[name](value)} | _tuples(known))


def save_preferences(preferences: Preferences, file: Path = FILE) -> None:
    """Writes the file. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(file) as temporary:
        temporary.write_text(json.dumps(asdict(preferences), indent=1), encoding="utf-8")


def _tuples(known: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(known[name]) for name in ("recent", "window") if name in known and _CHECKS[name](known[name])}


def _number(low: float, high: float) -> Any:
    return lambda value: isinstance(value, int | float) and low <= value <= high


def _text(value: Any) -> bool:
    """Text that ImGui can take: JSON may contain half of a surrogate pair, which is no text."""
    return isinstance(value, str) and value.encode(errors="replace").decode() == value


def _window(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(v, int) and 200 <= v <= 16384 for v in value)


_CHECKS: dict[str, Any] = {
    "exposure": _number(*EXPOSURE_RANGE),
    "tone": lambda value: isinstance(value, str) and value in TONES,
    "error_scale": _number(1e-3, 1),
    "speed": _number(1e-3, 1e3),
    "at_end": lambda value: isinstance(value, str) and value in ENDS,
    "text_scale": _number(*TEXT_SCALES),
    "recent": lambda value: isinstance(value, list) and all(map(_text, value)),
    "window": _window,
    "layout": _text,
}
