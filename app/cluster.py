"""More machines: Dask's scheduler distributes passes of references. This side adds them up, in their order.

A task is one pass of one view. Its seed depends on the number of the pass, so that it may run anywhere, and more than
once. The sum and its order are those of a single machine: the same numbers, bit by bit.
"""

from __future__ import annotations

import io
import logging
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from uuid import uuid4

import numpy as np
from distributed import Client, Future, LocalCluster, wait
from distributed.client import CancelledError
from distributed.comm import CommClosedError

from noisewalk.app.cluster_worker import Passes, Refusal, render_pass, versions
from noisewalk.app.console import StopSignal, Talk
from noisewalk.app.errors import UsageError
from noisewalk.app.session import Session
from noisewalk.renderer.reference import Accumulation
from noisewalk.renderer.scene import Scene

CONNECT_SECONDS = 20
POLL_SECONDS = 0.5
AHEAD = 2  # tasks for each thread of the cluster: one that runs, one that waits


@dataclass(frozen=True)
class Task:
    """Pass `number` of the view of `accumulation`, with `spp` samples per pixel for each half."""

    accumulation: Accumulation
    number: int
    spp: int


class Cluster:
    """A scheduler at `address`. `local:N` starts one, with N worker processes on this machine. Close when done.

    Raises UsageError if there is no scheduler, or if it has no workers.
    """

    def __init__(self, address: str) -> None:
        for name in [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]:
            logging.getLogger(name).setLevel(logging.CRITICAL)  # our own messages say what matters
        self._address = address
        self._own = _local_cluster(address)
        try:
            self._client = Client(self._own or address, timeout=CONNECT_SECONDS)
            self._client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except (OSError, ValueError, TimeoutError) as error:
            cause = "no worker has come" if hasattr(self, "_client") else "no scheduler answers there"
            self.close()
            raise UsageError(f"cluster {address}: {cause}") from error

    def close(self) -> None:
        """Leaves the cluster. Ends it if it was started here."""
        with suppress(OSError, TimeoutError):
            if hasattr(self, "_client"):
                self._client.close()
        if self._own is not None:
            self._own.close()

    def render(
        self, session: Session, tasks: Iterator[Task], done: Callable[[Task], None], talk: Talk, stop: StopSignal
    ) -> None:
        """Renders all tasks, and adds up the passes of each view in their order. Calls `done` after each.

        Raises Interrupted if `stop` asks for it, UsageError if the cluster cannot continue. The accumulations keep what
        was added up until then.
        """
        jobs = _Jobs(self._client, self._address, session, talk)
        try:
            while jobs.fill(tasks):
                stop.check()
                for task in jobs.finished():
                    done(task)
        finally:
            jobs.cancel()


class _Jobs:
    """Tasks that were handed out, and passes that came back before an earlier pass of their view."""

    def __init__(self, client: Client, address: str, session: Session, talk: Talk) -> None:
        options, scene = session.options, session.scene
        self._client, self._address, self._talk = client, address, talk
        self._session = session
        self._passes = Passes(
            scene.file.name,
            scene.content_hash,
            session.backend.variant,
            options.max_depth,
            options.width,
            options.height,
            versions(),
        )
        self._shape = 2, options.height, options.width, 3
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # "large graph": the scene goes to the scheduler once
            # A task, not scattered data: if the worker with the only copy dies, the scene is not lost.
            self._scene = client.submit(bytes, packed(scene), key=f"scene-{scene.content_hash}")
        self._out: dict[Future, Task] = {}
        self._early: dict[tuple[Accumulation, int], tuple[Task, bytes]] = {}
        self._refused: dict[str, str] = {}

    def fill(self, tasks: Iterator[Task]) -> bool:
        """Hands out as many tasks as the cluster can take. Returns False if there is nothing left to wait for."""
        with self._scheduler():
            room = AHEAD * max(1, sum(self._client.nthreads().values())) - len(self._out)
        for task in islice(tasks, max(0, room)):
            self._submit(task)
        return bool(self._out)

    def finished(self) -> Iterator[Task]:
        """Waits a short time. Yields the tasks that were added up meanwhile."""
        for task, result in self._results():
            if isinstance(result, Refusal):
                self._refuse(result)
                self._submit(task)
            else:
                yield from self._add(task, result)

    def _results(self) -> list[tuple[Task, bytes | Refusal]]:
        with self._scheduler(), suppress(TimeoutError):
            ready = wait(list(self._out), timeout=POLL_SECONDS, return_when="FIRST_COMPLETED").done
            for future in ready:
                if future.status == "error":
                    raise UsageError(f"cluster {self._address}: a task failed: {future.exception()}")
            return [(self._out.pop(future), future.result()) for future in ready]
        return []

    @contextmanager
    def _scheduler(self) -> Iterator[None]:
        """Within this context, errors mean that the scheduler is gone."""
        try:
            yield
        except (CommClosedError, CancelledError) as error:
            raise UsageError(f"cluster {self._address}: the scheduler is gone; what is done stays done") from error

    def cancel(self) -> None:
        """Cancels all tasks that were handed out and are not finished."""
        with suppress(OSError, TimeoutError, CancelledError):
            self._client.cancel(list(self._out), force=True)

    def _submit(self, task: Task) -> None:
        workers = None
        if self._refused:
            with self._scheduler():
                workers = [address for address in self._client.nthreads() if address not in self._refused]
            if not workers:
                raise UsageError(f"cluster {self._address}: no worker can be used: {'; '.join(self._refused.values())}")
        name = self._session.references.file(task.accumulation.camera).stem
        future = self._client.submit(
            render_pass,
            self._scene,
            self._passes,
            task.accumulation.camera,
            task.number,
            task.spp,
            key=f"{name}-{task.number}-{uuid4().hex}",  # nobody else's, since cancelling takes it from all
            workers=workers,
        )
        self._out[future] = task

    def _refuse(self, refusal: Refusal) -> None:
        if refusal.worker not in self._refused:
            self._refused[refusal.worker] = f"{refusal.worker}: {refusal.reason}"
            self._talk.warn(f"worker {refusal.worker} is left out: {refusal.reason}")

    def _add(self, task: Task, result: bytes) -> Iterator[Task]:
        """Adds up a pass if it is the next one of its view, and then those that waited for it."""
        accumulation = task.accumulation
        self._early[accumulation, task.number] = task, result
        while waiting := self._early.pop((accumulation, accumulation.passes), None):
            task, result = waiting
            accumulation.take(list(np.frombuffer(result, np.float32).reshape(self._shape)), task.spp)
            yield task


def _local_cluster(address: str) -> LocalCluster | None:
    name, _, count = address.partition(":")
    if name != "local":
        return None
    if count and not (count.isdecimal() and int(count) > 0):
        raise UsageError(f"--cluster {address}: local:N takes a number of workers")
    return LocalCluster(
        n_workers=int(count) if count else None,
        threads_per_worker=1,
        dashboard_address=None,
        silence_logs=logging.CRITICAL,
        preload=["noisewalk.app.cluster_worker"],
    )


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
