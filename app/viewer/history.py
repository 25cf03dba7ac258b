"""What the graphs show: a bounded record of the last frames."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np

LENGTH = 4096
STAGES = ("render", "denoise", "measure", "train")


@dataclass(frozen=True)
class Sample:
    """One frame. psnr: dB of the noisy average and of the shown image, and the reference's noise floor, or None."""

    number: int
    psnr: tuple[float, float, float] | None
    loss: float
    milliseconds: dict[str, float]


@dataclass(frozen=True, eq=False)
class Curves:
    """The record as arrays (N,) over the frames since the scene was opened, NaN where nothing was measured.

    milliseconds: (len(STAGES), N), cumulated over the stages, for a stacked plot.
    """

    frame: np.ndarray
    noisy: np.ndarray
    denoised: np.ndarray
    noise_floor: np.ndarray
    loss: np.ndarray
    milliseconds: np.ndarray


class History:
    """Filled by the session thread, read by the window; the oldest of LENGTH samples goes first."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=LENGTH)
        self._lock = threading.Lock()
        self._curves = _curves([], 0)
        self._count = self._drawn = 0

    def append(self, sample: Sample) -> None:
        """Adds the newest frame."""
        with self._lock:
            self._samples.append(sample)
            self._count += 1

    def clear(self) -> None:
        """Begins anew, for another scene."""
        with self._lock:
            self._samples.clear()
            self._count, self._drawn = 0, -1

    def curves(self) -> Curves:
        """The record; the same object until something is new."""
        with self._lock:
            if self._drawn != self._count:
                self._curves = _curves(list(self._samples), self._count - len(self._samples))
                self._drawn = self._count
            return self._curves


def _curves(samples: list[Sample], first: int) -> Curves:
    nothing = (np.nan, np.nan, np.nan)
    psnr = np.array([s.psnr or nothing for s in samples], dtype=np.float64).reshape(-1, 3)
    stages = np.array([[s.milliseconds.get(name, 0.0) for name in STAGES] for s in samples]).reshape(-1, len(STAGES))
    return Curves(
        frame=np.arange(first, first + len(samples), dtype=np.float64),
        noisy=psnr[:, 0].copy(),
        denoised=psnr[:, 1].copy(),
        noise_floor=psnr[:, 2].copy(),
        loss=np.array([s.loss for s in samples], dtype=np.float64),
        milliseconds=np.ascontiguousarray(stages.cumsum(axis=1).T),
    )
