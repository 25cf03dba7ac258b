"""What a walk's curves show beside the denoised picture: the network before it learned, and Open Image Denoise."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from noisewalk.app.session import Measurement, Result, Session
from noisewalk.denoiser.metrics import psnr

UNTRAINED, OIDN = "untrained", "oidn"


def pictures_beside(session: Session, result: Result) -> dict[str, torch.Tensor]:
    """Pictures (H, W, 3) of the same pair: by the weights with which the walk began, and by Open Image Denoise at its
    best, where that is installed.
    """
    pictures = {UNTRAINED: session.denoiser.denoise(result.prepared, session.first_weights)}
    if session.machine.guide:
        pictures[OIDN] = result.by_open_image_denoise()
    return pictures


def columns_of(pictures: Mapping[str, torch.Tensor], measured: Measurement) -> dict[str, str]:
    """The PSNR columns of pictures (H, W, 3) by name, plain and corrected."""
    return {
        f"psnr_{name}{suffix}": f"{psnr(image, measured.reference.to(image.device), noise):.4f}"
        for name, image in pictures.items()
        for suffix, noise in (("", 0.0), ("_corrected", measured.reference_noise))
    }
