"""Undo and redo of what a person has set: the path and the knobs of training."""

from __future__ import annotations

from typing import Generic, TypeVar

State = TypeVar("State")
PAUSE = 0.6  # seconds; changes that follow each other faster are one step: a slider that is dragged
MOST = 200  # steps


class Undo(Generic[State]):
    """Steps back and forth through states. Only whole states are kept, and they must never change."""

    def __init__(self) -> None:
        self._past: list[State] = []
        self._future: list[State] = []
        self._present: State | None = None
        self._changed_at = -PAUSE

    def begin(self, state: State) -> None:
        """Forgets all steps: this is the present."""
        self._past, self._future, self._present, self._changed_at = [], [], state, -PAUSE

    def see(self, state: State, now: float) -> None:
        """Takes notice of the present state; to be called often. now: in seconds."""
        if self._present is None:
            self.begin(state)
        elif state != self._present:
            if now - self._changed_at > PAUSE:
                self._past = [*self._past, self._present][-MOST:]
            self._present, self._changed_at, self._future = state, now, []

    def back(self) -> State | None:
        """The state one step back, which is the present from now on; None if there is none."""
        return self._step(self._past, self._future)

    def forth(self) -> State | None:
        """The state that the last step back has left; None if there is none."""
        return self._step(self._future, self._past)

    def _step(self, source: list[State], target: list[State]) -> State | None:
        if not source or self._present is None:
            return None
        target.append(self._present)
        self._present, self._changed_at = source.pop(), -PAUSE
        return self._present
