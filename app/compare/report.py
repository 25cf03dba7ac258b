"""A comparison as one HTML page that needs nothing beside it."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from noisewalk.app.options import CONTENDERS
from noisewalk.renderer.files import written_aside

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
_BOUNDS = {"psnr_corrected": "psnr_is_bound", "tpsnr_corrected": "tpsnr_is_bound"}
# The measures that say which picture is best. Flicker is not among them: a blurred picture flickers least.
_BEST: dict[str, Callable[[Iterable[float]], float]] = {"psnr": max, "psnr_corrected": max, "flip": min, "relmse": min}


@dataclass(frozen=True, eq=False)
class Page:
    """The pictures of one scene's last measured frame: (H, W, 3) in [0, 1] by name, `reference` among them."""

    scene: str
    frame: int
    images: dict[str, np.ndarray]


def write_report(file: Path, rows: Sequence[dict[str, Any]], pages: Sequence[Page], about: dict[str, Any]) -> None:
    """Writes tables, curves and pictures. Raises OSError."""
    title = html.escape(about["title"])
    parts = [f"<!doctype html><meta charset='utf-8'><title>{title}</title>", f"<style>{_asset('report.css')}</style>"]
    parts.append(f"<h1>{title}</h1>")
    for page in pages:
        own = [row for row in rows if row["scene"] == page.scene]
        parts.append(f"<h2>{html.escape(page.scene)}</h2>{_plots(own)}")
        parts.extend(_measure_table(own, *measure) for measure in _MEASURES)
        parts.append(_pictures(page))
    parts.append("<h2>Formulas and settings</h2>")
    parts.extend(f"<p><code>{html.escape(formula)}</code></p>" for formula in about["formulas"])
    for name in ("sizes", "settings", "machine", "versions"):
        text = ", ".join(f"{key} {value}" for key, value in about.get(name, {}).items())
        parts.append(f"<p>{name}: <code>{html.escape(text)}</code></p>")
    parts.append(f"<script>{_asset('report.js')}</script>")
    with written_aside(file) as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")


def _measure_table(rows: Sequence[dict[str, Any]], measure: str, title: str, digits: int) -> str:
    frames = sorted({row["frame"] for row in rows if row[measure] is not None})
    if not frames:
        return ""
    values = {(row["method"], row["frame"]): row[measure] for row in rows if row[measure] is not None}
    bounds = {(row["method"], row["frame"]) for row in rows if _is_bound(row, measure)}
    best = _BEST.get(measure, lambda _: math.nan)
    leaders = {f: best(value for (_, frame), value in values.items() if frame == f) for f in frames}
    head = "".join(f"<th>frame {frame}</th>" for frame in frames)
    body = []
    for method in dict.fromkeys(row["method"] for row in rows):
        cells = []
        for frame in frames:
            value = values.get((method, frame))
            mark = " class='best'" if value == leaders[frame] else ""
            text = "" if value is None else f"{'&ge; ' * ((method, frame) in bounds)}{value:.{digits}f}"
            cells.append(f"<td{mark}>{text}</td>")
        body.append(f"<tr><td>{html.escape(method)}</td>{''.join(cells)}</tr>")
    return f"<table><tr><th>{html.escape(title)}</th>{head}</tr>{''.join(body)}</table>"


def _is_bound(row: dict[str, Any], measure: str) -> bool:
    """Whether the value is only a bound: the true one is at least so much."""
    return measure in _BOUNDS and bool(row[_BOUNDS[measure]])


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
    """All pictures beside each other. With a script, any two also lie under a slider."""
    ours = next((name for name in page.images if name in CONTENDERS), "noisy")
    other = "oidn" if "oidn" in page.images else "reference"
    height, width = page.images[ours].shape[:2]
    frame = f"<div class='frame' style='aspect-ratio: {width} / {height}'>"
    panes = "".join(
        f"<figure>{frame}{_embedded(_png(image), name)}</div><figcaption>{html.escape(name)}</figcaption></figure>"
        for name, image in page.images.items()
    )
    return f"""<p>frame {page.frame}</p>
<section class='pictures'>
<div class='interactive' hidden>
<div class='choice'>
{_choice("left", page.images, ours)}
<label><input type='checkbox' class='errors'> error against the reference</label>
{_choice("right", page.images, other)}
</div>
{frame.replace("'frame'", "'frame split'")}
<div class='left'></div><div class='right'></div><div class='line'></div>
</div>
<input class='cut' type='range' min='0' max='100' value='50' step='0.1' aria-label='where the pictures meet'>
<p class='hint'>Wheel: zoom. Drag: move. Double click: all of it. The pictures below follow.</p></div>
<div class='all'>{panes}</div>
</section>"""


def _choice(side: str, names: Iterable[str], chosen: str) -> str:
    options = "".join(f"<option{' selected' * (name == chosen)}>{html.escape(name)}</option>" for name in names)
    return f"<select class='of-{side}' aria-label='picture on the {side}'>{options}</select>"


def _asset(name: str) -> str:
    return (files("noisewalk.app.compare") / name).read_text(encoding="utf-8")


def _png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray((np.clip(image, 0, 1) * 255).round().astype(np.uint8)).save(stream, format="PNG")
    return stream.getvalue()


def _embedded(png: bytes, name: str) -> str:
    return f"<img alt='{html.escape(name)}' src='data:image/png;base64,{base64.b64encode(png).decode()}'>"
