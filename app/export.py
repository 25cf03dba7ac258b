"""`noisewalk export`: the trained network of a run, for this program and for others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from noisewalk.app.console import Talk
from noisewalk.app.errors import UsageError
from noisewalk.app.files import read_json, require_folder
from noisewalk.denoiser.adaptive_oidn import library_part
from noisewalk.denoiser.onnx_file import INPUTS, OPSET, OUTPUT, write_onnx
from noisewalk.denoiser.tza import write_tza
from noisewalk.denoiser.weights import load_weights, save_weights
from noisewalk.renderer.files import written_aside

# Takes a file to write, the model's name, parameters and metadata. Returns the message to show.
Writer = Callable[[Path, str, Mapping[str, torch.Tensor], dict[str, Any]], str]


def export(run: Path, file: Path, talk: Talk) -> int:
    """Checks the trained network of a run folder (or a weights file), and writes it in the format of the file's suffix.

    Raises UsageError, WeightsError or DenoiserError.
    """
    writer = WRITERS.get(file.suffix)
    if writer is None:
        raise UsageError(f"{file}: can be {', '.join(WRITERS)}")
    require_folder(file)
    parameters, about = load_weights(run / "weights.safetensors" if run.is_dir() else run)
    if file.exists():
        raise UsageError(f"{file}: exists already, and is not overwritten")
    model = str(about.pop("model"))
    said = writer(file, model, parameters, about)
    state = run / "run.json"
    unfinished = f", of a run that is {read_json(state).get('state')}" if state.exists() else ""
    talk.note(f"{file}: {about.get('scene')}, {about.get('steps')} training steps{unfinished}{said}")
    talk.result({"file": str(file), "model": model} | about)
    return 0


def about(file: Path, talk: Talk) -> int:
    """Prints what a weights file is. Raises WeightsError."""
    _, known = load_weights(file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    licence = LICENCES.get(str(known["model"]), LICENCE)
    talk.listing({"file": str(file), **known, "sha256": digest, "licence": licence})
    return 0


OIDN_MODEL = "adaptive-oidn"  # has the layers of Open Image Denoise's own network
LICENCES = {OIDN_MODEL: "Apache 2.0, as the weights of Open Image Denoise that it started from"}
LICENCE = "MIT, as the program"


def _safetensors(file: Path, model: str, parameters: Mapping[str, torch.Tensor], about: dict[str, Any]) -> str:
    save_weights(file, model, parameters, about)
    return ""


def _onnx(file: Path, model: str, parameters: Mapping[str, torch.Tensor], about: dict[str, Any]) -> str:
    with written_aside(file) as temporary:
        difference = write_onnx(temporary, model, parameters, about)
    without = WITHOUT.get(model, "")
    return (
        f"; ONNX opset {OPSET}, {', '.join(INPUTS)} in, {OUTPUT} out, (1, 3, height, width) each"
        f"; onnxruntime differs from torch by {difference:.1g}{without}"
    )


def _tza(file: Path, model: str, parameters: Mapping[str, torch.Tensor], about: dict[str, Any]) -> str:
    if model != OIDN_MODEL:
        raise UsageError(f"{file}: Open Image Denoise cannot run model '{model}': learn with --model {OIDN_MODEL}")
    with written_aside(file) as temporary:
        write_tza(temporary, library_part(parameters))
    return f"; for oidnDenoise --hdr --alb --nrm -w, as float16{WITHOUT[model]}"


WITHOUT = {"kernel": "; the guide and the history are not in it", OIDN_MODEL: "; the history is not in it"}
WRITERS: dict[str, Writer] = {".safetensors": _safetensors, ".onnx": _onnx, ".tza": _tza}
