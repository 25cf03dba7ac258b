"""`noisewalk study NAME`: runs a study, or all of them, and shows its numbers beside the paper's."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from noisewalk.app.console import StopSignal, Talk
from noisewalk.app.errors import EXIT_INTERRUPTED, EXIT_USAGE, UsageError
from noisewalk.app.files import new_folder
from noisewalk.app.options import StudyOptions
from noisewalk.app.study.report import FORMULA, page, result, sweep_table, table, write_result, write_study, write_sweep
from noisewalk.app.study.table import ROWS, STUDIES, Study, budget, impulses
from noisewalk.app.study.training import Measured, measure
from noisewalk.denoiser import DenoiserError
from noisewalk.renderer import RendererError

SWEPT = (0.1, 0.3, 0.5, 0.7, 0.9)
SWEEP_STEPS = 400  # of each
ELSEWHERE = {
    "losses": "figure 6, loss and tone map online: noisewalk variants SCENE",
    "targets": "figure 8, clean targets online: noisewalk SCENE --headless --targets clean",
}


def studies(talk: Talk) -> int:
    """Lists the studies."""
    talk.listing({row.name: row.about for row in ROWS} | {"all": "all of these, one after the other"} | ELSEWHERE)
    return 0


def study(options: StudyOptions, talk: Talk) -> int:
    """Runs the named studies. Writes result.json, curves.png and strip.png, for several into a folder of each.

    Returns the exit code. Raises UsageError for wrong names and folders.
    """
    rows = _rows(options)
    folder = new_folder(options.out, "studies")
    found, failed = _run(rows, folder, options, talk)
    if len(rows) > 1:
        talk.note(page(found))
    if options.sweep and found:
        talk.note(sweep_table(found))
        write_sweep(folder / "curves.png", found, SWEPT)
    talk.note(f"{folder}: result.json, curves.png, strip.png\n{FORMULA}")
    talk.result(_document(folder, found))
    if any(done.state != "complete" for done in found):
        return EXIT_INTERRUPTED
    return EXIT_USAGE if failed else 0


def _rows(options: StudyOptions) -> tuple[Study, ...]:
    if options.sweep and options.name != "impulse":
        raise UsageError(f"--sweep is for the study impulse, not for {options.name}")
    if options.sweep:
        return tuple(
            replace(impulses(share), name=f"impulse-{share:.0%}".rstrip("%"), steps=SWEEP_STEPS) for share in SWEPT
        )
    if options.name == "budget":
        return (budget(options.captures),)
    if options.name == "all":
        return ROWS
    if options.name not in STUDIES:
        hint = f": it is {ELSEWHERE[options.name]}" if options.name in ELSEWHERE else f": {', '.join(STUDIES)}, all"
        raise UsageError(f"no study '{options.name}' here{hint}")
    return (STUDIES[options.name],)


def _run(rows: tuple[Study, ...], folder: Path, options: StudyOptions, talk: Talk) -> tuple[list[Measured], bool]:
    """The results, and whether one of several studies could not run. Ends at the first one that is stopped."""
    found, failed = [], False
    with StopSignal("stopping; what is measured is kept") as stop:
        for row in rows:
            own = folder / row.name if len(rows) > 1 else folder
            try:
                done = measure(row, options, talk, stop, partial(write_result, own))
            except (UsageError, RendererError, DenoiserError) as error:
                if len(rows) == 1:
                    raise
                talk.warn(f"{row.name}: left out: {error}")
                failed = True
                continue
            write_study(own, done)
            found.append(done)
            talk.note(table(done))
            if done.state != "complete":
                break
    return found, failed


def _document(folder: Path, found: list[Measured]) -> dict[str, Any]:
    results = [result(done) for done in found]
    return {"folder": str(folder)} | (results[0] if len(results) == 1 else {"studies": results})
