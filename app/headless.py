"""`noisewalk SCENE --headless`: walks a path without a window, and leaves a run folder."""

from __future__ import annotations

import statistics
import time
from typing import Any

import psutil

from app.console import StopSignal, Talk
from app.doctor import machine, versions
from app.errors import EXIT_INTERRUPTED, Interrupted
from app.options import WalkOptions
from app.pictures import write_comparison, write_psnr_plot
from app.run_folder import RunFolder, open_run
from app.session import Result, Session
from denoiser.estimate import ESTIMATE_FORMULA
from denoiser.metrics import PSNR_FORMULA

CHECKPOINT_SECONDS = 20.0
STAGES = ("render", "train", "denoise", "measure")


def walk(options: WalkOptions, talk: Talk) -> int:
    """Runs, or goes on with, one headless walk; returns the exit code."""
    session = open_session(options, talk)
    try:
        options = session.options
        content = {"scene_hash": session.scene.content_hash, "path_hash": session.path.digest()}
        run = open_run(options, session.scene.name, content)
        try:
            with StopSignal("stopping; once more to stop at once") as stop:
                return _walk(session, run, talk, stop)
        finally:
            run.close()
    finally:
        session.close()


def open_session(options: WalkOptions, talk: Talk) -> Session:
    """A lockstep session, with what a person should know about it said."""
    talk.note(f"opening {options.scene} ...")
    session = Session(options, pacing="lockstep")
    for warning in session.scene.warnings:
        talk.warn(warning)
    chosen = session.options
    talk.note(f"renderer: {session.backend.variant}: {session.backend.reason}\ntorch: {session.denoiser.device}")
    if (options.width, options.height) == (None, None) and session.denoiser.device.type == "cpu":
        talk.note(f"no GPU: frames of {chosen.width}x{chosen.height} (--width and --height change that)")
    return session


def measured_frames(options: WalkOptions) -> list[int]:
    """The first frame, every `reference_every`-th and the last."""
    return sorted({*range(0, options.frames, options.reference_every), options.frames - 1})


def render_references(session: Session, frames: list[int], talk: Talk, stop: StopSignal) -> None:
    """Makes sure that the cache has the references of these frames."""
    spp = session.options.reference_spp
    assert spp
    with talk.progress() as progress:
        task = progress.add_task("references", total=len(frames), note="")
        for done, index in enumerate(frames):

            def show(rendered: int, done: int = done, index: int = index) -> None:
                fraction = min(1.0, rendered / spp)
                progress.update(task, completed=done + fraction, note=f"frame {index}: {rendered}/{spp} spp")
                stop.check()

            session.reference(session.camera(index), show)
        progress.update(task, completed=len(frames), note=f"{spp} spp")


def _walk(session: Session, run: RunFolder, talk: Talk, stop: StopSignal) -> int:
    options = session.options
    first = 0
    if run.checkpoint.exists():
        first = int(str(session.denoiser.load_checkpoint(run.checkpoint)["frames"]))
        talk.note(f"{run.folder}: going on at frame {first}")
    else:
        talk.note(f"run folder: {run.folder}")
    run.start(first)
    about = {"versions": versions(), "machine": machine(session.backend, session.denoiser.device)}
    run.write_state("running", **about)
    measured = [i for i in measured_frames(options) if i >= first]
    floors: list[float] = []
    try:
        render_references(session, measured, talk, stop)
        _frames(session, run, talk, stop, measured, first, floors)
        state = "complete"
    except Interrupted:
        state = "interrupted"
    result = _finish(session, run, state, floors, about)
    talk.note(_summary(result))
    talk.result(result)
    return EXIT_INTERRUPTED if state == "interrupted" else 0


def _frames(
    session: Session,
    run: RunFolder,
    talk: Talk,
    stop: StopSignal,
    measured: list[int],
    first: int,
    floors: list[float],
) -> None:
    frames = session.options.frames
    process = psutil.Process()
    saved_at = time.monotonic()
    decibels = ""
    with talk.progress() as progress:
        task = progress.add_task("frames", total=frames, completed=first, note="")
        for index in range(first, frames):
            camera = session.camera(index)
            try:
                reference = session.reference(camera) if index in measured else None
                result = session.advance(camera, index, reference)
            except Interrupted:
                session.denoiser.save_checkpoint(run.checkpoint, {"frames": index})
                raise
            if result.measurement is not None:
                write_comparison(run.folder / "images", result)
                floors.append(result.measurement.noise_floor)
                decibels = (
                    f"noisy {result.measurement.psnr_noisy:.2f} dB, denoised {result.measurement.psnr_shown:.2f} dB"
                )
            run.append(_row(result, process.memory_info().rss / 2**20))
            note = f"{sum(result.milliseconds.values()):.0f} ms/frame  {decibels}, estimate {result.estimate}"
            progress.update(task, completed=index + 1, note=note)
            if stop.requested or time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                session.denoiser.save_checkpoint(run.checkpoint, {"frames": index + 1})
                saved_at = time.monotonic()
            if index + 1 < frames:
                stop.check()


def _row(result: Result, memory_mb: float) -> dict[str, str]:
    measured, estimate = result.measurement, result.estimate
    known = estimate.psnr is not None
    return {
        "frame": str(result.pair.index),
        "psnr_noisy": f"{measured.psnr_noisy:.4f}" if measured else "",
        "psnr_shown": f"{measured.psnr_shown:.4f}" if measured else "",
        "psnr_estimate": f"{estimate.psnr:.4f}" if known else "",
        "psnr_estimate_error": f"{estimate.psnr_error:.4f}" if known else "",
        "loss": f"{result.loss:.6g}",
        **{f"{stage}_ms": f"{result.milliseconds[stage]:.1f}" for stage in STAGES},
        "skipped_steps": str(result.skipped_steps),
        "skipped_pairs": str(result.training.skipped_pairs),
        "memory_mb": f"{memory_mb:.0f}",
    }


def _finish(session: Session, run: RunFolder, state: str, floors: list[float], about: dict[str, Any]) -> dict[str, Any]:
    """Writes weights, plot and run.json; returns the result."""
    session.save_weights(run.weights)
    measured = [row for row in run.rows if row["psnr_shown"]]
    if measured:
        settings = session.options
        title = f"{session.scene.name}, {settings.width}x{settings.height}, 2 x {settings.spp} spp"
        write_psnr_plot(run.folder / "psnr.png", run.rows, title)
    result: dict[str, Any] = {
        "run": str(run.folder),
        "state": state,
        "frames": len(run.rows),
        "last_measured": {
            "frame": int(measured[-1]["frame"]),
            "psnr_noisy": float(measured[-1]["psnr_noisy"]),
            "psnr_shown": float(measured[-1]["psnr_shown"]),
            "psnr_estimate": _number(measured[-1]["psnr_estimate"]),
        }
        if measured
        else None,
        "estimate_minus_psnr_db": _estimate_minus_psnr(measured),
        "reference_noise_floor_db": round(min(floors), 2) if floors else None,
        "median_ms": {s: _median([float(row[f"{s}_ms"]) for row in run.rows]) for s in STAGES},
        "skipped_steps": sum(int(row["skipped_steps"]) for row in run.rows),
        "skipped_pairs": session.denoiser.skipped_pairs,
    }
    run.write_state(state, result=result, psnr_formula=PSNR_FORMULA, estimate_formula=ESTIMATE_FORMULA, **about)
    if state == "complete":
        run.checkpoint.unlink(missing_ok=True)
    return result


def _number(cell: str) -> float | None:
    return float(cell) if cell else None


def _estimate_minus_psnr(measured: list[dict[str, str]]) -> float | None:
    """How far off the estimate was, on average over the measured frames."""
    both = [(row["psnr_estimate"], row["psnr_shown"]) for row in measured if row["psnr_estimate"]]
    return round(statistics.fmean(float(a) - float(b) for a, b in both), 2) if both else None


def _median(values: list[float]) -> float | None:
    return round(statistics.median(values), 1) if values else None


def _summary(result: dict[str, Any]) -> str:
    lines = [f"{result['state']}: {result['frames']} frames in {result['run']}"]
    if last := result["last_measured"]:
        lines[0] += (
            f"; frame {last['frame']}: noisy {last['psnr_noisy']:.2f} dB, denoised {last['psnr_shown']:.2f} dB"
            f" (reference good to {result['reference_noise_floor_db']} dB)"
        )
        if last["psnr_estimate"] is not None:
            lines[0] += f", estimated without it {last['psnr_estimate']:.2f} dB"
        lines.append(PSNR_FORMULA)
    if result["state"] == "interrupted":
        lines.append("the same command goes on from here")
    return "\n".join(lines)
