"""How OpenMP's threads wait: bounded unless the user has said how, and before torch is there to ask."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from noisewalk.app.threads import SPINS

PROBE = """
import ctypes, os, sys
from noisewalk.app.__main__ import main
assert "torch" not in sys.modules
main(["scenes", "--quiet"])
getenv = ctypes.CDLL(None).getenv
getenv.restype = ctypes.c_char_p
print(getenv(b"GOMP_SPINCOUNT"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP")
@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, SPINS.encode()), ({"GOMP_SPINCOUNT": "7"}, b"7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)],
)
def test_waiting_threads_sleep_soon_unless_the_user_has_said_how(given: dict[str, str], expected: bytes | None) -> None:
    clean = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run([sys.executable, "-c", PROBE], env=clean | given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(expected)  # what the C library hands to OpenMP
