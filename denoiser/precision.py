"""Which arithmetic convolutions run in: bfloat16 where the processor multiplies it faster, else float32."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch


def cpu_capabilities() -> Mapping[str, Any]:
    """What the processor has, by torch's names for it; empty where torch does not say."""
    # Not in every torch since 2.11.
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return capabilities


@cache
def multiplies_bfloat16(device_type: str) -> bool:
    """Whether the hardware has bfloat16 products: GPUs since 2020; AVX-512 BF16 or AMX on a CPU.

    It is asked, not timed: a busy moment must not change what a seed gives. Elsewhere bfloat16 is emulated, and slow.
    """
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device_type == "cpu":
        capabilities = cpu_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False


def mixed_precision(device: torch.device) -> torch.autocast:
    """A context in which convolutions use bfloat16 where that is fast; parameters, losses and sums stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=multiplies_bfloat16(device.type))
