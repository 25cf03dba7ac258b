"""Who makes, frees or renders Mitsuba objects does so alone.

Dr.Jit looks at every Mitsuba object of the process, also of other scenes, while it records or renders. An object that
another thread makes or frees meanwhile ends in an error or a crash. Python may free objects on any thread.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_left: list[Any] = []  # objects whose owner is gone


@contextmanager
def alone() -> Iterator[None]:
    """Within this context, no other thread makes, frees or renders Mitsuba objects. It cannot be nested."""
    with _lock:
        _left.clear()
        yield


def free_alone(owner: Any, objects: Any) -> None:
    """Keeps `objects` after `owner` is gone, until the next `alone`, whatever thread lets go of `owner`."""
    weakref.finalize(owner, _left.append, objects).atexit = False
