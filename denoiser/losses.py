"""Training losses."""

from __future__ import annotations

import torch

EPSILON = 0.01


def hdr_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """L_HDR = mean (f - y)^2 / (max(f, 0) + 0.01)^2, a scalar; the denominator's gradient is taken as zero.

    output, target: (N, 3, H, W) linear radiance. Pixels whose target has a non-finite channel count nothing.
    Lehtinen et al. 2018, section 3.3. The clamp is ours: without it an output near -0.01 divides by zero, and a fresh
    network never recovers.
    """
    return (_difference(output, target) / (output.detach().clamp(min=0.0) + EPSILON)).square().mean()


def l2_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """L2 = mean (f - y)^2, a scalar. output, target: (N, 3, H, W); broken pixels of the target count nothing."""
    return _difference(output, target).square().mean()


def _difference(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    valid = torch.isfinite(target).all(dim=1, keepdim=True)
    return output - torch.where(valid, target, output.detach())
