"""Convolutions run in bfloat16 where the hardware multiplies it fast, else in float32."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import torch

_wanted = ContextVar("mixed precision is wanted", default=True)


def cpu_capabilities() -> Mapping[str, Any]:
    """The extensions of the processor by torch's names; empty where torch does not say."""
    # Not every torch from 2.11 on has this function.
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return capabilities


@cache
def multiplies_bfloat16(device_type: str) -> bool:
    """Whether the hardware multiplies bfloat16: GPUs since 2020 do, and CPUs with AVX-512 BF16 or AMX.

    Others emulate it, which is slow. We ask the hardware and measure no time: a busy moment must not change the numbers
    that a seed gives.
    """
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device_type == "cpu":
        capabilities = cpu_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False


def mixed_precision(device: torch.device) -> torch.autocast:
    """A context in which convolutions use bfloat16 where that is fast. Parameters, losses and sums stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=_wanted.get() and multiplies_bfloat16(device.type))


@contextmanager
def full_precision() -> Iterator[None]:
    """In this context all is float32: for files that other programs run."""
    token = _wanted.set(False)
    try:
        yield
    finally:
        _wanted.reset(token)
