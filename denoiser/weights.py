"""Trained weights as safetensors files. Their metadata says what they are. Never pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from noisewalk.denoiser import DenoiserError
from noisewalk.denoiser.features import FEATURE_VERSION
from noisewalk.denoiser.models import MODELS

FORMAT = "noisewalk weights 1"
_SUFFIX = "-unet"  # of a model's name: the architecture in the file


class WeightsError(DenoiserError):
    """A weights file that cannot be used. The message is one line that names the file and the cause."""


def save_weights(
    file: Path, model: str, parameters: Mapping[str, torch.Tensor], metadata: Mapping[str, object]
) -> None:
    """Writes a model's parameters, with `metadata` (scene, hash, steps, settings: JSON values). Raises OSError."""
    described = {
        "format": FORMAT,
        "architecture": model + _SUFFIX,
        "feature_version": str(FEATURE_VERSION),
        "training": json.dumps(dict(metadata), sort_keys=True),
    }
    write_tensors(file, parameters, described)


def load_weights(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    """Parameters on the CPU, and the metadata given to `save_weights`, with `model` in it. Raises WeightsError."""
    parameters, described = read_tensors(file)
    if described.get("format") != FORMAT:
        raise WeightsError(f"{file}: not a noisewalk weights file")
    architecture = described.get("architecture", "")
    model = architecture.removesuffix(_SUFFIX)
    if model not in MODELS or not architecture.endswith(_SUFFIX):
        known = ", ".join(name + _SUFFIX for name in MODELS)
        raise WeightsError(f"{file}: weights of architecture '{architecture}', needed one of {known}")
    if described.get("feature_version") != str(FEATURE_VERSION):
        version = described.get("feature_version")
        raise WeightsError(f"{file}: weights for feature version {version}, this program has {FEATURE_VERSION}")
    with torch.device("meta"):
        expected = {name: tensor.shape for name, tensor in MODELS[model]().state_dict().items()}
    if {name: tensor.shape for name, tensor in parameters.items()} != expected:
        raise WeightsError(f"{file}: the layers are not those of '{architecture}'")
    if not all(torch.isfinite(tensor).all() for tensor in parameters.values()):
        raise WeightsError(f"{file}: the weights are not finite")
    try:
        return parameters, json.loads(described["training"]) | {"model": model}
    except (KeyError, ValueError, TypeError) as error:
        raise WeightsError(f"{file}: damaged metadata") from error


def write_tensors(file: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Writes a safetensors file under another name, then renames it: a crash leaves the old file or the new one.

    Raises OSError.
    """
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    temporary = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(save(contiguous, dict(metadata)))
        temporary.replace(file)
    except OSError as error:
        error.filename = str(file)  # a disk that is full does not say which
        raise
    finally:
        temporary.unlink(missing_ok=True)


def read_tensors(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """All tensors, on the CPU, and the metadata of a safetensors file. Raises WeightsError."""
    try:
        with safe_open(file, framework="pt") as stored:
            return {name: stored.get_tensor(name) for name in stored.keys()}, stored.metadata() or {}  # noqa: SIM118
    except FileNotFoundError as error:
        raise WeightsError(f"{file}: no such file") from error
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{file}: not a safetensors file, or cut short ({error})") from error
