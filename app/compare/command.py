"""`noisewalk compare SCENE...`: the command, here or on a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

from noisewalk.app.compare.comparison import WalkAll, contenders_of, measure_walks, milestones, starts_of, walk_here
from noisewalk.app.compare.contenders import COMPARE_HINT
from noisewalk.app.compare.names import distinct_names
from noisewalk.app.compare.scores import FORMULAS, score_table
from noisewalk.app.console import Talk
from noisewalk.app.files import new_folder
from noisewalk.app.machines import connect
from noisewalk.app.options import WalkOptions


def compare(
    options: WalkOptions, scenes: Sequence[str], models: Sequence[str], talk: Talk, cluster: str | None = None
) -> int:
    """Walks each scene once with all contenders. Writes rows.csv, result.json and report.html into one folder.

    cluster: walks the scenes, each on one worker (see `connect`). Returns the exit code. Raises UsageError, SceneError
    or WeightsError before the first walk.
    """
    names = distinct_names(scenes)  # now, and not after hours of work on the first scenes
    starts = starts_of(models, options.weights)
    folder = new_folder(options.out, "comparisons")
    missing = [package for package in ("pyoidn", "flip_evaluator") if find_spec(package) is None]
    if missing:
        talk.warn(f"not installed, and left out of the comparison: {', '.join(missing)}: {COMPARE_HINT}")
    if "pyoidn" in missing:
        starts.pop("adaptive-oidn", None)
    walks = {name: replace(options, scene=scene) for name, scene in zip(names, scenes, strict=True)}
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
