"""Intel Open Image Denoise as a guide: the picture that a pre-trained denoiser makes of one half. Needs pyoidn."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any

import torch

from noisewalk.denoiser import DenoiserError

INSTALL_HINT = "scripts/setup guide"


class OpenImageDenoiseError(DenoiserError):
    """Open Image Denoise is not installed, or not as expected. The message is one line."""


def guide_is_installed() -> bool:
    """Whether the package is installed."""
    return find_spec("pyoidn") is not None


def require_guide() -> None:
    """Raises OpenImageDenoiseError if the package is missing."""
    if not guide_is_installed():
        raise OpenImageDenoiseError(f"Open Image Denoise needs the package 'pyoidn': {INSTALL_HINT}")


def open_image_denoise(
    color: torch.Tensor, albedo: torch.Tensor, normal: torch.Tensor, clean_aux: bool = False
) -> torch.Tensor:
    """A picture denoised by Open Image Denoise: high quality, HDR, with both features. All (H, W, 3) float32.

    clean_aux: the features have no noise; the library then uses its large network. Non-finite colors count as black.
    It runs on the device of the tensors, CPU or CUDA.
    """
    import pyoidn

    color, normal = torch.nan_to_num(color, posinf=0.0).clamp(min=0.0).contiguous(), normal.clamp(-1.0, 1.0)
    image = pyoidn.denoise(
        color, albedo.contiguous(), normal.contiguous(), hdr=True, clean_aux=clean_aux, quality="high"
    )
    return torch.as_tensor(image).clamp(min=0.0)


def advise(color: torch.Tensor, albedo: torch.Tensor, normal: torch.Tensor) -> torch.Tensor:
    """The guide's picture (see `open_image_denoise`), by the library's large network with features as rendered.

    That network is made for features without noise. With noisy ones it is still the better one. To prefilter them first
    would take three times as long, for the rest of what `best_open_image_denoise` gains.
    """
    return open_image_denoise(color, albedo, normal, clean_aux=True)


def advise_at_first(color: torch.Tensor, albedo: torch.Tensor, normal: torch.Tensor) -> torch.Tensor:
    """For a picture that has none before it: the mean of `advise` and `best_open_image_denoise`.

    Their errors differ, and the mean is nearly always nearer to the truth than either.
    """
    return (advise(color, albedo, normal) + best_open_image_denoise(color, albedo, normal)) / 2


def best_open_image_denoise(color: torch.Tensor, albedo: torch.Tensor, normal: torch.Tensor) -> torch.Tensor:
    """Open Image Denoise at its best: as its documentation advises, it denoises both features first.

    All (H, W, 3) float32, as for `open_image_denoise`.
    """
    return open_image_denoise(color, prefiltered(albedo, "albedo"), prefiltered(normal, "normal"), clean_aux=True)


def prefiltered(feature: torch.Tensor, name: str) -> torch.Tensor:
    """Albedo or normal (H, W, 3), denoised by Open Image Denoise. name: which of the two."""
    import pyoidn

    feature = feature.contiguous()
    output = torch.empty_like(feature)
    device, one = _feature_filter(feature.device, name)
    one.set_image(name, feature, pyoidn.OIDN_FORMAT_FLOAT3)
    one.set_image("output", output, pyoidn.OIDN_FORMAT_FLOAT3)
    one.commit()
    one.execute()
    if error := device.get_error():
        raise OpenImageDenoiseError(f"Open Image Denoise: {error}")
    return output


@cache
def _feature_filter(device: torch.device, name: str) -> tuple[Any, Any]:
    """The library's device and the filter of one feature. Both are kept: making them takes as long as running."""
    import pyoidn

    made = pyoidn.Device.from_torch(device)
    made.commit()
    one = pyoidn.Filter(made)
    one.set_quality(pyoidn.OIDN_QUALITY_HIGH)
    return made, one
