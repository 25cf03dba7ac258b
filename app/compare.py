"""`noisewalk compare SCENE...`: our models and others on the same frames of the same walk, measured and shown."""

from __future__ import annotations

import csv
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from app.console import StopSignal, Talk
from app.contenders import INSTALL_HINT, Contender, NoisyAverage, OnlineModel, OpenImageDenoise, Shown
from app.doctor import machine, versions
from app.errors import EXIT_INTERRUPTED, Interrupted, UsageError
from app.files import written_aside
from app.headless import open_session
from app.options import WalkOptions
from app.report import Page, write_report
from app.session import Session
from denoiser.features import tone_map
from denoiser.guide import guide_is_installed
from denoiser.metrics import (
    PSNR_FORMULA,
    RELATIVE_MSE_FORMULA,
    TEMPORAL_PSNR_FORMULA,
    psnr,
    relative_mse,
    temporal_psnr,
)
from renderer.bundled import find_scene

TABLE_FRAMES = (1, 10, 50, 100, 200)  # how many frames are walked when it is measured; the last one is added
FLIP_FORMULA = "FLIP = mean LDR-FLIP error (Andersson et al. 2020) of the tone-mapped images, at 67 pixels per degree"
FORMULAS = (PSNR_FORMULA, RELATIVE_MSE_FORMULA, FLIP_FORMULA, TEMPORAL_PSNR_FORMULA)


@dataclass(frozen=True)
class Row:
    """One measurement. frame counts from 1; psnr and tpsnr in dB; flip and tpsnr may be missing."""

    scene: str
    frame: int
    method: str
    psnr: float
    relmse: float
    flip: float | None
    tpsnr: float | None
    train_ms: float
    denoise_ms: float


def compare(options: WalkOptions, scenes: Sequence[str], models: Sequence[str], talk: Talk) -> int:
    """Walks each scene once with all contenders; leaves rows.csv, result.json and report.html in one folder."""
    for scene in scenes:
        find_scene(scene)  # before hours are spent on the others
    folder = _new_folder(options.out)
    missing = [package for package in ("pyoidn", "flip_evaluator") if find_spec(package) is None]
    if missing:
        talk.warn(f"not installed, and left out of the comparison: {', '.join(missing)}: {INSTALL_HINT}")
    rows: list[Row] = []
    pages: list[Page] = []
    about: dict[str, Any] = {"formulas": FORMULAS, "versions": versions(), "state": "failed"}
    try:
        with StopSignal("stopping; what is measured is kept") as stop:
            for scene in scenes:
                session = open_session(replace(options, scene=scene), talk)
                about["machine"] = machine(session.backend, session.denoiser.device)
                about["settings"] = {k: str(v) for k, v in asdict(session.options).items() if k != "scene"}
                try:
                    _one_scene(session, models, rows, pages, talk, stop)
                finally:
                    session.close()
        about["state"] = "complete"
    except Interrupted:
        about["state"] = "interrupted"
    finally:
        _write(folder, rows, about)
        write_report(folder / "report.html", [asdict(row) for row in rows], pages, about)
    talk.note(table(rows) + f"\n{about['state']}: {folder / 'report.html'}\n" + "\n".join(FORMULAS))
    talk.result({"folder": str(folder), "state": about["state"], "rows": [asdict(row) for row in rows]})
    return 0 if about["state"] == "complete" else EXIT_INTERRUPTED


def measured_frames(frames: int) -> list[int]:
    """The frames of the table, from 1, with the last one of the walk."""
    return sorted({frame for frame in (*TABLE_FRAMES, frames) if frame <= frames})


def table(rows: Sequence[Row]) -> str:
    """PSNR and tPSNR per method and measured frame, for each scene and as the mean over scenes."""
    lines = []
    scenes = list(dict.fromkeys(row.scene for row in rows))
    for scene in (*scenes, "mean of all scenes") if len(scenes) > 1 else scenes:
        chosen = [row for row in rows if row.scene == scene or scene not in scenes]
        frames = sorted({row.frame for row in chosen})
        lines.append(f"{scene}: PSNR / tPSNR in dB after frame {', '.join(map(str, frames))}; train + denoise ms")
        for method in dict.fromkeys(row.method for row in chosen):
            cells = []
            for frame in frames:
                here = [row for row in chosen if row.method == method and row.frame == frame]
                moving = [row.tpsnr for row in here if row.tpsnr is not None]
                flicker = f"{statistics.fmean(moving):.1f}" if moving else "-"
                cells.append(f"{statistics.fmean(row.psnr for row in here):6.2f} / {flicker:<5}" if here else 15 * " ")
            own = [row for row in chosen if row.method == method]
            train, denoise = (statistics.median(getattr(row, part) for row in own) for part in _TIMES)
            lines.append(f"  {method:<16}" + "".join(cells) + f" {train:6.0f} + {denoise:.0f}")
    return "\n".join(lines)


_TIMES = ("train_ms", "denoise_ms")


def _one_scene(
    session: Session, models: Sequence[str], rows: list[Row], pages: list[Page], talk: Talk, stop: StopSignal
) -> None:
    frames = session.options.frames
    measured = measured_frames(frames)
    # tPSNR needs the frame before as well.
    needed = sorted({index for frame in measured for index in (frame - 2, frame - 1) if index >= 0})
    contenders: list[Contender] = [NoisyAverage()]
    if guide_is_installed():
        contenders.append(OpenImageDenoise())
    try:
        contenders.extend(OnlineModel(name, session) for name in models)
        references = {}
        with talk.progress() as progress:
            task = progress.add_task("references", total=len(needed), note=session.scene.name)
            for index in needed:
                references[index] = torch.from_numpy(
                    session.reference(session.camera(index), lambda spp: stop.check()).mean
                )
                progress.advance(task)
            task = progress.add_task("frames", total=frames, note=session.scene.name)
            before: dict[str, torch.Tensor] = {}
            for index in range(frames):
                pair = session.render(session.camera(index), index)
                learned = {contender.name: contender.learn(pair) for contender in contenders}
                shown = {contender.name: contender.show(pair) for contender in contenders} if index in needed else {}
                if index + 1 in measured:
                    for name, one in shown.items():
                        rows.append(
                            _measure(session.scene.name, index, name, one, learned[name], before.get(name), references)
                        )
                    images = {name: one.image for name, one in shown.items()} | {"reference": references[index]}
                    page = Page(session.scene.name, index + 1, {name: _display(i) for name, i in images.items()})
                    pages[:] = [p for p in pages if p.scene != page.scene] + [page]
                    note = ", ".join(f"{row.method} {row.psnr:.2f}" for row in rows[-len(shown) :])
                    progress.update(task, note=f"{note} dB")
                before = {name: one.image for name, one in shown.items()}
                progress.advance(task)
                stop.check()
    finally:
        for contender in contenders:
            contender.close()


def _measure(
    scene: str,
    index: int,
    name: str,
    shown: Shown,
    train_ms: float,
    before: torch.Tensor | None,
    references: dict[int, torch.Tensor],
) -> Row:
    reference = references[index]
    moving = before is not None and index - 1 in references
    return Row(
        scene=scene,
        frame=index + 1,
        method=name,
        psnr=psnr(shown.image, reference),
        relmse=relative_mse(shown.image, reference),
        flip=flip(shown.image, reference),
        tpsnr=temporal_psnr(shown.image, before, reference, references[index - 1])
        if moving and before is not None
        else None,
        train_ms=train_ms,
        denoise_ms=shown.milliseconds,
    )


def flip(image: torch.Tensor, reference: torch.Tensor) -> float | None:
    """FLIP_FORMULA, in [0, 1], of (H, W, 3) linear radiance; None without its package."""
    if find_spec("flip_evaluator") is None:
        return None
    import flip_evaluator

    return float(flip_evaluator.evaluate(_display(reference), _display(image), "LDR", applyMagma=False)[1])


def _display(image: torch.Tensor) -> np.ndarray:
    """T(image) as (H, W, 3) float32 in [0, 1]."""
    return tone_map(torch.nan_to_num(image)).float().cpu().numpy()


def _new_folder(given: Path | None) -> Path:
    if given is not None:
        if given.exists() and any(given.iterdir()):
            raise UsageError(f"{given}: not empty: choose another folder with --out")
        given.mkdir(parents=True, exist_ok=True)
        return given
    number = 1
    while (folder := Path("comparisons") / f"{number:03d}").exists():
        number += 1
    folder.mkdir(parents=True)
    return folder


def _write(folder: Path, rows: Sequence[Row], about: dict[str, Any]) -> None:
    with written_aside(folder / "rows.csv") as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(Row.__dataclass_fields__))
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    with written_aside(folder / "result.json") as temporary:
        text = json.dumps(about | {"rows": [asdict(row) for row in rows]}, indent=1)
        temporary.write_text(text, encoding="utf-8")
