"""The pictures of a run folder: side by side as PNG, all layers as EXR, and the PSNR plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from app.files import written_aside
from app.session import Result
from denoiser.features import finite, tone_map
from renderer.exr import write_exr

_CURVES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("psnr_shown", "denoised", {"marker": "o", "markersize": 3.5, "color": "#1b6ca8"}),
    ("psnr_noisy", "noisy average", {"marker": "o", "markersize": 3.5, "color": "#b8621b"}),
    ("psnr_estimate", "estimate", {"linestyle": "--", "linewidth": 0.8, "color": "#5d93bd"}),
)


def write_comparison(folder: Path, result: Result) -> None:
    """Writes comparison.png (tone mapped, dB written on it) and layers.exr (linear) of a measured frame."""
    assert result.measurement is not None
    measured = result.measurement
    albedo, normal = (_average(result, feature) for feature in ("albedo", "normal"))
    tiles = [
        ("noisy", f"{measured.psnr_noisy:.2f} dB", tone_map(finite(result.noisy))),
        ("denoised", f"{measured.psnr_shown:.2f} dB", tone_map(result.shown)),
        ("reference", f"{measured.reference_spp} spp", tone_map(measured.reference)),
        ("albedo", "", albedo.pow(1 / 2.2)),
        ("normal", "", (normal + 1) / 2),
    ]
    heading = f"frame {result.pair.index}, 2 x {result.pair.spp} spp"
    with written_aside(folder / "comparison.png") as temporary:
        _side_by_side(heading, tiles).save(temporary, format="PNG")
    layers = {
        "": result.shown,
        "noisy.": result.noisy,
        "reference.": measured.reference,
        "albedo.": albedo,
        "estimated_error.": result.estimate.error_map,
    }
    write_exr(folder / "layers.exr", {k: v.cpu().numpy() for k, v in layers.items()}, normal.cpu().numpy())


def write_psnr_plot(file: Path, rows: Sequence[dict[str, str]], title: str) -> None:
    """Plots the PSNR columns of frames.csv rows over the frames that have them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    curves = []
    for column, label, style in _CURVES:
        points = [(int(row["frame"]), float(row[column])) for row in rows if row[column]]
        if points:
            curves.append((points, label, style))
    last = sorted(points[-1][1] for points, _, _ in curves)
    for points, label, style in curves:
        axes.plot(*zip(*points, strict=True), **style)
        axes.annotate(
            f"{label}  {points[-1][1]:.1f} dB",
            points[-1],
            xytext=(8, 0),
            textcoords="offset points",
            # Curves that meet keep their labels apart.
            va={last[0]: "top", last[-1]: "bottom"}.get(points[-1][1], "center"),
            color=style["color"],
        )
    end = max(points[-1][0] for points, _, _ in curves)
    axes.margins(x=0.02)
    axes.set(xlabel="frame", ylabel="PSNR of tone-mapped images (dB)", title=title)
    axes.set_xlim(right=end + 0.28 * max(1, end))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    with written_aside(file) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _average(result: Result, feature: str) -> torch.Tensor:
    halves = getattr(result.pair.a, feature), getattr(result.pair.b, feature)
    return finite((halves[0] + halves[1]) / 2)


def _side_by_side(heading: str, tiles: Sequence[tuple[str, str, torch.Tensor]]) -> Image.Image:
    """Tiles of (name, note, (H, W, 3) in [0, 1]) in one row, each under its caption."""
    height, width = tiles[0][2].shape[:2]
    size = max(10, min(20, width // 14))
    font, line = ImageFont.load_default(size=size), int(size * 1.5)
    sheet = Image.new("RGB", (len(tiles) * (width + 4) - 4, height + 2 * line), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((2, 1), heading, fill="black", font=font)
    for i, (name, note, image) in enumerate(tiles):
        left = i * (width + 4)
        pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
        sheet.paste(Image.fromarray(np.ascontiguousarray(pixels)), (left, 2 * line))
        draw.text((left + 2, line), f"{name}  {note}", fill="black", font=font)
    return sheet
