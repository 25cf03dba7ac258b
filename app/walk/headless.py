"""`noisewalk SCENE --headless`: walks a path without a window, and writes a run folder."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import psutil

from noisewalk.app.console import StopSignal, Talk
from noisewalk.app.doctor import machine, versions
from noisewalk.app.errors import EXIT_INTERRUPTED, Interrupted
from noisewalk.app.online_model import CleanTwin
from noisewalk.app.options import WalkOptions
from noisewalk.app.pictures import write_psnr_plot
from noisewalk.app.references import measured_frames, pictured_frames, render_references
from noisewalk.app.session import Measurement, Session, open_session
from noisewalk.app.walk.beside import OIDN, columns_of, pictures_beside
from noisewalk.app.walk.numbers import FORMULAS, MEASURED, decibels, numbers_of, psnr_curves, row_of, summary
from noisewalk.app.walk.pictures import write_comparison, write_frame
from noisewalk.app.walk.run_folder import RunFolder, open_run
from noisewalk.renderer.frame import NoisyPair

CHECKPOINT_SECONDS = 20.0


def walk(options: WalkOptions, talk: Talk) -> int:
    """Begins or continues one headless walk. Returns the exit code."""
    session = open_session(options, talk)
    twin = None
    try:
        resolved = session.options
        if resolved.targets == "clean":
            twin = CleanTwin(resolved.model, session, {})
        content = {"scene_hash": session.scene.content_hash, "path_hash": session.path.digest()}
        if resolved.weights is not None:
            content["weights_hash"] = hashlib.sha256(resolved.weights.read_bytes()).hexdigest()
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
    talk.note(summary(result))
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
            row = row_of(result, process.memory_info().rss / 2**20)
            if session.options.save_frames:
                write_frame(run.folder / "frames", session.options.save_frames, result)
            if result.measurement is not None:
                if index in pictured:
                    beside = pictures_beside(session, result)
                    row |= columns_of(beside, result.measurement)
                    write_comparison(run.folder / "images", result, beside.get(OIDN), row)
                if twin is not None:
                    # After the frame's stages, so that their milliseconds are those of a walk without a twin.
                    row |= _twin_columns(twin, result.pair, result.measurement)
                last_measured = f"; frame {index} measured: {decibels(row, MEASURED)}"
            run.append(row)
            note = f"{sum(result.milliseconds.values()):.0f} ms/frame, estimate {result.estimate}{last_measured}"
            progress.update(task, completed=index + 1, note=note)
            if stop.requested or index + 1 == frames or time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                _save(session, twin, run, index + 1)
                saved_at = time.monotonic()
            if index + 1 < frames:
                stop.check()


def _twin_columns(twin: CleanTwin, pair: NoisyPair, measured: Measurement) -> dict[str, str]:
    twin.learn(pair)
    return columns_of({"clean_targets": twin.show(pair).image}, measured)


def _save(session: Session, twin: CleanTwin | None, run: RunFolder, frames: int) -> None:
    """Writes checkpoints of both networks. After a crash in between there are still two of the same frame."""
    if twin is not None:
        twin.denoiser.save_checkpoint(run.twin_checkpoint(frames), {"frames": frames})
    session.denoiser.save_checkpoint(run.checkpoint, {"frames": frames})
    run.drop_twin_checkpoints(but=frames)


def _finish(session: Session, run: RunFolder, state: str, about: dict[str, Any]) -> dict[str, Any]:
    """Writes weights, plot and run.json. Returns the result, as in run.json."""
    session.save_weights(run.weights)
    rows = run.rows()
    if curves := psnr_curves(rows):
        settings = session.options
        title = f"{session.scene.name}, {settings.width}x{settings.height}, 2 x {settings.spp} spp"
        write_psnr_plot(run.folder / "psnr.png", curves, title)
    result = {"run": str(run.folder), "state": state} | numbers_of(rows)
    run.write_state(state, result=result, **FORMULAS, **about)
    return result
