"""A trained network as an ONNX file, with its pre- and postprocessing inside. Needs the packages of the extra `onnx`.

Inputs `color`, `albedo` and `normal`, output `radiance`: (1, 3, height, width) float32 of any height and width, linear
radiance, albedo in [0, 1], normal in world space. Operators of opset OPSET.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from noisewalk.denoiser import DenoiserError
from noisewalk.denoiser.features import finite
from noisewalk.denoiser.models import model_named
from noisewalk.denoiser.planes import CHANNELS
from noisewalk.denoiser.precision import full_precision

OPSET = 17
INPUTS = ("color", "albedo", "normal")
OUTPUT = "radiance"
INSTALL_HINT = "scripts/setup onnx"
LARGEST_DIFFERENCE = 1e-3  # largest allowed one, for outputs around 1


class _Standalone(nn.Module):
    """The model for a single picture. Guide and history are not in the file."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, color: torch.Tensor, albedo: torch.Tensor, normal: torch.Tensor) -> torch.Tensor:
        rendered = torch.cat([color, albedo, normal], dim=1)
        nothing = torch.zeros_like(rendered[:, :1]).expand(-1, CHANNELS - rendered.shape[1], -1, -1)
        return finite(self.model(torch.cat([rendered, nothing], dim=1)), channels=1).clamp(min=0.0)


def write_onnx(file: Path, name: str, parameters: Mapping[str, torch.Tensor], about: Mapping[str, object]) -> float:
    """Writes the model, `about` (JSON values) in its metadata, as `noisewalk`.

    Returns the largest difference between the pictures of onnxruntime and torch. Raises DenoiserError if a package is
    missing or the difference is too large, OSError if the file cannot be written.
    """
    try:
        import onnx
        import onnxruntime
    except ModuleNotFoundError as error:
        raise DenoiserError(f"{file}: ONNX files need the package '{error.name}': {INSTALL_HINT}") from error
    model = model_named(name)()
    model.load_state_dict(parameters)
    standalone = _Standalone(model.requires_grad_(False).eval())
    document = onnx.load_from_string(_traced(standalone))
    onnx.helper.set_model_props(document, {"noisewalk": json.dumps(dict(about) | {"model": name})})
    content = document.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    difference = _difference(standalone, session)
    if not difference < LARGEST_DIFFERENCE:
        raise DenoiserError(f"{file}: not written: onnxruntime's result differs by {difference:.1g}")
    file.write_bytes(content)
    return difference


def _traced(standalone: nn.Module) -> bytes:
    sizes = {2: "height", 3: "width"}
    stream = io.BytesIO()
    with full_precision(), torch.no_grad(), warnings.catch_warnings():
        # torch calls this exporter old. The new one takes more than ten minutes for the kernels' slices (torch 2.13).
        warnings.simplefilter("ignore")
        torch.onnx.export(
            standalone,
            tuple(_picture(70, 90)),
            stream,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=[OUTPUT],
            dynamic_axes=dict.fromkeys((*INPUTS, OUTPUT), sizes),
        )
    return stream.getvalue()


def _difference(standalone: nn.Module, session: Any) -> float:
    picture = _picture(65, 97)  # another size than the traced one
    (theirs,) = session.run(None, {one: image.numpy() for one, image in zip(INPUTS, picture, strict=True)})
    with full_precision(), torch.no_grad():
        return float((standalone(*picture) - torch.from_numpy(theirs)).abs().max())


def _picture(height: int, width: int) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return [torch.rand(1, 3, height, width, generator=random) for _ in INPUTS]
