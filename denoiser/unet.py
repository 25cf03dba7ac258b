"""The paper's network (Lehtinen et al. 2018, appendix, table 2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from noisewalk.denoiser.precision import mixed_precision

LEVELS = 5
FEATURES = 48  # of the paper
SLOPE = 0.1


def conv(channels_in: int, channels_out: int, gain: str = "leaky_relu", size: int = 3) -> nn.Conv2d:
    """A convolution with He initialisation and zero bias; "same" padding, `size` x `size` pixels."""
    layer = nn.Conv2d(channels_in, channels_out, kernel_size=size, padding=size // 2)
    nn.init.kaiming_normal_(layer.weight, a=SLOPE, nonlinearity=gain)  # type: ignore[arg-type]
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


class UNet(nn.Module):
    """U-Net of the paper: 3x3 convolutions, leaky ReLU 0.1, no normalisation, last layer linear, He initialisation.

    (N, channels, H, W) -> (N, outputs, H, W), any H and W >= 1. 997,251 parameters for 9 channels and 3 outputs.

    convolution: makes the layers, as `conv` does. features: of the encoder; the decoder has twice as many, and 4/3 and
    2/3 of them at full size, unless `last` says otherwise.
    """

    def __init__(
        self,
        channels: int = 9,
        outputs: int = 3,
        convolution: Callable[..., nn.Module] = conv,
        features: int = FEATURES,
        last: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        few, many = features, 2 * features
        last = last or (4 * few // 3, 2 * few // 3)
        self.enc_conv0 = convolution(channels, few)  # full size
        self.enc_conv1 = convolution(few, few)  # full size, pooled to 1/2
        self.enc_conv2 = convolution(few, few)  # 1/2
        self.enc_conv3 = convolution(few, few)  # 1/4
        self.enc_conv4 = convolution(few, few)  # 1/8
        self.enc_conv5 = convolution(few, few)  # 1/16
        self.enc_conv6 = convolution(few, few)  # 1/32
        self.dec_conv5a, self.dec_conv5b = convolution(few + few, many), convolution(many, many)  # 1/16
        self.dec_conv4a, self.dec_conv4b = convolution(many + few, many), convolution(many, many)  # 1/8
        self.dec_conv3a, self.dec_conv3b = convolution(many + few, many), convolution(many, many)  # 1/4
        self.dec_conv2a, self.dec_conv2b = convolution(many + few, many), convolution(many, many)  # 1/2
        self.dec_conv1a, self.dec_conv1b = convolution(many + channels, last[0]), convolution(*last)  # full size
        self.dec_conv1c = convolution(last[1], outputs, gain="linear")

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """The output (N, outputs, H, W) of an image (N, channels, H, W)."""
        height, width = image.shape[-2:]
        full, _, _ = self.decoded(pad_to_multiple(image))
        # The last layer runs in float32. Its output is shown, and bfloat16 has only 128 steps from 1 to 2.
        return self.dec_conv1c(full.float())[..., :height, :width]

    def decoded(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The features of the decoder before the last layer. The sides of the image are multiples of 32.

        With 48 features: 32 channels at full size, 96 at 1/2 and 96 at 1/4, in the precision of `mixed_precision`.
        """
        with mixed_precision(image.device):
            return self._decoded(image.contiguous(memory_format=torch.channels_last))

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H / 2, W / 2): the largest value of each 2x2 pixels."""
        return functional.max_pool2d(x, 2)

    def _decoded(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        pool1 = self.pooled(_act(self.enc_conv1(_act(self.enc_conv0(image)))))
        pool2 = self.pooled(_act(self.enc_conv2(pool1)))
        pool3 = self.pooled(_act(self.enc_conv3(pool2)))
        pool4 = self.pooled(_act(self.enc_conv4(pool3)))
        pool5 = self.pooled(_act(self.enc_conv5(pool4)))
        x = _act(self.enc_conv6(pool5))

        x = _act(self.dec_conv5b(_act(self.dec_conv5a(_up_and_join(x, pool4)))))
        x = _act(self.dec_conv4b(_act(self.dec_conv4a(_up_and_join(x, pool3)))))
        quarter = _act(self.dec_conv3b(_act(self.dec_conv3a(_up_and_join(x, pool2)))))
        half = _act(self.dec_conv2b(_act(self.dec_conv2a(_up_and_join(quarter, pool1)))))
        full = _act(self.dec_conv1b(_act(self.dec_conv1a(_up_and_join(half, image)))))
        return full, half, quarter


def pad_to_multiple(image: torch.Tensor) -> torch.Tensor:
    """Pads to multiples of 32, for five poolings. The border is repeated, because zeros would change statistics."""
    height, width = image.shape[-2:]
    return functional.pad(image, (0, -width % 2**LEVELS, 0, -height % 2**LEVELS), mode="replicate")


def _act(x: torch.Tensor) -> torch.Tensor:
    return functional.leaky_relu(x, SLOPE, inplace=True)


def _up_and_join(x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
    # In x's precision, also if `skip` is the image. Otherwise all would become float32, and be rounded once more.
    return torch.cat([functional.interpolate(x, scale_factor=2.0, mode="nearest"), skip.to(x.dtype)], dim=1)
