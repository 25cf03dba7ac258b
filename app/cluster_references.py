"""References by a cluster. This side adds up the passes of each view, in their order.

A job is one pass of one view. Its seed depends on the number of the pass. The sum and its order are those of a single
machine: the same numbers, bit by bit.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from noisewalk.app.cluster import Cluster, Job
from noisewalk.app.cluster_worker import Passes, render_pass, renderer_versions
from noisewalk.app.console import StopSignal, Talk
from noisewalk.app.errors import UsageError
from noisewalk.app.session import Session
from noisewalk.renderer.reference import Accumulation
from noisewalk.renderer.scene import Scene


@dataclass(frozen=True)
class Task:
    """Pass `number` of the view of `accumulation`, with `spp` samples per pixel for each half."""

    accumulation: Accumulation
    number: int
    spp: int


def render_passes(
    cluster: Cluster,
    session: Session,
    tasks: Iterator[Task],
    done: Callable[[Task], None],
    talk: Talk,
    stop: StopSignal,
) -> None:
    """Renders all tasks, and adds up the passes of each view in their order. Calls `done` after each.

    Raises Interrupted if `stop` asks for it, UsageError if the cluster cannot continue. The accumulations keep what was
    added up until then.
    """
    options, scene = session.options, session.scene
    shared = cluster.share(packed(scene))
    passes = Passes(
        scene.file.name,
        scene.content_hash,
        session.backend.variant,
        options.max_depth,
        options.width,
        options.height,
        renderer_versions(),
    )

    def job(task: Task) -> Job:
        view = session.references.file(task.accumulation.camera).stem
        arguments = (shared, passes, task.accumulation.camera, task.number, task.spp)
        return Job(f"{view}-{task.number}", render_pass, arguments, task)

    sums = _Sums((2, options.height, options.width, 3))
    with closing(cluster.run(map(job, tasks), talk, stop)) as results:
        for finished, result in results:
            for task in sums.add(finished.about, result):
                done(task)


class _Sums:
    """Adds passes up. Those that came back before an earlier pass of their view wait."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._early: dict[tuple[Accumulation, int], tuple[Task, bytes]] = {}

    def add(self, task: Task, result: bytes) -> Iterator[Task]:
        """Adds up a pass if it is the next one of its view, and then those that waited for it."""
        accumulation = task.accumulation
        self._early[accumulation, task.number] = task, result
        while waiting := self._early.pop((accumulation, accumulation.passes), None):
            task, result = waiting
            accumulation.take(list(np.frombuffer(result, np.float32).reshape(self._shape)), task.spp)
            yield task


def packed(scene: Scene) -> bytes:
    """The scene's files as a zip archive. Raises UsageError if one of them is outside of the scene's folder."""
    folder = scene.file.parent.resolve()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
        for file in sorted({file.resolve() for file in scene.files}):
            if not file.is_relative_to(folder):
                raise UsageError(f"{file}: lies outside of {folder}: a cluster is sent what lies in the scene's folder")
            zipped.write(file, file.relative_to(folder))
    return archive.getvalue()
