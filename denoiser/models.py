"""The denoising models by name. Each maps frame planes (N, 16, H, W) to linear radiance (N, 3, H, W)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from noisewalk.denoiser import DenoiserError
from noisewalk.denoiser.adaptive_oidn import AdaptiveOidn
from noisewalk.denoiser.kernel_prediction import KernelModel
from noisewalk.denoiser.paper import VARIANTS, PaperModel

MODELS: dict[str, Callable[[], Any]] = {
    "kernel": KernelModel,
    "adaptive-oidn": AdaptiveOidn,
    **{variant.name: partial(PaperModel, variant) for variant in VARIANTS},
}


def model_named(name: str) -> Callable[[], Any]:
    """Makes a fresh model. Raises DenoiserError for unknown names."""
    if name not in MODELS:
        raise DenoiserError(f"no model '{name}': {', '.join(MODELS)} are there")
    return MODELS[name]


def build_model(name: str, device: torch.device | str) -> PaperModel | KernelModel | AdaptiveOidn:
    """A fresh model, `placed`. Raises DenoiserError for unknown names."""
    model: PaperModel | KernelModel | AdaptiveOidn = placed(model_named(name)(), device)
    return model


def placed(network: nn.Module, device: torch.device | str) -> Any:
    """The network on the device, with channels last, the fastest layout for convolutions."""
    return network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
