"""Who flies: one visitor has the wheel. The others watch, and may ask for it."""

from __future__ import annotations

IDLE_SECONDS = 30.0  # after so long without a move, a visitor who asks gets the wheel


class Wheel:
    """Visitors by number, in the order in which they came. pilot: who flies; None if nobody is there."""

    def __init__(self) -> None:
        self.pilot: int | None = None
        self._visitors: list[int] = []
        self._asking: list[int] = []
        self._moved_at = 0.0

    @property
    def asking(self) -> int | None:
        """The visitor who asked first."""
        return self._asking[0] if self._asking else None

    def join(self, visitor: int, now: float) -> None:
        """A visitor comes, and flies if nobody else does."""
        self._visitors.append(visitor)
        if self.pilot is None:
            self._give(visitor, now)

    def leave(self, visitor: int, now: float) -> None:
        """A visitor leaves. If it was the pilot, the one who asked first flies, or the one who is there longest."""
        self._visitors.remove(visitor)
        if visitor in self._asking:
            self._asking.remove(visitor)
        if visitor == self.pilot:
            self.pilot = None
            heirs = self._asking or self._visitors
            if heirs:
                self._give(heirs[0], now)

    def ask(self, visitor: int) -> None:
        """A visitor asks for the wheel."""
        if visitor != self.pilot and visitor not in self._asking:
            self._asking.append(visitor)

    def moved(self, now: float) -> None:
        """The pilot has moved."""
        self._moved_at = now

    def hand_over(self, now: float) -> None:
        """Gives the wheel to the visitor who asked first."""
        if self._asking:
            self._give(self._asking[0], now)

    def tick(self, now: float) -> None:
        """Hands the wheel over if the pilot has been idle and somebody asks."""
        if self._asking and now - self._moved_at > IDLE_SECONDS:
            self.hand_over(now)

    def _give(self, visitor: int, now: float) -> None:
        self.pilot, self._moved_at = visitor, now
        if visitor in self._asking:
            self._asking.remove(visitor)
