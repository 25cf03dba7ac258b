"""`noisewalk doctor`: what this machine can do, as a table to paste into a bug report."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil
import torch

from noisewalk.app.console import Talk
from noisewalk.app.options import WalkOptions
from noisewalk.app.recipe import pretrained_state
from noisewalk.denoiser.guide import INSTALL_HINT, guide_is_installed
from noisewalk.denoiser.online import choose_device
from noisewalk.denoiser.precision import cpu_capabilities, multiplies_bfloat16
from noisewalk.renderer.backend import Backend, Proof, can_load, choose_backend, survey

PACKAGES = ("noisewalk", "torch", "mitsuba", "drjit", "numpy", "moderngl", "glfw", "imgui-bundle")
CPU_FORMATS = ("avx2", "avx512_f", "avx512_vnni", "avx512_bf16", "amx_bf16")
GL_SECONDS = 30
_GL_PROBE = """
import sys, moderngl
context = moderngl.create_standalone_context(require=330, **({} if sys.platform != "linux" else {"backend": "egl"}))
print(context.info["GL_RENDERER"], "GL", context.version_code)
"""


def doctor(options: WalkOptions, talk: Talk) -> int:
    """Prints the table (with `json`, one line). Returns exit code 0."""
    rows = list(_rows(options))
    if talk.output.json:
        talk.result(dict(rows))
    else:
        width = max(len(name) for name, _ in rows)
        print("\n".join(f"{name:<{width}}  {value}" for name, value in rows))
    return 0


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the numbers."""
    return {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def machine(backend: Backend, device: torch.device) -> dict[str, Any]:
    """What a run folder says about the machine. Sizes in GiB; None where there is no GPU."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": gpu,
        "variant": backend.variant,
        "llvm": backend.llvm,
        "device": str(device),
    }


def _rows(options: WalkOptions) -> Iterator[tuple[str, str]]:
    yield from versions().items()
    yield "system", platform.platform()
    memory = psutil.virtual_memory().total / 2**30
    yield "processor", f"{_processor()}, {os.cpu_count()} cores, {memory:.1f} GiB memory"
    for proof in survey(options.cache_dir):
        name = f"{proof.variant} ({proof.llvm})" if proof.llvm else proof.variant
        yield name, _verdict(proof)
    backend = choose_backend(options.variant, options.cache_dir)
    yield "renderer chosen", f"{backend.variant}: {backend.reason}"
    yield "CUDA driver", _found("libcuda.so.1")
    yield "OptiX", _found("libnvoptix.so.1")
    device = choose_device(options.device)
    yield "torch device", _device(device)
    yield "torch formats", _formats(device)
    yield "convolutions", "bfloat16" if multiplies_bfloat16(device.type) else "float32"
    yield "pretrained weights", pretrained_state("kernel")
    there = f"not installed: {INSTALL_HINT}"
    yield "Open Image Denoise", "installed: advises the kernel model" if guide_is_installed() else there
    yield "GL", opengl()
    yield "cache", str(options.cache_dir)


def _verdict(proof: Proof) -> str:
    return f"{'works' if proof.works else 'no'}: {proof.detail}"


def _found(library: str) -> str:
    return f"{library} {'found' if can_load(library) else 'not found'}"


def _device(device: torch.device) -> str:
    if device.type != "cuda":
        return f"{device}, {torch.get_num_threads()} threads"
    properties = torch.cuda.get_device_properties(device)
    memory = properties.total_memory / 2**30
    libraries = f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    return f"{device}: {properties.name}, {memory:.0f} GiB, {libraries}"


def _formats(device: torch.device) -> str:
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return f"fp32, tf32, fp16 (compute capability {major}.{minor})"
    if not (has := cpu_capabilities()):
        return "fp32; this torch does not say what the processor has"
    return "fp32; processor has " + (
        " ".join(name for name in CPU_FORMATS if has.get(name)) or "none of the extensions"
    )


def opengl() -> str:
    """The OpenGL that a window or an off-screen context gets. A child process asks, because a driver may crash."""
    if _version("moderngl") == "not installed":
        return "not asked: moderngl is not installed"
    try:
        child = subprocess.run(
            [sys.executable, "-c", _GL_PROBE], capture_output=True, text=True, errors="replace", timeout=GL_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"no: no answer after {GL_SECONDS} s"
    if child.returncode == 0:
        return f"works: {child.stdout.strip()}"
    return "no: " + (child.stderr.strip().splitlines() or [f"killed by signal {-child.returncode}"])[-1]


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            return next(line.split(":", 1)[1].strip() for line in stream if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
