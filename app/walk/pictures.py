"""The pictures of a run folder: side by side as PNG, and all layers as EXR."""

from __future__ import annotations

from pathlib import Path

from noisewalk.app.pictures import side_by_side
from noisewalk.app.session import Measurement, Result
from noisewalk.denoiser.features import finite, tone_map
from noisewalk.renderer.exr import write_layers
from noisewalk.renderer.files import written_aside


def write_comparison(folder: Path, result: Result) -> None:
    """Writes comparison.png (tone mapped, dB written on it) and layers.exr (linear) of a measured frame."""
    assert result.measurement is not None
    measured = result.measurement
    albedo, normal = (finite(result.pair.mean(feature)) for feature in ("albedo", "normal"))
    tiles = [
        ("noisy", _decibels(measured, measured.psnr_noisy_corrected), tone_map(finite(result.noisy))),
        ("denoised", _decibels(measured, measured.psnr_shown_corrected), tone_map(result.shown)),
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


def _decibels(measured: Measurement, corrected: float) -> str:
    return f"{'> ' * measured.is_bound(corrected)}{corrected:.2f} dB"
