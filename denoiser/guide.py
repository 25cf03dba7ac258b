"""Intel Open Image Denoise as a guide: a pre-trained denoiser's opinion of one half. Needs the package pyoidn."""

from __future__ import annotations

from importlib.util import find_spec

import torch

from noisewalk.denoiser import DenoiserError

INSTALL_HINT = "scripts/setup guide"


def guide_is_installed() -> bool:
    """Whether the package is there."""
    return find_spec("pyoidn") is not None


def require_guide() -> None:
    """Raises DenoiserError, in one line, where the package is missing."""
    if not guide_is_installed():
        raise DenoiserError(f"Open Image Denoise needs the package 'pyoidn': {INSTALL_HINT}")


def open_image_denoise(color: torch.Tensor, albedo: torch.Tensor, normal: torch.Tensor) -> torch.Tensor:
    """What Open Image Denoise makes of a picture: high quality, HDR, with both features. All (H, W, 3) float32.

    Non-finite colors count as black. Works where the tensors are, CPU or CUDA.
    """
    import pyoidn

    color = torch.nan_to_num(color, posinf=0.0).clamp(min=0.0).contiguous()
    image = pyoidn.denoise(color, albedo.contiguous(), normal.clamp(-1.0, 1.0).contiguous(), hdr=True, quality="high")
    return torch.as_tensor(image).clamp(min=0.0)
