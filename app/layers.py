"""Layers of pictures: arrays, or tensors on a GPU that also renders."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np


def as_array(image: Any) -> np.ndarray:
    """(H, W, 3) float32 on the CPU, rows one after the other."""
    if not isinstance(image, np.ndarray):
        with beside_rendering(image):
            image = image.cpu().numpy()
    return np.ascontiguousarray(image, dtype=np.float32)


@contextlib.contextmanager
def beside_rendering(image: Any) -> Iterator[Any]:
    """CUDA's default stream waits for all that is queued there. Yields the stream; None on the CPU."""
    if isinstance(image, np.ndarray) or not image.is_cuda:
        yield None
        return
    import torch

    stream = _reading_stream(image.device)
    with torch.cuda.stream(stream):
        yield stream


@cache
def _reading_stream(device: Any) -> Any:
    import torch

    return torch.cuda.Stream(device, priority=-1)
