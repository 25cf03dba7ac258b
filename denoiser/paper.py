"""The paper's model, and the variants of loss and input that its figure 6 compares."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from noisewalk.denoiser.features import inverse_tone_map, network_input, tone_map
from noisewalk.denoiser.losses import hdr_loss, l2_loss
from noisewalk.denoiser.unet import FEATURES, UNet


@dataclass(frozen=True)
class Variant:
    """What the network sees, x or T(x), and what its output is compared with, y or T(y)."""

    name: str
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    tone_mapped_input: bool
    tone_mapped_target: bool = False


PAPER = Variant("paper", hdr_loss, tone_mapped_input=True)
# In the order of figure 6 (Lehtinen et al. 2018, section 3.3).
VARIANTS = (
    Variant("l2", l2_loss, tone_mapped_input=False),
    Variant("l2-t-input", l2_loss, tone_mapped_input=True),
    Variant("l2-t-both", l2_loss, tone_mapped_input=True, tone_mapped_target=True),
    Variant("hdr", hdr_loss, tone_mapped_input=False),
    PAPER,
)


class PaperModel(UNet):
    """The paper's network: it puts out radiance directly, and trains from half `a` to half `b`.

    By default it is exactly the paper's model. With a tone-mapped target the network learns T(y), and the inverse of T
    gives radiance again. That is wrong on purpose: T is concave, so that E[T(y)] < T(E[y]). The picture becomes too
    dark, and the noisier the target, the darker.
    """

    both_directions = False
    uses_context = False
    ema_decay = 0.0
    warm_up_steps = 1
    gradient_limit = math.inf

    def __init__(self, variant: Variant = PAPER, features: int = FEATURES) -> None:
        super().__init__(features=features)
        self.variant = variant

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """Linear radiance (N, 3, H, W) of planes (N, 16, H, W)."""
        output = self._output(planes)
        return inverse_tone_map(output) if self.variant.tone_mapped_target else output

    def with_share(self, planes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Linear radiance (N, 3, H, W), and the share of a guide in it: 0 everywhere (N, 1, H, W)."""
        return self(planes), torch.zeros_like(planes[:, :1])

    def loss(self, planes: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The variant's loss, a scalar. target: linear radiance, (N, 3, H, W)."""
        if self.variant.tone_mapped_target:
            # T would make infinity a finite 1. It must stay infinite, so that the loss leaves it out.
            target = torch.where(target.isfinite(), tone_map(target), target)
        return self.variant.loss(self._output(planes), target)

    def _output(self, planes: torch.Tensor) -> torch.Tensor:
        return super().forward(network_input(planes, self.variant.tone_mapped_input))
