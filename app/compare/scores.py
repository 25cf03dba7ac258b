"""What a comparison measures of a picture, and the table of it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch

from noisewalk.app.online_model import Shown
from noisewalk.denoiser.features import tone_map
from noisewalk.denoiser.metrics import (
    BRIGHTNESS_FORMULA,
    CORRECTED_FORMULA,
    PSNR_FORMULA,
    RELATIVE_MSE_FORMULA,
    TEMPORAL_PSNR_FORMULA,
    brightness,
    is_bound,
    noise_power,
    psnr,
    relative_mse,
    temporal_noise_power,
    temporal_psnr,
)
from noisewalk.renderer.reference import Reference

FLIP_FORMULA = "FLIP = mean LDR-FLIP error (Andersson et al. 2020) of the tone-mapped images, at 67 pixels per degree"
FORMULAS = (
    PSNR_FORMULA,
    RELATIVE_MSE_FORMULA,
    FLIP_FORMULA,
    TEMPORAL_PSNR_FORMULA,
    CORRECTED_FORMULA,
    BRIGHTNESS_FORMULA,
)
_TIMES = ("train_ms", "denoise_ms")


@dataclass(frozen=True)
class Row:
    """One measurement. frame counts from 1; PSNR and tPSNR are in dB; flip and tPSNR may be missing.

    psnr_is_bound, tpsnr_is_bound: the true value is at least the corrected one. The reference is too noisy to say more.
    """

    scene: str
    frame: int
    method: str
    psnr: float
    psnr_corrected: float
    psnr_is_bound: bool
    relmse: float
    flip: float | None
    tpsnr: float | None
    tpsnr_corrected: float | None
    tpsnr_is_bound: bool
    brightness: float
    train_ms: float
    denoise_ms: float


def measure(
    scene: str,
    index: int,
    name: str,
    shown: Shown,
    train_ms: float,
    before: torch.Tensor | None,
    references: dict[int, Reference],
) -> Row:
    """Measures what a method has shown of frame `index`, counted from 0, against `references` by frame.

    before: its picture of the frame before, (H, W, 3) linear radiance. Without it, or without that frame's reference,
    there is no tPSNR. train_ms: the time that the method has learned for.
    """
    a, b = _halves(references[index])
    reference, noise = (a + b) / 2, noise_power(a, b)
    corrected = psnr(shown.image, reference, noise)
    flicker = corrected_flicker = None
    temporal_noise = 0.0
    if before is not None and index - 1 in references:
        previous_a, previous_b = _halves(references[index - 1])
        temporal_noise = temporal_noise_power(a, b, previous_a, previous_b)
        flicker, corrected_flicker = (
            temporal_psnr(shown.image, before, reference, (previous_a + previous_b) / 2, one)
            for one in (0.0, temporal_noise)
        )
    return Row(
        scene=scene,
        frame=index + 1,
        method=name,
        psnr=psnr(shown.image, reference),
        psnr_corrected=corrected,
        psnr_is_bound=is_bound(corrected, noise),
        relmse=relative_mse(shown.image, reference),
        flip=flip(shown.image, reference),
        tpsnr=flicker,
        tpsnr_corrected=corrected_flicker,
        tpsnr_is_bound=corrected_flicker is not None and is_bound(corrected_flicker, temporal_noise),
        brightness=brightness(shown.image, reference),
        train_ms=train_ms,
        denoise_ms=shown.milliseconds,
    )


def _halves(reference: Reference) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(reference.a), torch.from_numpy(reference.b)


def flip(image: torch.Tensor, reference: torch.Tensor) -> float | None:
    """FLIP_FORMULA, in [0, 1], of (H, W, 3) linear radiance; None without its package."""
    if find_spec("flip_evaluator") is None:
        return None
    import flip_evaluator

    return float(flip_evaluator.evaluate(display(reference), display(image), "LDR", applyMagma=False)[1])


def display(image: torch.Tensor) -> np.ndarray:
    """T(image) as (H, W, 3) float32 in [0, 1]."""
    return tone_map(torch.nan_to_num(image)).float().cpu().numpy()


def score_table(rows: Sequence[Row]) -> str:
    """Corrected PSNR, FLIP and corrected tPSNR of each method and measured frame, for each scene and as a mean.

    Bounds have a > and do not count in means.
    """
    lines = []
    width = max((len(row.method) for row in rows), default=0) + 1
    scenes = list(dict.fromkeys(row.scene for row in rows))
    for scene in (*scenes, "mean of all scenes") if len(scenes) > 1 else scenes:
        chosen = [row for row in rows if row.scene == scene or scene not in scenes]
        frames = sorted({row.frame for row in chosen})
        after = ", ".join(map(str, frames))
        lines.append(f"{scene}: PSNR / FLIP / tPSNR (dB, corrected) after frame {after}; train + denoise ms")
        for method in dict.fromkeys(row.method for row in chosen):
            own = [row for row in chosen if row.method == method]
            cells = "".join(_cell([row for row in own if row.frame == frame]) for frame in frames)
            train, denoise = (statistics.median(getattr(row, part) for row in own) for part in _TIMES)
            lines.append(f"  {method:<{width}}{cells} {train:6.0f} + {denoise:.0f}")
    return "\n".join(lines)


def _cell(rows: Sequence[Row]) -> str:
    """The means over scenes; a dash for what was not measured."""
    psnr, flips, tpsnr = (
        _mean([(row.psnr_corrected, row.psnr_is_bound) for row in rows], 7, 2),
        _mean([(row.flip, False) for row in rows], 5, 3),
        _mean([(row.tpsnr_corrected, row.tpsnr_is_bound) for row in rows], 5, 1),
    )
    return f" {psnr} / {flips} /{tpsnr}"


def _mean(values: Sequence[tuple[float | None, bool]], width: int, digits: int) -> str:
    """The mean of the values that are no bounds; if there are none, of the bounds, with a >."""
    known = [(value, bound) for value, bound in values if value is not None]
    if not known:
        return f"{'-':>{width}}"
    numbers = [value for value, bound in known if not bound]
    text = f"{statistics.fmean(numbers or [value for value, _ in known]):.{digits}f}"
    return f"{text if numbers else '>' + text:>{width}}"
