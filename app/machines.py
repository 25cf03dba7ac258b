"""`--cluster`: the way to other machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noisewalk.app.errors import UsageError

if TYPE_CHECKING:
    from noisewalk.app.cluster import Cluster


def connect(address: str) -> Cluster:
    """The cluster at `address`, or N workers here for `local:N`. Close it when done.

    Raises UsageError without its package, without a scheduler, or if that has no workers.
    """
    try:
        from noisewalk.app.cluster import Cluster
    except ModuleNotFoundError as error:
        raise UsageError(f"--cluster needs the package '{error.name}': run scripts/setup cluster") from error
    return Cluster(address)
