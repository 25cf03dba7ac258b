"""Denoisers without learning, to compare with."""

from __future__ import annotations

from importlib.util import find_spec

import torch

CLASSIC_PACKAGE = "bm3d"


def classic_is_installed() -> bool:
    """Whether BM3D is installed, which all of these need."""
    return find_spec(CLASSIC_PACKAGE) is not None


def bm3d(noisy: torch.Tensor, sigma: float) -> torch.Tensor:
    """Color BM3D (Dabov et al. 2007) of one picture (1, 3, H, W); sigma in steps of 1/255."""
    return _bm3d(noisy, sigma / 255.0)


def anscombe_bm3d(noisy: torch.Tensor, photons: float) -> torch.Tensor:
    """Photon noise made Gaussian by Anscombe's transform, BM3D, and its exact unbiased inverse.

    noisy: (1, 3, H, W), from `corruptions.poisson`.
    """
    stable = 2.0 * (noisy * photons + 3.0 / 8.0).clamp(min=0.0).sqrt()  # of variance 1
    top = float(stable.max())
    return unbiased_inverse(_bm3d(stable / top, 1.0 / top) * top) / photons


def unbiased_inverse(stable: torch.Tensor) -> torch.Tensor:
    """The mean number of photons for an expectation of the transformed number, elementwise.

    Makitalo and Foi 2011, "A Closed-Form Approximation of the Exact Unbiased Inverse of the Anscombe
    Variance-Stabilizing Transformation".
    """
    d = stable.clamp(min=2.0 * (3.0 / 8.0) ** 0.5)
    root = 1.5**0.5
    return (d**2 / 4 + root / (4 * d) - 11 / (8 * d**2) + 5 * root / (8 * d**3) - 1 / 8).clamp(min=0.0)


def _bm3d(noisy: torch.Tensor, sigma: float) -> torch.Tensor:
    from bm3d import bm3d_rgb

    found = bm3d_rgb(noisy[0].permute(1, 2, 0).double().numpy(), sigma)
    return torch.from_numpy(found).float().permute(2, 0, 1)[None]
