"""How OpenMP's threads wait for one another."""

from __future__ import annotations

import os

SPINS = "20000"  # rounds of a loop: under 0.1 ms, some gaps between the small operations of a training step


def bound_spinning() -> None:
    """OpenMP's waiting threads sleep soon. To be called before torch is imported; what the user has set stays.

    By default, GNU's OpenMP lets them spin for milliseconds. Beside other programs they then take the cores from those
    that they wait for, and training takes eight times as long. If they slept at once, an idle machine would train a
    third slower. The numbers stay the same: how many threads there are does not change.
    """
    if os.environ.keys().isdisjoint(("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")):
        os.environ["GOMP_SPINCOUNT"] = SPINS
