"""How large pictures may be while the camera moves."""

from __future__ import annotations

SCALES = (1 / 8, 1 / 4, 1 / 2, 1.0)  # of the frame's width and height; for each size, kernels are prepared once
FIRST = 1
TARGET_MS = 100
TARGET_RANGE = (20, 1000)  # milliseconds
SLOW = 2.0  # a full frame that takes so many times the target is too slow for a camera in motion
GROWTH = 4.0  # the next size has so many times the pixels
PATIENCE = 4  # so many pictures in time before a larger size is tried


class Pace:
    """Finds the largest size whose pictures take no longer than `target` milliseconds. It may change at any time."""

    def __init__(self, target: float = TARGET_MS) -> None:
        self.target = target
        self._level = FIRST
        self._seen = 0  # pictures at this size
        self._quick = 0

    @property
    def scale(self) -> float:
        """Of the next picture's width and height."""
        return SCALES[self._level]

    def too_slow(self, milliseconds: float) -> bool:
        """Whether a full frame that takes so long is not for a camera in motion."""
        return milliseconds > SLOW * self.target

    def took(self, milliseconds: float) -> None:
        """To be told of each picture. The first one of a size is no measure: its kernels are prepared."""
        self._seen += 1
        if self._seen == 1:
            return
        self._quick = self._quick + 1 if milliseconds * GROWTH < self.target else 0
        if milliseconds > self.target:
            self._step(-1)
        elif self._quick >= PATIENCE:
            self._step(1)

    def _step(self, change: int) -> None:
        level = min(max(self._level + change, 0), len(SCALES) - 1)
        if level != self._level:
            self._level, self._seen, self._quick = level, 0, 0
