"""A comparison of several scenes on several machines: each scene is walked by one worker."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from noisewalk.app.cluster import Cluster, Job
from noisewalk.app.cluster_references import packed
from noisewalk.app.cluster_worker import Refusal, Versions, answer, program_versions, unpack
from noisewalk.app.compare.comparison import Comparison, contenders_of, starts_of, walk_here
from noisewalk.app.console import StopSignal, Talk
from noisewalk.app.options import Output, WalkOptions
from noisewalk.renderer.backend import choose_backend
from noisewalk.renderer.scene import open_scene


@dataclass(frozen=True)
class Walk:
    """What a worker is told. file: the scene's, in its archive. weights: content of the file, if there is one."""

    name: str
    file: str
    options: WalkOptions
    models: tuple[str, ...]
    weights: bytes | None
    measured: tuple[int, ...]
    versions: Versions


def walk_there(
    cluster: Cluster,
    walks: Mapping[str, WalkOptions],
    models: Sequence[str],
    talk: Talk,
    measured: Sequence[int],
    done: Comparison,
    stop: StopSignal,
) -> None:
    """Like `walk_here`, on a cluster, which is closed then. What Ctrl-C stops in the middle of a scene is lost."""
    try:
        jobs = list(_jobs(cluster, walks, tuple(models), tuple(measured), talk))  # all scenes can be opened and sent
        with talk.progress() as progress, closing(cluster.run(iter(jobs), talk, stop)) as results:
            task = progress.add_task("scenes", total=len(walks), note="on the cluster")
            for _, part in results:
                _add(done, part, list(walks))
                progress.advance(task)
    finally:
        cluster.close()


def _jobs(
    cluster: Cluster, walks: Mapping[str, WalkOptions], models: tuple[str, ...], measured: tuple[int, ...], talk: Talk
) -> Iterator[Job]:
    versions = program_versions()
    for name, options in walks.items():
        backend = choose_backend(options.variant, options.cache_dir)
        backend.activate()
        scene = open_scene(options.scene, backend.variant, options.max_depth)
        for warning in scene.warnings:
            talk.warn(warning)
        weights = None if options.weights is None else options.weights.read_bytes()
        walk = Walk(name, scene.file.name, options, models, weights, measured, versions)
        yield Job(f"walk-{scene.name}", measure, (cluster.share(packed(scene)), walk))


def _add(done: Comparison, part: Comparison, names: Sequence[str]) -> None:
    """Adds a scene, and keeps all in the order of `names`."""
    done.rows[:] = sorted([*done.rows, *part.rows], key=lambda row: names.index(row.scene))
    done.pages[:] = sorted([*done.pages, *part.pages], key=lambda page: names.index(page.scene))
    done.about.update({key: part.about[key] for key in ("machine", "settings")})
    done.about["sizes"].update(part.about["sizes"])
    done.write()  # the next scene may be hours away


def measure(scene: bytes, walk: Walk) -> Comparison | Refusal:
    """What a worker measures in one walk, or why not. scene: a zip archive of the scene's files."""
    return answer(program_versions(), walk.versions, _measured, scene, walk)


def _measured(scene: bytes, walk: Walk) -> Comparison:
    quiet = Talk(Output(quiet=True))
    with tempfile.TemporaryDirectory(prefix="noisewalk-") as temporary:
        folder = Path(temporary)
        unpack(scene, folder / "scene")
        weights = None
        if walk.weights is not None:
            weights = folder / "weights.safetensors"
            weights.write_bytes(walk.weights)
        options = replace(
            walk.options, scene=str(folder / "scene" / walk.file), weights=weights, cache_dir=folder / "cache"
        )
        contenders = partial(contenders_of, starts=starts_of(walk.models, weights), talk=quiet)
        done = Comparison(folder, {"sizes": {}})
        walk_here({walk.name: options}, contenders, quiet, walk.measured, done, StopSignal(""))
        done.about["settings"]["weights"] = str(walk.options.weights)
        return done
