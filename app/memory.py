"""How the C library keeps memory."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of malloc.h
_KEPT = 2**30  # bytes


def keep_freed_memory() -> None:
    """The C library keeps freed memory and uses it again. To be called before there are threads.

    By default, glibc gives large blocks back to the system at once. Each training step then allocates the same blocks
    again, and the system clears every page of them: 7000 page faults a step, a tenth of its time. Denoising a frame of
    512x512 has 180,000, and takes half as long again. All threads share one arena: only the first can hold blocks of
    more than 64 MB. Without glibc (Windows, macOS, musl) this does nothing.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEPT)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        mallopt(_M_ARENA_MAX, 1)
