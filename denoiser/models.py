"""The denoising models by name. Each maps frame planes (N, 16, H, W) to linear radiance (N, 3, H, W)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from noisewalk.denoiser import DenoiserError
from noisewalk.denoiser.kernel_prediction import KernelModel
from noisewalk.denoiser.paper import VARIANTS, PaperModel

MODELS: dict[str, Callable[[], Any]] = {
    "kernel": KernelModel,
    **{variant.name: partial(PaperModel, variant) for variant in VARIANTS},
}


def build_model(name: str, device: torch.device | str) -> PaperModel | KernelModel:
    """A fresh model in the layout that convolves fastest (channels last). Raises DenoiserError for unknown names."""
    if name not in MODELS:
        raise DenoiserError(f"no model '{name}': {', '.join(MODELS)} are there")
    network: nn.Module = MODELS[name]().to(device)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
