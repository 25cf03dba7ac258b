"""Chooses the Mitsuba variant, and proves in a child process that it renders.

A broken LLVM aborts the whole process, and no `try` catches that: versions 14 and 15 do so with Dr.Jit 1.5. So every
candidate first renders a tiny picture in a process of its own. The cache directory remembers what each LLVM did.
"""

from __future__ import annotations

import contextlib
import ctypes
import glob
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from noisewalk.renderer import RendererError
from noisewalk.renderer.files import written_aside

VARIANTS = ("cuda_ad_rgb", "llvm_ad_rgb", "scalar_rgb")
PROBE_SECONDS = 120

PROBE = """
import sys
import mitsuba as mi
mi.set_variant(sys.argv[1])
import numpy as np
scene = mi.load_dict({
    "type": "scene", "integrator": {"type": "path", "max_depth": 3}, "light": {"type": "constant"},
    "ball": {"type": "sphere", "bsdf": {"type": "roughplastic"}},
    "sensor": {"type": "perspective", "to_world": mi.ScalarTransform4f().translate([0, 0, -4]),
               "film": {"type": "hdrfilm", "width": 8, "height": 8}}})
mean = float(np.array(mi.render(scene, spp=4)).mean())
assert 0.5 < mean < 2.0, f"rendered a wrong picture (mean {mean})"
"""

_LLVM_PATTERNS = (
    "/usr/lib/llvm-*/lib/libLLVM*.so*",
    "/usr/lib/*-linux-gnu/libLLVM*.so*",
    "/usr/lib64/libLLVM*.so*",
    "/usr/lib/libLLVM*.so*",
    "/usr/local/lib/libLLVM*.so*",
    "/opt/homebrew/opt/llvm*/lib/libLLVM*.dylib",
    "/usr/local/opt/llvm*/lib/libLLVM*.dylib",
    "C:/Program Files/LLVM/bin/LLVM-C.dll",
)


# Not SIGKILL, which also ends a process when memory is short.
_CRASHES = {signal.SIGABRT, signal.SIGSEGV, signal.SIGILL, signal.SIGFPE}


class BackendError(RendererError):
    """A variant that this machine cannot run. The message is one line."""


@dataclass(frozen=True)
class Proof:
    """What one candidate did in its child process. llvm: the path of the library that it used, or empty.

    lasting: whether it would do the same again. A failure of a busy machine may not happen again.
    """

    variant: str
    llvm: str
    works: bool
    detail: str
    lasting: bool = True


@dataclass(frozen=True)
class Backend:
    """The chosen variant, and why. proofs: all that was tried, in order."""

    variant: str
    llvm: str
    reason: str
    proofs: tuple[Proof, ...]

    def activate(self) -> None:
        """Makes the variant current in this thread (Mitsuba keeps it per thread)."""
        os.environ.update(_libraries(self.variant, self.llvm))
        import drjit as dr
        import mitsuba as mi

        mi.set_variant(self.variant)
        # On a single core Dr.Jit has only the caller's thread. There, Mitsuba never returns from reading an EXR file.
        if dr.thread_count() < 2:
            dr.set_thread_count(2)
        # Mitsuba logs to standard output, which is for results. What matters arrives as exceptions.
        mi.set_log_level(mi.LogLevel.Error)


def choose_backend(variant: str = "auto", cache_dir: Path | None = None) -> Backend:
    """The first of CUDA, LLVM and scalar that works here, or the variant that was asked for.

    Raises BackendError if the name is unknown, or if that variant does not work.
    """
    if variant not in ("auto", *VARIANTS):
        raise BackendError(f"unknown variant '{variant}': choose one of auto, {', '.join(VARIANTS)}")
    memory = _Memory(cache_dir)
    proofs: list[Proof] = []
    for proof in _candidates(VARIANTS if variant == "auto" else (variant,), memory):
        proofs.append(proof)
        if proof.works:
            reason = _REASONS[proof.variant] if variant == "auto" else "asked for, and it works"
            return Backend(proof.variant, proof.llvm, reason, tuple(proofs))
    failures = "; ".join(dict.fromkeys(_blame(p) for p in proofs))
    raise BackendError(f"Mitsuba variant '{variant}' does not work here: {failures}")


def survey(cache_dir: Path | None = None) -> list[Proof]:
    """Tries every variant and every LLVM that is found again, and remembers the results. For `noisewalk doctor`."""
    return list(_candidates(VARIANTS, _Memory(cache_dir, anew=True)))


def find_llvm() -> list[str]:
    """Paths of the LLVM libraries of this machine: first the one in DRJIT_LIBLLVM_PATH, then from newest to oldest."""
    found: dict[str, str] = {}
    for pattern in _LLVM_PATTERNS:
        for file in glob.glob(pattern):
            if re.search(r"LLVM(-C)?([-.]?\d[\d.]*)?\.(so|dylib|dll)[\d.]*$", file):
                found.setdefault(os.path.realpath(file), file)
    newest_first = sorted(found.values(), key=_llvm_version, reverse=True)
    named = os.environ.get("DRJIT_LIBLLVM_PATH")
    return [named, *(f for f in newest_first if f != named)] if named else newest_first


def _llvm_version(file: str) -> tuple[int, ...]:
    digits = re.findall(r"\d+", Path(os.path.realpath(file)).name) or re.findall(r"\d+", file)
    return tuple(int(d) for d in digits)


def _candidates(variants: tuple[str, ...], memory: _Memory) -> Iterator[Proof]:
    for variant in variants:
        if variant == "cuda_ad_rgb":
            missing = [name for name in ("libcuda.so.1", "libnvoptix.so.1") if not can_load(name)]
            if missing and sys.platform != "win32":
                yield Proof(variant, "", False, f"{' and '.join(missing)} not found")
            else:
                yield _prove(variant, "")
        elif variant == "llvm_ad_rgb":
            libraries = find_llvm()
            if not libraries:
                yield Proof(variant, "", False, "no LLVM library found")
            for llvm in libraries:
                yield memory.recall(llvm) or memory.remember(_prove(variant, llvm))
        else:
            yield _prove(variant, "") if memory.anew else Proof(variant, "", True, "needs nothing but the processor")


def can_load(library: str) -> bool:
    """Whether the dynamic loader finds the library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _prove(variant: str, llvm: str) -> Proof:
    environment = os.environ | _libraries(variant, llvm)
    command = [sys.executable, "-c", PROBE, variant]
    try:
        child = subprocess.run(
            command, env=environment, capture_output=True, text=True, errors="replace", timeout=PROBE_SECONDS
        )
    except subprocess.TimeoutExpired:
        return Proof(variant, llvm, False, f"no picture after {PROBE_SECONDS} s", lasting=False)
    if child.returncode == 0:
        return Proof(variant, llvm, True, "rendered a test picture")
    last_line = (child.stderr.strip().splitlines() or ["no message"])[-1]
    short = re.search(r"memory|bad_alloc|space left|resource", child.stderr, re.IGNORECASE) is not None
    if child.returncode < 0:
        crashed = -child.returncode in _CRASHES and not short
        return Proof(variant, llvm, False, f"the test render was killed by signal {-child.returncode}", crashed)
    wrong = "AssertionError" in last_line
    return Proof(variant, llvm, False, textwrap.shorten(last_line, 120), lasting=wrong)


def _libraries(variant: str, llvm: str) -> dict[str, str]:
    """Environment variables that tell Dr.Jit where its libraries are."""
    if variant == "cuda_ad_rgb" and sys.platform == "linux" and "DRJIT_LIBCUDA_PATH" not in os.environ:
        # By itself Dr.Jit looks for libcuda.so in /usr/lib. Only development packages have that name, and containers
        # often have the driver elsewhere. The dynamic loader finds it.
        return {"DRJIT_LIBCUDA_PATH": "libcuda.so.1"}
    return {"DRJIT_LIBLLVM_PATH": llvm} if llvm else {}


def _blame(proof: Proof) -> str:
    return f"{proof.llvm}: {proof.detail}" if proof.llvm else proof.detail


_REASONS = {
    "cuda_ad_rgb": "a CUDA GPU with OptiX renders fastest",
    "llvm_ad_rgb": "LLVM renders fastest where there is no CUDA GPU with OptiX",
    "scalar_rgb": "always works; LLVM 19 or newer is about three times faster (see 'noisewalk doctor')",
}


class _Memory:
    """Remembers what each LLVM library did. The key is its path, size and time, and the versions of Mitsuba and Dr.Jit.

    Without a directory it remembers nothing; with `anew` it forgets the past. If the file cannot be read or
    written, the library is only tried again.
    """

    def __init__(self, cache_dir: Path | None, anew: bool = False) -> None:
        self._file = cache_dir / "llvm.json" if cache_dir else None
        self.anew = anew
        self._proofs: dict[str, dict] = {}
        if self._file is not None:
            with contextlib.suppress(OSError, ValueError):
                self._proofs = json.loads(self._file.read_text())

    def recall(self, llvm: str) -> Proof | None:
        """What the library did before, if that would be the same now."""
        try:
            proof = Proof(**self._proofs[self._key(llvm)])
        except (KeyError, TypeError):
            return None
        return proof if proof.lasting and not self.anew else None

    def remember(self, proof: Proof) -> Proof:
        if self._file is not None:
            self._proofs[self._key(proof.llvm)] = asdict(proof)
            with contextlib.suppress(OSError):
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with written_aside(self._file) as temporary:
                    temporary.write_text(json.dumps(self._proofs, indent=1))
        return proof

    @staticmethod
    def _key(llvm: str) -> str:
        try:
            stat = os.stat(llvm)
            identity = f"{stat.st_size} {stat.st_mtime_ns}"
        except OSError:
            identity = "missing"
        return f"{os.path.realpath(llvm)} {identity} proof 2 mitsuba {version('mitsuba')} drjit {version('drjit')}"
