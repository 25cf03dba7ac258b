"""Plots and pictures: PSNR over frames, and images side by side."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from noisewalk.renderer.files import written_aside

CURVE_COLORS = ("#1b6ca8", "#b8621b", "#5b8c3a", "#8a4fa0", "#a83232", "#40404a", "#2a8f8f", "#8c7326")
ESTIMATE_LABEL = "estimated: at least"  # drawn as a thin, dashed curve
FONTS = (  # with characters that Matplotlib's own font does not have: Chinese, Japanese, Korean
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "PingFang SC",
    "Hiragino Sans",
    "Malgun Gothic",
    "Arial Unicode MS",
)
MOST_DOTS = 60  # a curve with more points has no dots
SMALLEST_TILE = 256  # pixels; on a smaller one there is little to see, and no place for a caption
LABEL_HEIGHT = 0.055  # as a part of the height of the plot


@dataclass(frozen=True)
class Axes:
    """The labels of a plot's axes."""

    x: str = "frame"
    y: str = "PSNR of tone-mapped images (dB)"


def write_psnr_plot(
    file: Path, curves: Mapping[str, Sequence[tuple[int, float]]], title: str, named: Axes = Axes()
) -> None:
    """Plots PSNR over frames, or what `named` says.

    curves: for each label, (frame, dB) in order. All have the same last frame.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    colors = dict(zip(curves, CURVE_COLORS, strict=False))
    for label, points in curves.items():
        if label == ESTIMATE_LABEL:
            axes.plot(*zip(*points, strict=True), linestyle="--", linewidth=0.8, color=colors[label])
            continue
        dots = "o" if len(points) < MOST_DOTS else None
        axes.plot(*zip(*points, strict=True), marker=dots, markersize=3.5, color=colors[label])
    last = max(frame for points in curves.values() for frame, _ in points)
    axes.margins(x=0.02)
    axes.set(xlabel=named.x, ylabel=named.y)
    axes.set_title(title, parse_math=False, family=_fonts())  # a name may contain $, and is no formula
    axes.set_xlim(right=last + 0.28 * max(1, last))
    bottom, top = axes.get_ylim()
    height = -float("inf")
    for label, points in sorted(curves.items(), key=lambda curve: curve[1][-1][1]):
        final = points[-1][1]
        height = max(final, height + LABEL_HEIGHT * (top - bottom))  # labels of curves that meet stay apart
        text, offset = f"{label}  {final:.1f} dB", (8, 0)
        axes.annotate(text, (last, height), offset, textcoords="offset points", va="center", color=colors[label])
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    with written_aside(file) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # it is drawn as a box, which says the same
        figure.savefig(temporary, format="png", dpi=120)


def _fonts() -> list[str]:
    """Matplotlib's own font, then the installed ones of FONTS."""
    from matplotlib.font_manager import get_font_names

    installed = set(get_font_names())
    return ["DejaVu Sans", *(font for font in FONTS if font in installed)]


def to_image(image: torch.Tensor) -> Image.Image:
    """A picture (H, W, 3) in [0, 1] with 8 bits a channel."""
    return Image.fromarray(np.ascontiguousarray((image.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()))


def side_by_side(heading: str, tiles: Sequence[tuple[str, str, torch.Tensor]]) -> Image.Image:
    """One row of tiles, each under its caption. tiles: (name, note, (H, W, 3) in [0, 1]); small ones are enlarged."""
    zoom = -(-SMALLEST_TILE // tiles[0][2].shape[1])
    height, width = (zoom * side for side in tiles[0][2].shape[:2])
    size = max(10, min(20, width // 14))
    font, line = ImageFont.load_default(size=size), int(size * 1.5)
    sheet = Image.new("RGB", (len(tiles) * (width + 4) - 4, height + 2 * line), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((2, 1), heading, fill="black", font=font)
    for i, (name, note, image) in enumerate(tiles):
        left = i * (width + 4)
        tile = to_image(image).resize((width, height), Image.Resampling.NEAREST)
        sheet.paste(tile, (left, 2 * line))
        draw.text((left + 2, line), f"{name}  {note}", fill="black", font=font)
    return sheet
