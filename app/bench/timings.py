"""What `noisewalk bench` has measured: medians, ratios, the table and the document."""

from __future__ import annotations

import operator
import statistics
from dataclasses import dataclass, field
from typing import Any

from noisewalk.app.bench.floors import PAPER_MS, PAPER_NOTE
from noisewalk.app.bench.stages import LABELS, SUMMED


@dataclass
class Size:
    """What was measured at one size.

    rounds:        milliseconds by stage, one value for each round.
    floors:        milliseconds by stage, for floors that are computed; others are measured in the rounds.
    trained_share: how much of the training of overlapped frames was done, 0 to 1.
    """

    width: int
    height: int
    rounds: dict[str, list[float]] = field(default_factory=dict)
    floors: dict[str, float] = field(default_factory=dict)
    trained_share: float | None = None

    def overhead(self) -> float | None:
        """The lockstep frame divided by the sum of its stages: the median over the rounds."""
        parts = [self.rounds.get(name, []) for name in (*SUMMED, "lockstep")]
        ratios = [frame / sum(stages) for *stages, frame in zip(*parts, strict=False)]
        return statistics.median(ratios) if ratios else None

    def floor(self, stage: str) -> float | None:
        """The least milliseconds that the stage can take; None where nothing sets such a limit."""
        if stage in ("render", "path") and "bare" in self.rounds:
            return statistics.median(self.rounds["bare"])
        if stage == "lockstep":
            parts = [self.floor(part) for part in SUMMED if part not in ("input", "estimate")]  # these two have none
            return sum(part for part in parts if part) if all(parts) else None
        return self.floors.get(stage)

    def ratio(self, stage: str) -> float | None:
        """How many times its floor the stage takes. If both were measured, it is the median over the rounds."""
        if stage in ("render", "path") and "bare" in self.rounds:
            return statistics.median(map(operator.truediv, self.rounds[stage], self.rounds["bare"]))
        floor = self.floor(stage)
        return statistics.median(self.rounds[stage]) / floor if floor else None


def stage_table(size: Size) -> str:
    """One size's stages: median, quartiles, floor, how many times the floor, the paper."""
    lines = [_line(f"{size.width}x{size.height}", "median ms", "quartiles", "floor", "x floor", "paper*")]
    for name in (name for name in LABELS if name in size.rounds):
        row = _row(size, name)
        quartiles = f"{row['q1_ms']:.4g} - {row['q3_ms']:.4g}"
        last = ("" if row[key] is None else f"{row[key]:.3g}" for key in ("floor_ms", "ratio", "paper_ms"))
        lines.append(_line(LABELS[name], f"{row['median_ms']:.4g}", quartiles, *last))
    if (overhead := size.overhead()) is not None:
        lines.append(f"lockstep frame / sum of its stages: {overhead:.3f}")
    if size.trained_share is not None:
        lines.append(f"overlapped frames: {size.trained_share:.0%} of their training was done")
    return "\n".join(lines)


def conditions(about: dict[str, Any]) -> str:
    """The lines of text that hold for all sizes. about: the result's document."""
    lines = [f"{about['scene']}, model {about['model']}, {about['state']}", f"* {PAPER_NOTE}"]
    if "settings" in about:
        chosen, settings = about["machine"], about["settings"]
        lines[0] += ", 2 x {spp} spp, {iterations} iterations on crops of {crop}".format(**settings)
        lines.append(f"{chosen['gpu'] or chosen['processor']}, {chosen['variant']}, torch on {chosen['device']}")
    if "rates" in about:
        matrix, copy = about["rates"]["matrix_flops"], about["rates"]["copy_bytes"]
        products = ", ".join(f"{rate / 1e9:.0f} GFLOP/s in {name}" for name, rate in matrix.items())
        lines.append(f"rates for the floors: matrix products {products}; copy {copy / 1e9:.1f} GB/s")
    if first := about.get("first_picture_s"):
        why = about["no_first_picture"]
        took = ", ".join(f"{name} {why[name] if s is None else f'{s:.1f} s'}" for name, s in first.items())
        lines.append(f"first picture of a new process, its kernels not yet (cold) or already (warm) compiled: {took}")
    if trace := about.get("trace"):
        shared = trace["shared"]
        both = "" if shared is None else f"; for {shared:.0%} of training's time on the GPU, other work ran beside it"
        lines.append(f"timeline of overlapped frames, for https://ui.perfetto.dev: {trace['file']}{both}")
    lines.append("peak memory, MiB: " + ", ".join(f"{k} {v:.0f}" for k, v in about["peak_memory_mb"].items()))
    return "\n".join(lines)


def _line(stage: str, median: str, quartiles: str, floor: str, ratio: str, paper: str) -> str:
    return f"{stage:<40}{median:>10}{quartiles:>18}{floor:>9}{ratio:>9}{paper:>8}".rstrip()


def _row(size: Size, name: str) -> dict[str, Any]:
    values = size.rounds[name]
    low, median, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else 3 * values
    return {
        "median_ms": median,
        "q1_ms": low,
        "q3_ms": high,
        "samples": len(values),
        "floor_ms": size.floor(name),
        "ratio": size.ratio(name),
        "paper_ms": PAPER_MS.get(name),
    }


def document(size: Size) -> dict[str, Any]:
    """As JSON values; times in milliseconds."""
    return {
        "width": size.width,
        "height": size.height,
        "stages": {name: _row(size, name) for name in size.rounds},
        "overhead_ratio": size.overhead(),
        "trained_share": size.trained_share,
    }
