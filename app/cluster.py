"""More machines: Dask's scheduler hands jobs to workers. Whoever asks does something with the results.

A job may run on any worker, and more than once, always with the same result. So a worker may die, come later or be
slow.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import uuid4

from distributed import Client, Future, LocalCluster, wait
from distributed.client import CancelledError
from distributed.comm import CommClosedError

from noisewalk.app.cluster_worker import Refusal
from noisewalk.app.console import StopSignal, Talk
from noisewalk.app.errors import UsageError

CONNECT_SECONDS = 20
POLL_SECONDS = 0.5
AHEAD = 2  # jobs for each thread of the cluster: one that runs, one that waits


@dataclass(frozen=True, eq=False)
class Job:
    """`function(*arguments)` gives a result or a Refusal. `about`: for whoever asks; it stays here."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    about: Any = None


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

    def share(self, content: bytes) -> Future:
        """Sends what many jobs need to the scheduler once. The result stands for `content` in their arguments."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # "large graph"
            # A task, not scattered data: if the worker with the only copy dies, it is not lost.
            return self._client.submit(bytes, content, key=f"shared-{hashlib.sha256(content).hexdigest()}")

    def run(self, jobs: Iterator[Job], talk: Talk, stop: StopSignal) -> Generator[tuple[Job, Any], None, None]:
        """Hands out all jobs. Yields each with its result, in the order in which they end. Close it to cancel the rest.

        Raises Interrupted if `stop` asks for it, UsageError if the cluster cannot continue.
        """
        handed_out = _HandedOut(self._client, self._address, talk)
        try:
            while handed_out.fill(jobs):
                stop.check()
                yield from handed_out.finished()
        finally:
            handed_out.cancel()


class _HandedOut:
    """Jobs that were handed out and have not ended."""

    def __init__(self, client: Client, address: str, talk: Talk) -> None:
        self._client, self._address, self._talk = client, address, talk
        self._out: dict[Future, Job] = {}
        self._refused: dict[str, str] = {}

    def fill(self, jobs: Iterator[Job]) -> bool:
        """Hands out as many jobs as the cluster can take. Returns False if there is nothing left to wait for."""
        with self._scheduler():
            room = AHEAD * max(1, sum(self._client.nthreads().values())) - len(self._out)
        for job in islice(jobs, max(0, room)):
            self._submit(job)
        return bool(self._out)

    def finished(self) -> Iterator[tuple[Job, Any]]:
        """Waits a short time. Yields the jobs that ended meanwhile."""
        for job, result in self._results():
            if isinstance(result, Refusal):
                self._refuse(result)
                self._submit(job)
            else:
                yield job, result

    def _results(self) -> list[tuple[Job, Any]]:
        with self._scheduler(), suppress(TimeoutError):
            ready = wait(list(self._out), timeout=POLL_SECONDS, return_when="FIRST_COMPLETED").done
            for future in ready:
                if future.status == "error":
                    raise UsageError(f"cluster {self._address}: a job failed: {future.exception()}")
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
        """Cancels all jobs that were handed out and are not finished."""
        with suppress(OSError, TimeoutError, CancelledError):
            self._client.cancel(list(self._out), force=True)

    def _submit(self, job: Job) -> None:
        workers = None
        if self._refused:
            with self._scheduler():
                workers = [address for address in self._client.nthreads() if address not in self._refused]
            if not workers:
                raise UsageError(f"cluster {self._address}: no worker can be used: {'; '.join(self._refused.values())}")
        # Nobody else's key, since cancelling takes it from all.
        key = f"{job.name}-{uuid4().hex}"
        self._out[self._client.submit(job.function, *job.arguments, key=key, workers=workers)] = job

    def _refuse(self, refusal: Refusal) -> None:
        if refusal.worker not in self._refused:
            self._refused[refusal.worker] = f"{refusal.worker}: {refusal.reason}"
            self._talk.warn(f"worker {refusal.worker} is left out: {refusal.reason}")


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
