"""Who flies: one visitor has the wheel, the others watch and may ask for it."""

from __future__ import annotations

IDLE_SECONDS = 30.0  # without a move: then whoever asks for the wheel gets it


class Wheel:
    """Visitors by number, in the order in which they came. `pilot` is None where there is nobody."""

    def __init__(self) -> None:
        self.pilot: int | None = None
        self._visitors: list[int] = []
        self._asking: list[int] = []
        self._moved_at = 0.0

    @property
    def asking(self) -> int | None:
        """Who has asked first."""
        return self._asking[0] if self._asking else None

    def join(self, visitor: int, now: float) -> None:
        """Somebody is there: flies where nobody does."""
        self._visitors.append(visitor)
        if self.pilot is None:
            self._give(visitor, now)

    def leave(self, visitor: int, now: float) -> None:
        """Somebody is gone: then who has asked first flies, or who has been there longest."""
        self._visitors.remove(visitor)
        if visitor in self._asking:
            self._asking.remove(visitor)
        if visitor == self.pilot:
            self.pilot = None
            heirs = self._asking or self._visitors
            if heirs:
                self._give(heirs[0], now)

    def ask(self, visitor: int) -> None:
        """Wants to fly."""
        if visitor != self.pilot and visitor not in self._asking:
            self._asking.append(visitor)

    def moved(self, now: float) -> None:
        """The pilot does something."""
        self._moved_at = now

    def hand_over(self, now: float) -> None:
        """To who has asked first."""
        if self._asking:
            self._give(self._asking[0], now)

    def tick(self, now: float) -> None:
        """A pilot who does nothing keeps nobody waiting."""
        if self._asking and now - self._moved_at > IDLE_SECONDS:
            self.hand_over(now)

    def _give(self, visitor: int, now: float) -> None:
        self.pilot, self._moved_at = visitor, now
        if visitor in self._asking:
            self._asking.remove(visitor)
