"""The paper's network (Lehtinen et al. 2018, appendix, table 2)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

LEVELS = 5
_SLOPE = 0.1


class UNet(nn.Module):
    """U-Net of the paper: 3x3 convolutions, leaky ReLU 0.1, no normalisation, last layer linear, He initialisation.

    (N, channels, H, W) -> (N, 3, H, W), any H and W >= 1. 997,251 parameters for 9 channels.
    """

    def __init__(self, channels: int = 9) -> None:
        super().__init__()
        self.enc_conv0 = _conv(channels, 48)  # full size
        self.enc_conv1 = _conv(48, 48)  # full size, pooled to 1/2
        self.enc_conv2 = _conv(48, 48)  # 1/2
        self.enc_conv3 = _conv(48, 48)  # 1/4
        self.enc_conv4 = _conv(48, 48)  # 1/8
        self.enc_conv5 = _conv(48, 48)  # 1/16
        self.enc_conv6 = _conv(48, 48)  # 1/32
        self.dec_conv5a, self.dec_conv5b = _conv(48 + 48, 96), _conv(96, 96)  # 1/16
        self.dec_conv4a, self.dec_conv4b = _conv(96 + 48, 96), _conv(96, 96)  # 1/8
        self.dec_conv3a, self.dec_conv3b = _conv(96 + 48, 96), _conv(96, 96)  # 1/4
        self.dec_conv2a, self.dec_conv2b = _conv(96 + 48, 96), _conv(96, 96)  # 1/2
        self.dec_conv1a, self.dec_conv1b = _conv(96 + channels, 64), _conv(64, 32)  # full size
        self.dec_conv1c = _conv(32, 3, gain="linear")

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        height, width = image.shape[-2:]
        # Five poolings need a multiple of 32. Repeating the border keeps statistics that zeros would change.
        multiple = 2**LEVELS
        padded = functional.pad(image, (0, -width % multiple, 0, -height % multiple), mode="replicate")

        pool1 = _pool(_act(self.enc_conv1(_act(self.enc_conv0(padded)))))
        pool2 = _pool(_act(self.enc_conv2(pool1)))
        pool3 = _pool(_act(self.enc_conv3(pool2)))
        pool4 = _pool(_act(self.enc_conv4(pool3)))
        pool5 = _pool(_act(self.enc_conv5(pool4)))
        x = _act(self.enc_conv6(pool5))

        x = _act(self.dec_conv5b(_act(self.dec_conv5a(_up_and_join(x, pool4)))))
        x = _act(self.dec_conv4b(_act(self.dec_conv4a(_up_and_join(x, pool3)))))
        x = _act(self.dec_conv3b(_act(self.dec_conv3a(_up_and_join(x, pool2)))))
        x = _act(self.dec_conv2b(_act(self.dec_conv2a(_up_and_join(x, pool1)))))
        x = _act(self.dec_conv1b(_act(self.dec_conv1a(_up_and_join(x, padded)))))
        return self.dec_conv1c(x)[..., :height, :width]


def build_network(device: torch.device) -> UNet:
    """A fresh network in the layout that convolves fastest (channels last)."""
    return UNet().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _conv(channels_in: int, channels_out: int, gain: str = "leaky_relu") -> nn.Conv2d:
    conv = nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1)
    nn.init.kaiming_normal_(conv.weight, a=_SLOPE, nonlinearity=gain)  # type: ignore[arg-type]
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


def _act(x: torch.Tensor) -> torch.Tensor:
    return functional.leaky_relu(x, _SLOPE, inplace=True)


def _pool(x: torch.Tensor) -> torch.Tensor:
    return functional.max_pool2d(x, 2)


def _up_and_join(x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
    return torch.cat([functional.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1)
