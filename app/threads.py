"""How OpenMP's threads wait for each other."""

from __future__ import annotations

import os

SPINS = "20000"  # rounds of a loop: less than 0.1 ms, about the time between the small operations of a training step


def bound_spinning() -> None:
    """Makes OpenMP's waiting threads sleep soon. To be called before torch is imported. The user's own setting stays.

    By default, GNU's OpenMP lets them spin for milliseconds. On a busy machine they then take the cores from the
    threads for which they wait, and training takes eight times as long. If they slept at once, training on an idle
    machine would take a third longer. The results stay the same, because the number of threads does not change.
    """
    if os.environ.keys().isdisjoint(("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")):
        os.environ["GOMP_SPINCOUNT"] = SPINS
