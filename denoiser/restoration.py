"""The paper's U-Net for pictures in [0, 1] with any loss, also for pictures whose spectrum is partly known."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from noisewalk.denoiser.unet import FEATURES, UNet

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class RestorationModel(UNet):
    """(N, channels, H, W) in [0, 1] -> the same. Missing pixels (NaN) are black to the network."""

    both_directions = False
    uses_context = False
    ema_decay = 0.0
    warm_up_steps = 1
    gradient_limit = math.inf

    def __init__(self, loss: Loss, channels: int = 3, features: int = FEATURES) -> None:
        super().__init__(channels, outputs=channels, features=features)
        self.compare = loss

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """The restored picture."""
        return super().forward(picture.nan_to_num(0.0) - 0.5) + 0.5

    def loss(self, picture: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss of the output, a scalar. target: (N, channels, H, W)."""
        return self.compare(self(picture), target)


class KnownFrequenciesModel(RestorationModel):
    """(N, 4, H, W) from `corruptions.undersampled` -> (N, 1, H, W), with the measured frequencies put back.

    Gradients go through that too (Lehtinen et al. 2018, section 3.4).
    """

    def __init__(self, loss: Loss, features: int = FEATURES) -> None:
        super().__init__(loss, channels=1, features=features)

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """The restored picture."""
        picture, real, imaginary, known = planes.split(1, dim=1)
        spectrum = torch.fft.fft2(super().forward(picture), norm="ortho")
        spectrum = torch.where(known > 0, torch.complex(real, imaginary), spectrum)
        return torch.fft.ifft2(spectrum, norm="ortho").real
