"""The pictures of a run folder: side by side as PNG, and all layers as EXR."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from noisewalk.app.pictures import side_by_side, to_image
from noisewalk.app.session import Measurement, Result
from noisewalk.denoiser.features import finite, tone_map
from noisewalk.renderer.exr import write_layers
from noisewalk.renderer.files import written_aside


def write_comparison(folder: Path, result: Result, oidn: torch.Tensor | None, row: Mapping[str, str]) -> None:
    """Writes comparison.png (tone mapped, dB written on it) and layers.exr (linear) of a measured frame.

    oidn: the picture of Open Image Denoise (H, W, 3), where there is one. row: the frame's, with the dB of all.
    """
    assert result.measurement is not None
    measured = result.measurement
    albedo, normal = (finite(result.pair.mean(feature)) for feature in ("albedo", "normal"))
    tiles = [
        ("noisy", _decibels(measured, row["psnr_noisy_corrected"]), tone_map(finite(result.noisy))),
        *([] if oidn is None else [("OIDN", _decibels(measured, row["psnr_oidn_corrected"]), tone_map(oidn))]),
        ("denoised", _decibels(measured, row["psnr_shown_corrected"]), tone_map(result.shown)),
        ("reference", f"{measured.reference_spp} spp", tone_map(measured.reference)),
        ("albedo", "", albedo.pow(1 / 2.2)),
        ("normal", "", (normal + 1) / 2),
    ]
    heading = f"frame {result.pair.index}, 2 x {result.pair.spp} spp"
    with written_aside(folder / "comparison.png") as temporary:
        side_by_side(heading, tiles).save(temporary, format="PNG")
    layers = {
        "": result.shown,
        "noisy": result.noisy,
        "reference": measured.reference,
        "albedo": albedo,
        "estimated_error": result.estimate.error_map,
        "sh_normal": normal,
    }
    write_layers(folder / "layers.exr", {name: image.cpu().numpy() for name, image in layers.items()})


def write_frame(folder: Path, kind: str, result: Result) -> None:
    """Writes the denoised picture as `folder/000000.exr` (linear) or `.png` (tone mapped): kind is exr or png."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{result.pair.index:06d}.{kind}"
    if kind == "exr":
        write_layers(file, {"": result.shown.cpu().numpy()})
        return
    with written_aside(file) as temporary:
        to_image(tone_map(result.shown)).save(temporary, format="PNG")


def _decibels(measured: Measurement, corrected: str) -> str:
    return f"{'> ' * measured.is_bound(float(corrected))}{float(corrected):.2f} dB"
