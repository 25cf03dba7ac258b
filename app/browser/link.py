"""How much a link can carry. Size and quality of pictures depend on how long they take to arrive."""

from __future__ import annotations

# (share of the frame's width and height, JPEG quality), from a bad link to a good one.
LEVELS = ((0.25, 40), (0.5, 50), (0.5, 75), (1.0, 60), (1.0, 80), (1.0, 92))
FIRST = 4
SLOW, QUICK = 0.25, 0.1  # seconds
PATIENCE = 8  # so many quick answers, before more is tried


class Link:
    """The link of one visitor. seconds: from sending the last picture to its answer."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._level = FIRST
        self._quick = 0

    @property
    def scale(self) -> float:
        """The share of the frame's width and height to send."""
        return LEVELS[self._level][0]

    @property
    def quality(self) -> int:
        """The JPEG quality, 0 to 100."""
        return LEVELS[self._level][1]

    def answered(self, seconds: float) -> None:
        """To be called when a picture has arrived. After a slow one, less is sent at once; more only after a while."""
        self.seconds = seconds
        self._quick = self._quick + 1 if seconds < QUICK else 0
        if seconds > SLOW:
            self._level = max(0, self._level - 1)
        elif self._quick >= PATIENCE:
            self._level, self._quick = min(len(LEVELS) - 1, self._level + 1), 0
