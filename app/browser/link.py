"""How much a link carries: the size and quality of pictures follow from how long they take to arrive."""

from __future__ import annotations

# (share of the frame's width and height, JPEG quality), from what a bad link carries to what a good one does.
LEVELS = ((0.25, 40), (0.5, 50), (0.5, 75), (1.0, 60), (1.0, 80), (1.0, 92))
FIRST = 4
SLOW, QUICK = 0.25, 0.1  # seconds
PATIENCE = 8  # quick answers, until more is tried


class Link:
    """Of one visitor. `seconds`: how long the last picture took to be answered."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._level = FIRST
        self._quick = 0

    @property
    def scale(self) -> float:
        return LEVELS[self._level][0]

    @property
    def quality(self) -> int:
        return LEVELS[self._level][1]

    def answered(self, seconds: float) -> None:
        """A picture has arrived: less is sent at once where that took long, more only after a while."""
        self.seconds = seconds
        self._quick = self._quick + 1 if seconds < QUICK else 0
        if seconds > SLOW:
            self._level = max(0, self._level - 1)
        elif self._quick >= PATIENCE:
            self._level, self._quick = min(len(LEVELS) - 1, self._level + 1), 0
