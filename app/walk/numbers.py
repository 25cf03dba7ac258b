"""The numbers of a walk: the rows of frames.csv, the result of a run, and its summary."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from noisewalk.app.pictures import ESTIMATE_LABEL
from noisewalk.app.session import Result
from noisewalk.denoiser.estimate import ESTIMATE_FORMULA
from noisewalk.denoiser.metrics import BEYOND_FLOOR, CORRECTED_FORMULA, PSNR_FORMULA

FORMULAS = {
    "psnr_formula": PSNR_FORMULA,
    "corrected_formula": CORRECTED_FORMULA,
    "estimate_formula": ESTIMATE_FORMULA,
}
# The estimate is of the error against the truth. So it is shown beside corrected numbers, which are too.
MEASURED = {
    "psnr_shown_corrected": "denoised",
    "psnr_noisy_corrected": "noisy average",
    "psnr_clean_targets_corrected": "clean targets",
    "psnr_untrained_corrected": "before this walk",
    "psnr_oidn_corrected": "Open Image Denoise",
}
CURVES = MEASURED | {"psnr_at_least": ESTIMATE_LABEL}
PLAIN = ("psnr_noisy", "psnr_shown", "psnr_clean_targets", "psnr_untrained", "psnr_oidn")
EMPTY = dict.fromkeys((*PLAIN, *MEASURED), "")
LAST_FRAMES = 50
STAGES = ("render", "train", "denoise", "measure")
ROUNDED = 1e-3  # dB; the largest rounding error in a row

Row = Mapping[str, Any]  # numbers, or numbers as text; "" or no column where there is none


def row_of(result: Result, memory_mb: float) -> dict[str, str]:
    """The row of a frame. The columns of a twin, and of what stands beside, are still empty."""
    measured, estimate = result.measurement, result.estimate
    known = estimate.psnr is not None
    return EMPTY | {
        "frame": str(result.pair.index),
        "psnr_noisy": f"{measured.psnr_noisy:.4f}" if measured else "",
        "psnr_shown": f"{measured.psnr_shown:.4f}" if measured else "",
        "psnr_noisy_corrected": f"{measured.psnr_noisy_corrected:.4f}" if measured else "",
        "psnr_shown_corrected": f"{measured.psnr_shown_corrected:.4f}" if measured else "",
        "noise_floor": f"{measured.noise_floor:.4f}" if measured else "",
        "psnr_estimate": f"{estimate.psnr:.4f}" if known else "",
        "psnr_estimate_error": f"{estimate.psnr_error:.4f}" if known else "",
        "psnr_at_least": f"{estimate.at_least:.4f}",
        "loss": f"{result.training.report.loss:.6g}",
        **{f"{stage}_ms": f"{result.milliseconds[stage]:.1f}" for stage in STAGES},
        "skipped_steps": str(result.training.report.skipped),
        "memory_mb": f"{memory_mb:.0f}",
    }


def numbers_of(rows: Sequence[Row]) -> dict[str, Any]:
    """The result of a run from its rows, for run.json."""
    measured = [row for row in rows if row["psnr_shown"]]
    floors = [float(row["noise_floor"]) for row in measured]
    return {
        "frames": len(rows),
        "last_measured": _last(measured[-1]) if measured else None,
        # One frame is not enough to tell noisy targets from clean ones.
        "mean_of_last_measured": _means(measured[-LAST_FRAMES:]) if measured and _has_twin(measured[-1]) else None,
        "estimate_minus_psnr_db": _estimate_minus_psnr(measured),
        "reference_noise_floor_db": round(min(floors), 2) if floors else None,
        "median_ms": {s: _rounded(statistics.median, [float(row[f"{s}_ms"]) for row in rows], 1) for s in STAGES},
        "skipped_steps": sum(int(row["skipped_steps"]) for row in rows),
    }


def _last(row: Row) -> dict[str, Any]:
    columns = (*PLAIN, *_labels(row), "noise_floor")
    return {"frame": int(row["frame"])} | {column: float(row[column]) for column in columns if row[column]}


def _means(rows: Sequence[Row]) -> dict[str, Any]:
    return {"frames": len(rows)} | {column: _mean_of_known(rows, column) for column in (*PLAIN, *_labels(rows[-1]))}


def psnr_curves(rows: Sequence[Row]) -> dict[str, list[tuple[int, float]]]:
    """Points (frame, dB) of each curve by its label. There are none if nothing was measured."""
    measured = [row for row in rows if row["psnr_shown"]]
    curves = {}
    for column, label in (_labels(measured[-1]) if measured else {}).items():
        name = label + ", at least" * _is_bound(measured[-1], column)
        curves[name] = [(int(row["frame"]), float(row[column])) for row in rows if row[column]]
    return curves


def decibels(row: Row, known: Mapping[str, str] = CURVES) -> str:
    """The PSNRs of a measured row as text, with a > before bounds."""
    return ", ".join(
        f"{label} {'> ' * _is_bound(row, column)}{float(row[column]):.2f} dB"
        for column, label in _labels(row, known).items()
    )


def summary(result: dict[str, Any]) -> str:
    """The text at the end of a walk."""
    lines = [f"{result['state']}: {result['frames']} frames in {result['run']}"]
    if last := result["last_measured"]:
        floor = result["reference_noise_floor_db"]
        doubt = ", noisier than the denoised picture" if last["noise_floor"] < last["psnr_shown_corrected"] else ""
        lines[0] += f"; frame {last['frame']}: {decibels(last)} (corrected for a reference good to {floor} dB{doubt})"
        if mean := result["mean_of_last_measured"]:
            lines.append(f"mean of the last {mean['frames']} frames: {decibels(mean)}")
        lines += [PSNR_FORMULA, CORRECTED_FORMULA]
    if result["state"] == "interrupted":
        lines.append("the same command goes on from here")
    return "\n".join(lines)


def _labels(row: Row, known: Mapping[str, str] = CURVES) -> dict[str, str]:
    """The PSNR columns of a measured row, and their labels."""
    labels = {column: label for column, label in known.items() if row.get(column) not in ("", None)}
    return labels | ({"psnr_shown_corrected": "noisy targets"} if _has_twin(row) else {})


def _has_twin(row: Row) -> bool:
    return row.get("psnr_clean_targets_corrected") not in ("", None)


def _is_bound(row: Row, column: str) -> bool:
    """Like `metrics.is_bound`, for a rounded number. A mean has no noise floor, and contains no bounds."""
    if column not in MEASURED or "noise_floor" not in row:
        return False
    return float(row[column]) > float(row["noise_floor"]) + BEYOND_FLOOR - ROUNDED


def _mean_of_known(rows: Sequence[Row], column: str) -> float | None:
    return _rounded(statistics.fmean, [float(r[column]) for r in rows if r[column] and not _is_bound(r, column)], 4)


def _estimate_minus_psnr(measured: Sequence[Row]) -> float | None:
    """The estimate minus the PSNR in dB, averaged over the measured frames whose PSNR is known."""
    known = [row for row in measured if row["psnr_estimate"] and not _is_bound(row, "psnr_shown_corrected")]
    off = [float(row["psnr_estimate"]) - float(row["psnr_shown_corrected"]) for row in known]
    return _rounded(statistics.fmean, off, 2)


def _rounded(summarise: Callable[[list[float]], float], values: list[float], digits: int) -> float | None:
    return round(summarise(values), digits) if values else None
