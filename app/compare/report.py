"""A comparison as one HTML page that needs nothing beside it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from noisewalk.app.options import CONTENDERS
from noisewalk.renderer.files import written_aside

CROP = 64
CROP_ZOOM = 3
COLORS = {
    "noisy": "#b8621b",
    "oidn": "#5b8c3a",
    "optix": "#2f5d1f",
    "kernel": "#1b6ca8",
    "kernel-cold": "#4fb3d9",
    "kernel-unguided": "#0d2b45",
    "paper": "#8a4fa0",
}
_MEASURES = (
    ("psnr", "PSNR, dB", 2),
    ("psnr_corrected", "PSNR, corrected, dB", 2),
    ("tpsnr", "tPSNR, dB", 2),
    ("tpsnr_corrected", "tPSNR, corrected, dB", 2),
    ("flip", "FLIP", 4),
    ("relmse", "relMSE", 4),
    ("brightness", "brightness", 3),
)
_CURVES = (_MEASURES[1], _MEASURES[3])
# The best value has the least of this; by itself, a value is an error.
_OFF: dict[str, Callable[[float], float]] = {
    "psnr": lambda value: -value,
    "psnr_corrected": lambda value: -value,
    "tpsnr": lambda value: -value,
    "tpsnr_corrected": lambda value: -value,
    "brightness": lambda value: abs(value - 1),
}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c1e21; margin: 2em auto; max-width: 1200px; padding: 0 1em; }
table { border-collapse: collapse; margin: .6em 0 1.4em; } td, th { padding: .15em .8em; text-align: right; }
th { border-bottom: 1px solid #999; font-weight: 600; } td:first-child, th:first-child { text-align: left; }
.best { font-weight: 700; } .row { display: flex; flex-wrap: wrap; gap: 8px; } figure { margin: 0 0 1em; }
figcaption { font-size: 13px; color: #555; } code { font-size: 13px; }
img { image-rendering: pixelated; max-width: 100%; }
"""


@dataclass(frozen=True, eq=False)
class Page:
    """The pictures of one scene's last measured frame: (H, W, 3) in [0, 1] by name, `reference` among them."""

    scene: str
    frame: int
    images: dict[str, np.ndarray]


def write_report(file: Path, rows: Sequence[dict[str, Any]], pages: Sequence[Page], about: dict[str, Any]) -> None:
    """Writes tables, curves and pictures. Raises OSError."""
    title = html.escape(about["title"])
    parts = [f"<!doctype html><meta charset='utf-8'><title>{title}</title>", f"<style>{_STYLE}</style>"]
    parts.append(f"<h1>{title}</h1>")
    for page in pages:
        own = [row for row in rows if row["scene"] == page.scene]
        parts.append(f"<h2>{html.escape(page.scene)}</h2>{_plots(own)}")
        parts.extend(_measure_table(own, *measure) for measure in _MEASURES)
        parts.append(_pictures(page))
    parts.append("<h2>Formulas and settings</h2>")
    parts.extend(f"<p><code>{html.escape(formula)}</code></p>" for formula in about["formulas"])
    for name in ("settings", "machine", "versions"):
        text = ", ".join(f"{key} {value}" for key, value in about.get(name, {}).items())
        parts.append(f"<p>{name}: <code>{html.escape(text)}</code></p>")
    with written_aside(file) as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")


def most_different(one: np.ndarray, other: np.ndarray, size: int = CROP) -> tuple[int, int]:
    """Top and left of the window in which two pictures (H, W, 3) differ most."""
    difference = np.abs(one.astype(np.float64) - other).sum(axis=-1)
    sums = np.pad(difference.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    rows, columns = (min(size, side) for side in difference.shape)
    windows = sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns] + sums[:-rows, :-columns]
    top, left = np.unravel_index(windows.argmax(), windows.shape)
    return int(top), int(left)


def _measure_table(rows: Sequence[dict[str, Any]], measure: str, title: str, digits: int) -> str:
    frames = sorted({row["frame"] for row in rows if row[measure] is not None})
    if not frames:
        return ""
    values = {(row["method"], row["frame"]): row[measure] for row in rows if row[measure] is not None}
    off = _OFF.get(measure, float)
    leaders = {f: min((value for (_, frame), value in values.items() if frame == f), key=off) for f in frames}
    head = "".join(f"<th>frame {frame}</th>" for frame in frames)
    body = []
    for method in dict.fromkeys(row["method"] for row in rows):
        cells = []
        for frame in frames:
            value = values.get((method, frame))
            mark = " class='best'" if value == leaders[frame] else ""
            cells.append(f"<td{mark}>{'' if value is None else f'{value:.{digits}f}'}</td>")
        body.append(f"<tr><td>{html.escape(method)}</td>{''.join(cells)}</tr>")
    return f"<table><tr><th>{html.escape(title)}</th>{head}</tr>{''.join(body)}</table>"


def _plots(rows: Sequence[dict[str, Any]]) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (measure, title, _) in zip(figure.subplots(1, 2), _CURVES, strict=True):
        for method in dict.fromkeys(row["method"] for row in rows):
            points = [
                (row["frame"], row[measure]) for row in rows if row["method"] == method and row[measure] is not None
            ]
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", label=method, color=COLORS.get(method))
        axes.set(xlabel="frame", ylabel=title)
        axes.grid(alpha=0.3)
        axes.legend()
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=100)
    return f"<p>{_embedded(stream.getvalue(), 'curves')}</p>"


def _pictures(page: Page) -> str:
    ours = next((name for name in page.images if name in CONTENDERS), "noisy")
    other = "oidn" if "oidn" in page.images else "reference"
    top, left = most_different(page.images[ours], page.images[other])
    window = slice(top, top + CROP), slice(left, left + CROP)
    whole, crops = [], []
    for name, image in page.images.items():
        caption = f"<figcaption>{html.escape(name)}</figcaption>"
        whole.append(f"<figure>{_embedded(_png(image), name)}{caption}</figure>")
        crop = np.repeat(np.repeat(image[window], CROP_ZOOM, axis=0), CROP_ZOOM, axis=1)
        crops.append(f"<figure>{_embedded(_png(crop), name)}{caption}</figure>")
    where = f"where {ours} and {other} differ most: {CROP} pixels from ({left}, {top})"
    return (
        f"<p>frame {page.frame}</p><div class='row'>{''.join(whole)}</div>"
        f"<p>{where}</p><div class='row'>{''.join(crops)}</div>"
    )


def _png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray((np.clip(image, 0, 1) * 255).round().astype(np.uint8)).save(stream, format="PNG")
    return stream.getvalue()


def _embedded(png: bytes, name: str) -> str:
    return f"<img alt='{html.escape(name)}' src='data:image/png;base64,{base64.b64encode(png).decode()}'>"
