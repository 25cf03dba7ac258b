"""What the graphs show: the numbers of the last frames, up to a bound."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

LENGTH = 4096
STAGES = ("render", "denoise", "measure", "train")


@dataclass(frozen=True)
class Sample:
    """One frame. psnr: dB of the noisy average, of the shown image and of the reference's noise floor, or None.

    estimate: of the shown image's PSNR, in dB, or None.
    """

    number: int
    psnr: tuple[float, float, float] | None
    estimate: float | None
    loss: float
    milliseconds: dict[str, float]


@dataclass(frozen=True, eq=False)
class Curves:
    """Arrays (N,) over the frames since the scene was opened, NaN where nothing was measured.

    milliseconds: (len(STAGES), N), summed up from stage to stage, for a stacked plot.
    """

    frame: np.ndarray
    noisy: np.ndarray
    denoised: np.ndarray
    noise_floor: np.ndarray
    estimate: np.ndarray
    loss: np.ndarray
    milliseconds: np.ndarray


class Series:
    """The session thread adds to it, and the window reads it. It keeps the newest LENGTH samples."""

    def __init__(self) -> None:
        self._rows = np.full((LENGTH, 5 + len(STAGES)), np.nan)  # rows: two PSNRs, floor, estimate, loss, stages
        self._lock = threading.Lock()
        self._count = 0
        self._drawn = -1

    def append(self, sample: Sample) -> None:
        """Adds the newest frame."""
        psnr = sample.psnr or (np.nan, np.nan, np.nan)
        estimate = np.nan if sample.estimate is None else sample.estimate
        stages = (sample.milliseconds.get(name, 0.0) for name in STAGES)
        with self._lock:
            self._rows[self._count % LENGTH] = (*psnr, estimate, sample.loss, *stages)
            self._count += 1

    def clear(self) -> None:
        """Empties it, for another scene."""
        with self._lock:
            self._count, self._drawn = 0, -1

    def curves(self) -> Curves:
        """All numbers as arrays. It is the same object until a sample is added."""
        with self._lock:
            if self._drawn != self._count:
                oldest = max(0, self._count - LENGTH)
                rows = np.roll(self._rows, -(oldest % LENGTH), axis=0)[: self._count - oldest]
                self._curves = _curves(rows, oldest)
                self._drawn = self._count
            return self._curves


def _curves(rows: np.ndarray, first: int) -> Curves:
    noisy, denoised, noise_floor, estimate, loss, *stages = np.ascontiguousarray(rows.T)
    return Curves(
        frame=np.arange(first, first + len(rows), dtype=np.float64),
        noisy=noisy,
        denoised=denoised,
        noise_floor=noise_floor,
        estimate=estimate,
        loss=loss,
        milliseconds=np.cumsum(stages, axis=0),
    )
