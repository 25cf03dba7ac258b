"""Training losses. Pixels whose target has a non-finite channel do not count."""

from __future__ import annotations

import torch
from torch import nn

EPSILON = 0.01
L0_EPSILON = 1e-8


def hdr_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """L_HDR = mean (f - y)^2 / (max(f, 0) + 0.01)^2, a scalar; the denominator's gradient is taken as zero.

    output, target: (N, 3, H, W) linear radiance. Lehtinen et al. 2018, section 3.3. The clamp is ours: without it an
    output near -0.01 divides by zero, and a fresh network never recovers.
    """
    return (_difference(output, target) / (output.detach().clamp(min=0.0) + EPSILON)).square().mean()


def l2_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """L2 = mean (f - y)^2, a scalar. output, target: (N, C, H, W)."""
    return _difference(output, target).square().mean()


def l1_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """L1 = mean |f - y|, a scalar. Shapes as for `l2_loss`. Its minimum is the median of the target."""
    return _difference(output, target).abs().mean()


def l0_loss(output: torch.Tensor, target: torch.Tensor, exponent: float | torch.Tensor) -> torch.Tensor:
    """mean (|f - y| + 1e-8)^exponent, a scalar. Shapes as for `l2_loss`. Near exponent 0 its minimum is the mode.

    Lehtinen et al. 2018, section 3.2.
    """
    return (_difference(output, target).abs() + L0_EPSILON).pow(exponent).mean()


class AnnealedL0(nn.Module):
    """`l0_loss` with an exponent that falls from 2 to 0. progress: of the training, from 0 to 1."""

    progress: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("progress", torch.zeros(()), persistent=False)

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss at the present `progress`, a scalar."""
        return l0_loss(output, target, 2.0 * (1.0 - self.progress))


def _difference(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    valid = torch.isfinite(target).all(dim=1, keepdim=True)
    return output - torch.where(valid, target, output.detach())
