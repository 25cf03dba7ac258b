"""`noisewalk compare SCENE...`: our models and others on the same frames of the same walk, measured and shown."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from noisewalk.app.compare.contenders import COMPARE_HINT, Contender, NoisyAverage, OpenImageDenoise, Optix
from noisewalk.app.compare.names import distinct_names
from noisewalk.app.compare.report import Page, write_report
from noisewalk.app.compare.scores import FORMULAS, Row, display, measure, score_table
from noisewalk.app.console import StopSignal, Talk
from noisewalk.app.doctor import machine, versions
from noisewalk.app.errors import EXIT_INTERRUPTED, Interrupted, UsageError
from noisewalk.app.files import new_folder, write_json
from noisewalk.app.machines import connect
from noisewalk.app.online_model import CleanTwin, OnlineModel
from noisewalk.app.options import CONTENDERS, WalkOptions
from noisewalk.app.references import render_references
from noisewalk.app.session import Session, open_session
from noisewalk.denoiser.guide import guide_is_installed
from noisewalk.denoiser.weights import load_weights
from noisewalk.renderer.files import written_aside

_OF_A_SCENE = ("scene", "width", "height")  # settings that differ from scene to scene
TABLE_FRAMES = (1, 10, 50, 100, 200)  # measured after so many frames, and after the last one


@dataclass(eq=False)
class Comparison:
    """What was measured. about["state"] says how it ended: complete, interrupted or failed."""

    folder: Path
    about: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """Of the command: 0 when complete."""
        return 0 if self.about["state"] == "complete" else EXIT_INTERRUPTED

    def write(self) -> None:
        """Writes rows.csv and result.json."""
        with (
            written_aside(self.folder / "rows.csv") as temporary,
            open(temporary, "w", newline="", encoding="utf-8") as stream,
        ):
            writer = csv.DictWriter(stream, list(Row.__dataclass_fields__))
            writer.writeheader()
            writer.writerows(asdict(row) for row in self.rows)
        write_json(self.folder / "result.json", self.about | {"rows": [asdict(row) for row in self.rows]})

    def result(self) -> dict[str, Any]:
        """The document for `--json`."""
        rows = [asdict(row) for row in self.rows]
        return {"folder": str(self.folder), "state": self.about["state"], "rows": rows}


Contenders = Callable[[Session], Iterable[Contender]]
WalkAll = Callable[[Sequence[int], Comparison, StopSignal], None]  # measured frames, where to add, when to stop


def compare(
    options: WalkOptions, scenes: Sequence[str], models: Sequence[str], talk: Talk, cluster: str | None = None
) -> int:
    """Walks each scene once with all contenders. Writes rows.csv, result.json and report.html into one folder.

    cluster: walks the scenes, each on one worker (see `connect`). Returns the exit code. Raises UsageError, SceneError
    or WeightsError before the first walk.
    """
    distinct_names(scenes)  # now, and not after hours of work on the first scenes
    starts = starts_of(models, options.weights)
    folder = new_folder(options.out, "comparisons")
    missing = [package for package in ("pyoidn", "flip_evaluator") if find_spec(package) is None]
    if missing:
        talk.warn(f"not installed, and left out of the comparison: {', '.join(missing)}: {COMPARE_HINT}")
    if "pyoidn" in missing:
        starts.pop("adaptive-oidn", None)
    walks = [replace(options, scene=scene) for scene in scenes]
    walk_all: WalkAll
    if cluster is None:
        walk_all = partial(walk_here, walks, partial(contenders_of, starts=starts, talk=talk), talk)
    else:
        machines = connect(cluster)  # first: the next line needs its package
        from noisewalk.app.compare.elsewhere import walk_there

        walk_all = partial(walk_there, machines, walks, list(starts), talk)
    done = measure_walks(walk_all, milestones(options.frames), folder, {"title": "noisewalk compare"}, talk)
    if any(row.psnr_is_bound for row in done.rows):
        talk.warn("> marks pictures with less noise than their references: more --reference-spp would say how good")
    talk.note(score_table(done.rows) + f"\n{done.about['state']}: {folder / 'report.html'}\n" + "\n".join(FORMULAS))
    talk.result(done.result())
    return done.exit_code


def measure_walks(
    walk_all: WalkAll, measured: Sequence[int], folder: Path, about: Mapping[str, Any], talk: Talk
) -> Comparison:
    """Lets `walk_all` walk each scene once and measure the pictures of all contenders after `measured` frames.

    Writes rows.csv, result.json and report.html into `folder`. After Ctrl-C or a failure they have what was measured.
    measured: numbers of frames, from 1. about: goes into result.json; its `title` is the heading of the page.
    """
    done = Comparison(folder, {**about, "formulas": FORMULAS, "versions": versions(), "sizes": {}, "state": "failed"})
    try:
        with StopSignal("stopping; what is measured is kept") as stop:
            walk_all(measured, done, stop)
        done.about["state"] = "complete"
    except Interrupted:
        done.about["state"] = "interrupted"
    finally:
        done.write()
        write_report(folder / "report.html", [asdict(row) for row in done.rows], done.pages, done.about)
    return done


def walk_here(
    walks: Sequence[WalkOptions],
    contenders: Contenders,
    talk: Talk,
    measured: Sequence[int],
    done: Comparison,
    stop: StopSignal,
) -> None:
    """Walks one after the other."""
    for options, name in zip(walks, distinct_names([walk.scene for walk in walks]), strict=True):
        walk_scene(name, options, contenders, talk, measured, done, stop)


def walk_scene(
    name: str,
    options: WalkOptions,
    contenders: Contenders,
    talk: Talk,
    measured: Sequence[int],
    done: Comparison,
    stop: StopSignal,
) -> None:
    """Walks one scene, and adds to `done` what was measured. name: of the scene in tables and pages."""
    session = open_session(replace(options, weights=None), talk)  # contenders load their own weights
    done.about["machine"] = machine(session.backend, session.denoiser.device)
    settings = asdict(session.options) | {"weights": options.weights}
    done.about["settings"] = {k: str(v) for k, v in settings.items() if k not in _OF_A_SCENE}
    done.about["sizes"][name] = "{width}x{height}".format(**settings)
    try:
        _one_walk(name, session, contenders(session), measured, done, talk, stop)
    finally:
        session.close()


def starts_of(models: Sequence[str], weights: Path | None) -> dict[str, dict[str, Any]]:
    """What differs for each of these CONTENDERS. The weights go to those of their model that do not start cold.

    Raises WeightsError or UsageError if the weights cannot be used.
    """
    starts = {name: CONTENDERS[name] for name in models}
    if weights is None:
        return starts
    trained = load_weights(weights)[1]["model"]
    own = [name for name in models if starts[name]["model"] == trained and not starts[name].get("cold")]
    if not own:
        chosen = ", ".join(models)
        raise UsageError(f"{weights}: weights of model '{trained}', from which none of these starts: {chosen}")
    return starts | {name: starts[name] | {"weights": weights} for name in own}


def contenders_of(session: Session, starts: Mapping[str, Mapping[str, Any]], talk: Talk) -> Iterator[Contender]:
    yield NoisyAverage()
    if guide_is_installed():
        yield OpenImageDenoise(session.denoiser.device)
    if session.backend.variant.startswith("cuda"):
        try:
            yield Optix(session)
        except RuntimeError as error:  # a driver may trace rays and still not have the denoiser's weights
            talk.warn(f"the OptiX denoiser does not work here, and is left out: {str(error).splitlines()[0]}")
    for name, changes in starts.items():
        yield OnlineModel(name, session, changes)
        if session.options.targets == "clean":
            yield CleanTwin(name, session, changes)


def milestones(frames: int) -> list[int]:
    """The frames of the table and the last one of the walk, counted from 1."""
    return sorted({frame for frame in (*TABLE_FRAMES, frames) if frame <= frames})


def _one_walk(
    scene: str,
    session: Session,
    chosen: Iterable[Contender],
    measured: Sequence[int],
    done: Comparison,
    talk: Talk,
    stop: StopSignal,
) -> None:
    frames = session.options.frames
    # tPSNR also needs the frame before.
    compared = {index for frame in measured for index in (frame - 2, frame - 1) if index >= 0}
    contenders: list[Contender] = []
    try:
        contenders.extend(chosen)
        render_references(
            session, list(range(frames)) if session.options.targets == "clean" else sorted(compared), talk, stop
        )
        references = {i: session.reference(session.camera(i)) for i in sorted(compared)}
        with talk.progress() as progress:
            task = progress.add_task("frames", total=frames, note=scene)
            before: dict[str, torch.Tensor] = {}
            for index in range(frames):
                pair = session.render(session.camera(index), index)
                learned = {contender.name: contender.learn(pair) for contender in contenders}
                shown = {contender.name: contender.show(pair) for contender in contenders} if index in compared else {}
                if index + 1 in measured:
                    new = [
                        measure(scene, index, name, one, learned[name], before.get(name), references)
                        for name, one in shown.items()
                    ]
                    done.rows.extend(new)
                    done.write()  # the next measurement may be hours away
                    images = {name: one.image for name, one in shown.items()} | {
                        "reference": torch.from_numpy(references[index].mean)
                    }
                    page = Page(scene, index + 1, {name: display(i) for name, i in images.items()})
                    done.pages[:] = [p for p in done.pages if p.scene != scene] + [page]
                    decibels = [f"{r.method} {'>' * r.psnr_is_bound}{r.psnr_corrected:.2f}" for r in new]
                    progress.update(task, note=", ".join(decibels) + " dB")
                before = {name: one.image for name, one in shown.items()}
                progress.advance(task)
                stop.check()
    finally:
        for contender in contenders:
            contender.close()
