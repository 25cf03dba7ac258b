"""Open Image Denoise's own network, which continues to learn from the walk: from frame planes to linear radiance."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from noisewalk.denoiser.features import finite
from noisewalk.denoiser.losses import hdr_loss
from noisewalk.denoiser.oidn_network import (
    BASE_SIZES,
    OidnUNet,
    exposure,
    inverse_transfer,
    library_tensors,
    network_image,
    pad,
    transfer,
)
from noisewalk.denoiser.planes import AGE, ALBEDO, COLOR, HISTORY, NORMAL, part
from noisewalk.denoiser.precision import mixed_precision

READERS = ("enc_conv0", "dec_conv1a")  # the layers that see the image, and therefore the history
PAST_CHANNELS = 4  # history and age
HISTORY_GAIN = 10.0  # weights that start at 0 learn so many times faster


class AdaptiveOidn(OidnUNet):
    """The base network for HDR colors with features, trained further on the walk's own noise.

    At first its output is that of Open Image Denoise. Besides nine channels it sees the history and its age, through
    weights that start at 0. It can learn to use them, and before that they do no harm.

    Noise2Noise's condition holds. Color, features and exposure are of one half, and the history is of earlier frames.
    The target is the other half. Training goes in both directions, since the halves are exchangeable.
    """

    both_directions = True
    uses_context = True
    ema_decay = 0.98  # an average over some 50 steps, or six frames
    warm_up_steps = 100  # at first the optimiser does not know the size of gradients, and full steps would be too large
    gradient_limit = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.past = nn.ModuleDict(
            {name: nn.Conv2d(PAST_CHANNELS, BASE_SIZES[name][0], 3, padding=1, bias=False) for name in READERS}
        )
        for reader in self.past.values():
            nn.init.zeros_(reader.weight)  # type: ignore[arg-type]

    def forward(self, planes: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Linear radiance (N, 3, H, W) of planes (N, 16, H, W)."""
        height, width = planes.shape[-2:]
        color, albedo, normal = (finite(part(planes, one), channels=1) for one in (COLOR, ALBEDO, NORMAL))
        color = color.clamp(min=0.0)
        scale = exposure(color)
        image = pad(network_image(color * scale, albedo, normal))
        history, age = part(planes, HISTORY) * scale, part(planes, AGE)
        past = HISTORY_GAIN * pad(torch.cat([transfer(history), age / (age + 4.0)], dim=1))
        with mixed_precision(planes.device):
            output = super().forward(image, {name: reader(past) for name, reader in self.past.items()})
        return inverse_transfer(output[..., :height, :width]) / scale

    def with_share(self, planes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Linear radiance (N, 3, H, W), and the share of a guide in it: 0 everywhere (N, 1, H, W)."""
        return self(planes), torch.zeros_like(planes[:, :1])

    def loss(self, planes: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """L_HDR, a scalar. target: (N, 3, H, W) linear radiance."""
        return hdr_loss(self(planes), target)


def library_part(parameters: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Those of the model's parameters that Open Image Denoise has a place for: all but what reads the history."""
    return {name: tensor for name, tensor in parameters.items() if not name.startswith("past.")}


def library_start() -> dict[str, torch.Tensor]:
    """The parameters of the network that is still Open Image Denoise's. Raises OpenImageDenoiseError."""
    past = {f"past.{name}.weight": torch.zeros(BASE_SIZES[name][0], PAST_CHANNELS, 3, 3) for name in READERS}
    return library_tensors() | past
