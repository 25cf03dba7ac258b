"""The results of a study: a table with the paper's numbers, result.json, curves.png and strip.png."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from noisewalk.app.doctor import versions
from noisewalk.app.files import write_json
from noisewalk.app.pictures import Axes, side_by_side, write_psnr_plot
from noisewalk.app.study.training import Measured
from noisewalk.denoiser.unet import FEATURES
from noisewalk.renderer.files import written_aside

PSNR_AXES = Axes("training step", "PSNR (dB)")
FORMULA = "PSNR = -10 log10 mean (shown - truth)^2 in [0, 1] (offline: tone mapped), the mean over the tested pictures"


def table(done: Measured) -> str:
    """Our dB beside the paper's, the expected order, and how long the paper's scale would take here."""
    about, psnr = done.settings, done.psnr
    scale = "{steps} steps of {batch} x {crop}x{crop} pixels, {features} features, seed {seed}".format(**about)
    lines = [f"{done.study.name}: {done.study.about} ({done.state}: {scale})", f"  {done.pictures}"]
    lines.append(f"  {'':<16}{'ours':>8}{'paper':>8}")
    for name in dict.fromkeys([*psnr, *done.study.paper]):
        lines.append(f"  {name:<16}{_number(psnr.get(name)):>8}{_number(done.study.paper.get(name)):>8}")
    lines.append(f"  to come out: {done.study.expected}")
    steps, batch, side = done.study.scale
    command = f"{done.study.more}--steps {steps} --batch {batch} --crop {side} --features {FEATURES}"
    lines.append(
        f"  took {_duration(done.seconds)}; the paper's scale, {command}: at most {_duration(paper_seconds(done))} here"
    )
    return "\n".join(lines)


def page(found: Sequence[Measured]) -> str:
    """One line for each study: our dB, and the paper's in brackets."""
    lines = ["PSNR in dB, the paper's in brackets"]
    for done in found:
        paper = {name: f" ({value:.2f})" for name, value in done.study.paper.items()}
        cells = [f"{name} {_number(value)}{paper.get(name, '')}" for name, value in done.psnr.items()]
        lines.append(f"  {done.study.name:<12}{', '.join(cells)}")
    return "\n".join(lines)


def paper_seconds(done: Measured) -> float:
    """Seconds that all variants would take at the paper's scale and at this speed; NaN before training began.

    A network of n times the features multiplies n^2 times as much; it takes less than n^2 times as long.
    """
    steps = max((points[-1][0] for points in done.curves.values()), default=0)
    pixels = steps * done.settings["batch"] * done.settings["crop"] ** 2
    paper_steps, batch, side = done.study.scale
    wider = (FEATURES / done.settings["features"]) ** 2
    return done.seconds / pixels * paper_steps * batch * side**2 * wider if pixels else math.nan


def result(done: Measured) -> dict[str, Any]:
    """The content of result.json."""
    seconds = paper_seconds(done)
    return {
        "study": done.study.name,
        "about": done.study.about,
        "state": done.state,
        "settings": done.settings,
        "pictures": done.pictures,
        "psnr": {name: value for name, value in done.psnr.items() if math.isfinite(value)},
        "paper_psnr": dict(done.study.paper),
        "expected": done.study.expected,
        "curves": done.curves,
        "formula": FORMULA,
        "seconds": done.seconds,
        "seconds_at_paper_scale": seconds if math.isfinite(seconds) else None,
        "versions": versions(),
    }


def write_result(folder: Path, done: Measured) -> None:
    """Writes result.json, also of a study that is not finished."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "result.json", result(done))


def write_study(folder: Path, done: Measured) -> None:
    """Writes result.json, curves.png and strip.png. If it was stopped early, there are no pictures."""
    write_result(folder, done)
    if not done.curves:
        return
    (last, _) = next(iter(done.curves.values()))[-1]
    flat = {"input": done.input} | done.classic
    curves = done.curves | {name: [(0, value), (last, value)] for name, value in flat.items()}
    write_psnr_plot(folder / "curves.png", curves, f"{done.study.name}: {done.study.about}", PSNR_AXES)
    order = ["input", *done.curves, *done.classic, "truth"]
    tiles = [_tile(done, name) for name in order]
    with written_aside(folder / "strip.png") as temporary:
        side_by_side(done.study.about, tiles).save(temporary, format="PNG")


def sweep_table(found: Sequence[Measured]) -> str:
    """Figure 5: dB minus the dB of clean targets, for each share of corrupted pixels."""
    names = [variant.name for variant in found[0].study.variants if variant.name != "clean"]
    lines = ["dB beyond clean targets (figure 5)", "  " + 16 * " " + "".join(f"{name:>8}" for name in names)]
    for done in found:
        psnr = done.psnr
        cells = "".join(f"{psnr[name] - psnr['clean']:>8.2f}" for name in names if name in psnr)
        lines.append(f"  {done.study.name:<16}{cells}")
    return "\n".join(lines)


def write_sweep(file: Path, found: Sequence[Measured], shares: Sequence[float]) -> None:
    """Plots the dB of each variant over the percentage of corrupted pixels."""
    curves = {
        variant.name: [
            (round(100 * share), done.psnr[variant.name])
            for done, share in zip(found, shares, strict=False)
            if done.curves
        ]
        for variant in found[0].study.variants
    }
    if all(curves.values()):
        write_psnr_plot(file, curves, "random colors (figure 5)", Axes("% of the pixels corrupted", "PSNR (dB)"))


def _tile(done: Measured, name: str) -> tuple[str, str, torch.Tensor]:
    decibels, image = done.strip[name]
    return name, "" if name == "truth" else f"{decibels:.2f} dB", image.expand(*image.shape[:2], 3)


def _number(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.2f}"


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "-"
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"
