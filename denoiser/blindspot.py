"""The blind-spot network of Laine et al. 2019, "High-Quality Self-Supervised Deep Image Denoising".

None of its outputs sees the pixel in its own place. So it can be trained on single noisy pictures, with the picture
itself as target: if the noise of pixels is independent, Noise2Noise's condition holds. It predicts a Gaussian of what
the pixel may be. Together with the noisy pixel and its known noise, this gives the posterior mean.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from noisewalk.denoiser.losses import l2_loss
from noisewalk.denoiser.unet import FEATURES, SLOPE, UNet, conv, pad_to_multiple

COLORS = 3
# How much of the color's covariance the network predicts: all, the variance of each channel, or nothing.
Covariance = Literal["full", "diagonal", "none"]
NUMBERS: dict[str, int] = {"full": 6, "diagonal": 3, "none": 0}


def half_plane_conv(channels_in: int, channels_out: int, gain: str = "leaky_relu") -> nn.Module:
    """A 3x3 convolution that sees its own row and the two rows above."""
    layer = conv(channels_in, channels_out, gain)
    layer.padding = (0, 0)
    return nn.Sequential(nn.ZeroPad2d((1, 1, 2, 0)), layer)


def one_down(image: torch.Tensor) -> torch.Tensor:
    """Moves all rows of (N, C, H, W) down by one, with zeros in the first row."""
    return functional.pad(image, (0, 0, 1, -1))


class HalfPlaneUNet(UNet):
    """The U-Net whose outputs see the rows above them only: (N, channels, H, W) -> (N, 2 features, H, W)."""

    def __init__(self, channels: int, features: int) -> None:
        last = 2 * features, 2 * features
        super().__init__(channels, convolution=half_plane_conv, features=features, last=last)
        del self.dec_conv1c

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        """Rows 2i - 1 and 2i become row i. Upsampled, row i is at 2i and 2i + 1, and neither may see rows below it."""
        return super().pooled(one_down(x))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(N, 2 features, H, W) of an image (N, channels, H, W) of any size."""
        height, width = image.shape[-2:]
        return one_down(self.decoded(pad_to_multiple(image))[0][..., :height, :width].to(image.dtype))


class BlindSpotNetwork(nn.Module):
    """(N, channels, H, W) -> (N, outputs, H, W), where no output sees the input in its own place.

    One branch sees the four rotations of the picture. 1x1 convolutions join its outputs: of 384 and 96 channels with
    the paper's 48 features.
    """

    def __init__(self, channels: int, outputs: int, features: int = FEATURES) -> None:
        super().__init__()
        self.branch = HalfPlaneUNet(channels, features)
        few, many = 2 * features, 4 * 2 * features
        self.join = nn.Sequential(
            conv(many, many, size=1),
            nn.LeakyReLU(SLOPE),
            conv(many, few, size=1),
            nn.LeakyReLU(SLOPE),
            conv(few, outputs, gain="linear", size=1),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(N, outputs, H, W) of an image (N, channels, H, W) of any size."""
        # Two and two, because a picture on its side has another shape. Each is padded after it is turned: padding
        # repeats the border, and must be where the branch does not look.
        sides = [self._opposite(_turned(image, turns), -turns) for turns in (0, 1)]
        return self.join(torch.cat([side for pair in sides for side in pair], dim=1))

    def _opposite(self, image: torch.Tensor, back: int) -> list[torch.Tensor]:
        """The branch's features of a picture and of the same upside down, both turned `back` from the picture."""
        up, down = self.branch(torch.cat([image, _turned(image, 2)])).chunk(2)
        return [_turned(up, back), _turned(down, back - 2)]


class BlindSpotModel(nn.Module):
    """Denoises pictures (N, 3, H, W) in [0, 1] with white Gaussian noise. sigma: known, in steps of 1/255."""

    both_directions = False
    uses_context = False
    ema_decay = 0.0
    warm_up_steps = 1
    gradient_limit = math.inf

    def __init__(self, sigma: float, covariance: Covariance = "full", features: int = FEATURES) -> None:
        super().__init__()
        self.variance = (sigma / 255.0) ** 2
        self.network = BlindSpotNetwork(COLORS, COLORS + NUMBERS[covariance], features)

    def forward(self, noisy: torch.Tensor) -> torch.Tensor:
        """The posterior mean; without a covariance, the prediction itself."""
        mean, covariance = self._prior(noisy)
        if covariance is None:
            return mean
        return posterior_mean(noisy.movedim(1, -1), mean.movedim(1, -1), covariance, self.variance).movedim(-1, 1)

    def loss(self, noisy: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """A scalar. target: the noisy picture itself, or another one with noise of the same sigma."""
        mean, covariance = self._prior(noisy)
        if covariance is None:
            return l2_loss(mean, target)
        return negative_log_likelihood(target.movedim(1, -1), mean.movedim(1, -1), covariance, self.variance)

    def _prior(self, noisy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The mean (N, 3, H, W) and the covariance (N, H, W, 3, 3) of the clean color given its surroundings."""
        mean, numbers = self.network(noisy - 0.5).tensor_split([COLORS], dim=1)
        return mean + 0.5, covariance_of(numbers.movedim(1, -1)) if numbers.shape[1] else None


def covariance_of(numbers: torch.Tensor) -> torch.Tensor:
    """A^T A (..., 3, 3) of an upper triangular A: its 6 numbers row by row, or the 3 of its diagonal (..., 6 or 3)."""
    if numbers.shape[-1] == COLORS:
        return torch.diag_embed(numbers.square())
    rows, columns = torch.triu_indices(COLORS, COLORS)
    triangle = numbers.new_zeros(*numbers.shape[:-1], COLORS, COLORS)
    triangle[..., rows, columns] = numbers
    return triangle.mT @ triangle


def posterior_mean(noisy: torch.Tensor, mean: torch.Tensor, covariance: torch.Tensor, variance: float) -> torch.Tensor:
    """E[x | y, surroundings] = (S^-1 + I / v)^-1 (S^-1 mean + y / v), with the prior N(mean, S) and y ~ N(x, v I).

    It is computed as mean + S (S + v I)^-1 (y - mean). This is the same, and needs no inverse of S.
    noisy, mean: (..., 3); covariance: (..., 3, 3). Laine et al. 2019, section 3.
    """
    return (
        mean + (covariance @ torch.linalg.solve(_with_noise(covariance, variance), (noisy - mean)[..., None]))[..., 0]
    )


def negative_log_likelihood(
    noisy: torch.Tensor, mean: torch.Tensor, covariance: torch.Tensor, variance: float
) -> torch.Tensor:
    """-log N(y; mean, S + v I), averaged over all pixels. Shapes as in `posterior_mean`."""
    measured = torch.distributions.MultivariateNormal(mean, _with_noise(covariance, variance), validate_args=False)
    return -measured.log_prob(noisy).mean()


def _with_noise(covariance: torch.Tensor, variance: float) -> torch.Tensor:
    return covariance + variance * torch.eye(COLORS, dtype=covariance.dtype, device=covariance.device)


def _turned(image: torch.Tensor, quarters: int) -> torch.Tensor:
    return torch.rot90(image, quarters, (-2, -1))
