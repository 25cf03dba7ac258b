"""Keeps what was learned in the cache, so that no exit loses it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from noisewalk.app.session import Session

AUTOSAVE_SECONDS = 60.0
KEPT_WEIGHTS = 32


class Autosave:
    """Keeps one `file` for each scene and model. A network with fewer steps does not replace one with more.

    `tell` gets a line of text when saving fails.
    """

    def __init__(self, session: Session, tell: Callable[[str], None]) -> None:
        scene, options = session.scene, session.options
        name = f"{scene.name}-{scene.content_hash[:16]}-{options.model}.safetensors"
        self.file = options.cache_dir / "weights" / name
        self._session, self._tell = session, tell
        self._saved_at = time.monotonic()
        self._saved_steps: int | None = None  # of the network in the file; None until it is first needed

    @property
    def due(self) -> bool:
        """Whether AUTOSAVE_SECONDS have passed since the last time."""
        return time.monotonic() - self._saved_at > AUTOSAVE_SECONDS

    def save(self) -> None:
        """Saves the published weights. Any thread may call this."""
        self._saved_at = time.monotonic()
        if self._saved_steps is None:
            self._saved_steps = _steps_in(self.file)
        try:
            steps = self._session.denoiser.weights().steps
            if steps <= self._saved_steps:
                return
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self._session.save_weights(self.file)
            self._saved_steps = steps
            self._forget_the_oldest()
        except (OSError, RuntimeError) as error:  # RuntimeError: the device that holds the weights may have failed
            self._tell(f"the weights cannot be saved: {error}")

    def _forget_the_oldest(self) -> None:
        by_age = sorted(self.file.parent.glob("*.safetensors"), key=lambda f: f.stat().st_mtime)
        for old in by_age[:-KEPT_WEIGHTS]:
            old.unlink(missing_ok=True)


def _steps_in(file: Path) -> int:
    """Training steps of saved weights; 0 where there is no file, or one that cannot be used."""
    from noisewalk.denoiser.weights import WeightsError, load_weights

    try:
        steps = load_weights(file)[1].get("steps")
    except WeightsError:
        return 0
    return steps if isinstance(steps, int) else 0
