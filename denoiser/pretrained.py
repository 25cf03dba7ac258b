"""The weights that come with the program."""

from __future__ import annotations

from pathlib import Path

import torch

from noisewalk.denoiser.adaptive_oidn import library_start
from noisewalk.denoiser.weights import load_weights

_FOLDER = Path(__file__).parent


def pretrained_weights(model: str) -> dict[str, torch.Tensor] | None:
    """The parameters that a model starts from, on the CPU; None if it starts untrained.

    `noisewalk pretrain` makes them. Those of `adaptive-oidn` are in the installed library of Open Image Denoise.

    Raises WeightsError if the file is damaged, OpenImageDenoiseError if there is no such library.
    """
    if model == "adaptive-oidn":
        return library_start()
    file = _file(model)
    return load_weights(file)[0] if file.exists() else None


def pretrained_about(model: str) -> dict[str, object] | None:
    """The metadata of these parameters, as `pretrain` wrote it; None if there are none. Raises WeightsError."""
    file = _file(model)
    return load_weights(file)[1] if file.exists() else None


def _file(model: str) -> Path:
    return _FOLDER / f"{model}-pretrained.safetensors"
