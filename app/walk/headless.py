"""`noisewalk SCENE --headless`: walks a path without a window, and writes a run folder."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

import psutil

from noisewalk.app.console import StopSignal, Talk
from noisewalk.app.doctor import machine, versions
from noisewalk.app.errors import EXIT_INTERRUPTED, Interrupted
from noisewalk.app.online_model import CleanTwin
from noisewalk.app.options import WalkOptions
from noisewalk.app.pictures import ESTIMATE_LABEL, write_psnr_plot
from noisewalk.app.references import measured_frames, pictured_frames, render_references
from noisewalk.app.session import Measurement, Result, Session, open_session
from noisewalk.app.walk.pictures import write_comparison
from noisewalk.app.walk.run_folder import RunFolder, open_run
from noisewalk.denoiser.estimate import ESTIMATE_FORMULA
from noisewalk.denoiser.metrics import CORRECTED_FORMULA, PSNR_FORMULA, psnr
from noisewalk.renderer.frame import NoisyPair

CHECKPOINT_SECONDS = 20.0
# The estimate is of the error against the truth. So it is shown beside corrected numbers, which are too.
MEASURED = {
    "psnr_shown_corrected": "denoised",
    "psnr_noisy_corrected": "noisy average",
    "psnr_clean_targets_corrected": "clean targets",
}
CURVES = MEASURED | {"psnr_estimate": ESTIMATE_LABEL}
PLAIN = ("psnr_noisy", "psnr_shown", "psnr_clean_targets")
LAST_FRAMES = 50
STAGES = ("render", "train", "denoise", "measure")


def walk(options: WalkOptions, talk: Talk) -> int:
    """Begins or continues one headless walk. Returns the exit code."""
    session = open_session(options, talk)
    twin = None
    try:
        resolved = session.options
        if resolved.targets == "clean":
            twin = CleanTwin(resolved.model, session, {})
        content = {"scene_hash": session.scene.content_hash, "path_hash": session.path.digest()}
        run = open_run(resolved, session.scene.name, content)
        try:
            with StopSignal("stopping; once more to stop at once") as stop:
                return _walk(session, twin, run, talk, stop)
        finally:
            run.close()
    finally:
        if twin is not None:
            twin.close()
        session.close()


def _walk(session: Session, twin: CleanTwin | None, run: RunFolder, talk: Talk, stop: StopSignal) -> int:
    first = 0
    if run.checkpoint.exists():
        first = int(str(session.denoiser.load_checkpoint(run.checkpoint)["frames"]))
        if twin is not None:
            twin.denoiser.load_checkpoint(run.twin_checkpoint(first))
        talk.note(f"{run.folder}: going on at frame {first}")
    else:
        talk.note(f"run folder: {run.folder}")
    about = {"versions": versions(), "machine": machine(session.backend, session.denoiser.device)}
    run.write_state("running", **about)  # first: a folder without run.json belongs to nobody
    run.start(first)
    try:
        render_references(session, [i for i in measured_frames(session.options) if i >= first], talk, stop)
        _frames(session, twin, run, talk, stop, first)
        state = "complete"
    except Interrupted:
        state = "interrupted"
    result = _finish(session, run, state, about)
    talk.note(_summary(result))
    talk.result(result)
    return EXIT_INTERRUPTED if state == "interrupted" else 0


def _frames(session: Session, twin: CleanTwin | None, run: RunFolder, talk: Talk, stop: StopSignal, first: int) -> None:
    frames = session.options.frames
    measured, pictured = set(measured_frames(session.options)), set(pictured_frames(session.options))
    process = psutil.Process()
    saved_at = time.monotonic()
    last_measured = ""
    with talk.progress() as progress:
        task = progress.add_task("frames", total=frames, completed=first, note="")
        for index in range(first, frames):
            camera = session.camera(index)
            try:
                reference = session.reference(camera) if index in measured else None
                result = session.advance(camera, index, reference)
            except Interrupted:
                _save(session, twin, run, index)
                raise
            row = _row(result, process.memory_info().rss / 2**20)
            if result.measurement is not None:
                if index in pictured:
                    write_comparison(run.folder / "images", result)
                if twin is not None:
                    # After the frame's stages, so that their milliseconds are those of a walk without a twin.
                    row |= _twin_columns(twin, result.pair, result.measurement)
                last_measured = f"; frame {index} measured: {_decibels(row, MEASURED)}"
            run.append(row)
            note = f"{sum(result.milliseconds.values()):.0f} ms/frame, estimate {result.estimate}{last_measured}"
            progress.update(task, completed=index + 1, note=note)
            if stop.requested or time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                _save(session, twin, run, index + 1)
                saved_at = time.monotonic()
            if index + 1 < frames:
                stop.check()


def _twin_columns(twin: CleanTwin, pair: NoisyPair, measured: Measurement) -> dict[str, str]:
    twin.learn(pair)
    image, reference = twin.show(pair).image, measured.reference.cpu()
    corrections = {"psnr_clean_targets": 0.0, "psnr_clean_targets_corrected": measured.reference_noise}
    return {column: f"{psnr(image, reference, noise):.4f}" for column, noise in corrections.items()}


def _save(session: Session, twin: CleanTwin | None, run: RunFolder, frames: int) -> None:
    """Writes checkpoints of both networks. After a crash in between there are still two of the same frame."""
    if twin is not None:
        twin.denoiser.save_checkpoint(run.twin_checkpoint(frames), {"frames": frames})
    session.denoiser.save_checkpoint(run.checkpoint, {"frames": frames})
    run.drop_checkpoints(but=frames)


def _psnr_labels(row: Mapping[str, Any], known: Mapping[str, str] = CURVES) -> dict[str, str]:
    """The PSNR columns of a measured row, and their labels."""
    labels = {column: label for column, label in known.items() if row.get(column, "") != ""}
    both_targets = "psnr_clean_targets_corrected" in labels
    return labels | ({"psnr_shown_corrected": "noisy targets"} if both_targets else {})


def _decibels(row: Mapping[str, Any], known: Mapping[str, str] = CURVES) -> str:
    labels = _psnr_labels(row, known)
    return ", ".join(f"{label} {float(row[column]):.2f} dB" for column, label in labels.items())


def _row(result: Result, memory_mb: float) -> dict[str, str]:
    measured, estimate = result.measurement, result.estimate
    known = estimate.psnr is not None
    return {
        "frame": str(result.pair.index),
        "psnr_noisy": f"{measured.psnr_noisy:.4f}" if measured else "",
        "psnr_shown": f"{measured.psnr_shown:.4f}" if measured else "",
        "psnr_clean_targets": "",
        "psnr_noisy_corrected": f"{measured.psnr_noisy_corrected:.4f}" if measured else "",
        "psnr_shown_corrected": f"{measured.psnr_shown_corrected:.4f}" if measured else "",
        "psnr_clean_targets_corrected": "",
        "noise_floor": f"{measured.noise_floor:.4f}" if measured else "",
        "psnr_estimate": f"{estimate.psnr:.4f}" if known else "",
        "psnr_estimate_error": f"{estimate.psnr_error:.4f}" if known else "",
        "loss": f"{result.training.report.loss:.6g}",
        **{f"{stage}_ms": f"{result.milliseconds[stage]:.1f}" for stage in STAGES},
        "skipped_steps": str(result.training.report.skipped),
        "memory_mb": f"{memory_mb:.0f}",
    }


def _finish(session: Session, run: RunFolder, state: str, about: dict[str, Any]) -> dict[str, Any]:
    """Writes weights, plot and run.json. Returns the result, as in run.json."""
    session.save_weights(run.weights)
    measured = [row for row in run.rows if row["psnr_shown"]]
    columns = _psnr_labels(measured[-1]) if measured else {}
    floors = [float(row["noise_floor"]) for row in measured]
    if measured:
        settings = session.options
        title = f"{session.scene.name}, {settings.width}x{settings.height}, 2 x {settings.spp} spp"
        curves = {
            label: [(int(row["frame"]), float(row[column])) for row in run.rows if row[column]]
            for column, label in columns.items()
        }
        write_psnr_plot(run.folder / "psnr.png", curves, title)
    result: dict[str, Any] = {
        "run": str(run.folder),
        "state": state,
        "frames": len(run.rows),
        "last_measured": {
            "frame": int(measured[-1]["frame"]),
            **{column: float(measured[-1][column]) for column in (*PLAIN, *columns) if measured[-1][column]},
        }
        if measured
        else None,
        # One frame is not enough to tell noisy targets from clean ones.
        "mean_of_last_measured": {
            "frames": len(measured[-LAST_FRAMES:]),
            **{c: _mean([float(r[c]) for r in measured[-LAST_FRAMES:] if r[c]], 4) for c in (*PLAIN, *columns)},
        }
        if "psnr_clean_targets_corrected" in columns
        else None,
        "estimate_minus_psnr_db": _estimate_minus_psnr(measured),
        "reference_noise_floor_db": round(min(floors), 2) if floors else None,
        "median_ms": {s: _median([float(row[f"{s}_ms"]) for row in run.rows]) for s in STAGES},
        "skipped_steps": sum(int(row["skipped_steps"]) for row in run.rows),
    }
    formulas = {"psnr": PSNR_FORMULA, "corrected": CORRECTED_FORMULA, "estimate": ESTIMATE_FORMULA}
    about |= {f"{name}_formula": formula for name, formula in formulas.items()}
    run.write_state(state, result=result, **about)
    if state == "complete":
        run.drop_checkpoints()
    return result


def _estimate_minus_psnr(measured: list[dict[str, str]]) -> float | None:
    """How far off the estimate was, on average over the measured frames."""
    return _mean(
        [float(row["psnr_estimate"]) - float(row["psnr_shown_corrected"]) for row in measured if row["psnr_estimate"]],
        2,
    )


def _mean(values: list[float], digits: int) -> float | None:
    return round(statistics.fmean(values), digits) if values else None


def _median(values: list[float]) -> float | None:
    return round(statistics.median(values), 1) if values else None


def _summary(result: dict[str, Any]) -> str:
    lines = [f"{result['state']}: {result['frames']} frames in {result['run']}"]
    if last := result["last_measured"]:
        floor = result["reference_noise_floor_db"]
        doubt = ", noisier than the denoised picture" if floor < last["psnr_shown_corrected"] else ""
        lines[0] += f"; frame {last['frame']}: {_decibels(last)} (corrected for a reference good to {floor} dB{doubt})"
        if mean := result["mean_of_last_measured"]:
            lines.append(f"mean of the last {mean['frames']} frames: {_decibels(mean)}")
        lines += [PSNR_FORMULA, CORRECTED_FORMULA]
    if result["state"] == "interrupted":
        lines.append("the same command goes on from here")
    return "\n".join(lines)
