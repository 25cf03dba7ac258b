"""The denoising models by name. Each maps frame planes (N, 9, H, W) to linear radiance (N, 3, H, W)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from denoiser import DenoiserError
from denoiser.features import finite, network_input
from denoiser.losses import hdr_loss
from denoiser.paper import VARIANTS, PaperModel
from denoiser.unet import UNet, conv, pad_to_multiple

KERNEL = 5  # neighbours in a row
SCALES = 3


class KernelModel(UNet):
    """The same U-Net with a kernel-predicting head: it mixes the pixels of its own input instead of inventing colors.

    At full, half and quarter size it predicts softmax weights over 5x5 neighbours, applies them to the half's own
    radiance, averaged down to that size, and blends the three per pixel (after Bako et al. 2017, "Kernel-Predicting
    Convolutional Networks", and Vogels et al. 2018, "Denoising with Kernel Prediction and Asymmetric Loss Functions").
    The output is a convex combination of what was rendered: never negative, never brighter than its brightest input.

    Noise2Noise's condition holds: the output depends on one half alone, and the target is the other one, in both
    directions, since the halves are exchangeable.
    """

    both_directions = True
    average_decay = 0.98  # over some 50 steps, six frames
    loss = staticmethod(hdr_loss)

    def __init__(self) -> None:
        super().__init__()
        del self.dec_conv1c
        self.kernels = nn.ModuleList(conv(channels, KERNEL**2, gain="linear") for channels in (32, 96, 96))
        self.blend = conv(32, SCALES, gain="linear")
        for head in (*self.kernels, self.blend):
            # Nearly uniform weights at first: an untrained model blurs, which is better than anything random.
            head.weight.data *= 0.1

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        height, width = planes.shape[-2:]
        padded = pad_to_multiple(planes)
        color = finite(padded[:, :3], channels=1)
        decoded = self.decoded(network_input(padded).contiguous(memory_format=torch.channels_last))
        shares = torch.softmax(self.blend(decoded[0]), dim=1)
        output = torch.zeros_like(color)
        for scale, (features, head) in enumerate(zip(decoded, self.kernels, strict=True)):
            filtered = filter_pixels(functional.avg_pool2d(color, 2**scale), head(features))
            output = output + shares[:, scale : scale + 1] * _enlarged(filtered, 2**scale)
        return output[..., :height, :width]


def filter_pixels(image: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Each pixel becomes the mean of its 5x5 neighbours, weighted by softmax(logits).

    image: (N, C, H, W); logits: (N, 25, H, W), row by row. Beyond the border its pixels repeat.
    """
    height, width = image.shape[-2:]
    weights = torch.softmax(logits, dim=1).contiguous()
    padded = functional.pad(image, (KERNEL // 2,) * 4, mode="replicate")
    total = torch.zeros_like(image)
    # One neighbour at a time: unfolding all 25 would take 25 times the memory.
    for neighbour in range(KERNEL**2):
        row, column = divmod(neighbour, KERNEL)
        shifted = padded[..., row : row + height, column : column + width]
        total = total + weights[:, neighbour : neighbour + 1] * shifted
    return total


def _enlarged(image: torch.Tensor, factor: int) -> torch.Tensor:
    if factor == 1:
        return image
    return functional.interpolate(image, scale_factor=float(factor), mode="bilinear", align_corners=False)


MODELS: dict[str, Callable[[], Any]] = {
    "kernel": KernelModel,
    **{variant.name: partial(PaperModel, variant) for variant in VARIANTS},
}


def build_model(name: str, device: torch.device | str) -> PaperModel | KernelModel:
    """A fresh model in the layout that convolves fastest (channels last). Raises DenoiserError for unknown names."""
    if name not in MODELS:
        raise DenoiserError(f"no model '{name}': {', '.join(MODELS)} are there")
    return MODELS[name]().to(device).to(memory_format=torch.channels_last)
