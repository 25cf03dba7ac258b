"""The kernel-predicting model: from frame planes (N, 16, H, W) to linear radiance (N, 3, H, W)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from noisewalk.denoiser.features import context_input, finite, network_input
from noisewalk.denoiser.losses import EPSILON, hdr_loss
from noisewalk.denoiser.planes import AGE, CHANNELS, COLOR, GUIDE, HISTORY, part
from noisewalk.denoiser.precision import mixed_precision
from noisewalk.denoiser.unet import UNet, conv, pad_to_multiple

KERNEL = 5  # pixels in a row of the window
OWN_SCALES = (1, 2, 4)
HISTORY_SCALES = (1, 2)
# Candidates of the blend: own radiance and history, each at its scales, and the guide.
CANDIDATES = len(OWN_SCALES) + len(HISTORY_SCALES) + 1
# Logits stay within +-4. A share of exactly 0 or 1 would have no gradient, and would stay there.
LARGEST_LOGIT = 4.0
UNGUIDED_LOSS = 0.3
# Radiance may be this many times as bright as the guide nearby. With 1.2 the picture is a percent darker, with 16 too
# many fireflies pass.
BRIGHTEST_OVER_GUIDE = 2.0
UNLIMITED = 1e30  # not infinity, which would have no gradient


class KernelModel(UNet):
    """The same U-Net with a kernel-predicting head: it mixes what was rendered, and invents no colors.

    At full, half and quarter size it predicts softmax weights for the 5x5 pixels around each pixel. It applies them to
    the half's own radiance, averaged down to that size. At full and half size it does the same with the history, the
    reprojected mean of past frames. It blends these five, and the guide if there is one, per pixel (after Bako et al.
    2017, "Kernel-Predicting Convolutional Networks", and Vogels et al. 2018, "Denoising with Kernel Prediction and
    Asymmetric Loss Functions"). The output is a convex combination: never negative, never brighter than its brightest
    input.

    The guide limits brightness (`firefly_limit`): of what the kernels mix, because of fireflies, and of the result,
    because lamps would bleed into their surroundings. The target is never limited.

    Noise2Noise's condition holds. Own radiance and guide depend on one half only, and the history on earlier frames.
    The target is the other half. Training goes in both directions, since the halves are exchangeable.
    """

    both_directions = True
    uses_context = True
    ema_decay = 0.98  # an average over some 50 steps, or six frames
    warm_up_steps = 1
    gradient_limit = math.inf

    def __init__(self) -> None:
        super().__init__(CHANNELS)
        del self.dec_conv1c
        self.own_kernels = nn.ModuleList(conv(channels, KERNEL**2, gain="linear") for channels in (32, 96, 96))
        self.history_kernels = nn.ModuleList(conv(channels, KERNEL**2, gain="linear") for channels in (32, 96))
        self.blend = conv(32, CANDIDATES, gain="linear")
        for head in (*self.own_kernels, *self.history_kernels, self.blend):
            # Nearly uniform weights at first. An untrained model then blurs, which is better than random weights.
            head.weight.data *= 0.1

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """Linear radiance (N, 3, H, W) of planes (N, 16, H, W)."""
        return self.with_share(planes)[0]

    def with_share(self, planes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Linear radiance (N, 3, H, W), and the share of the guide in it (N, 1, H, W), which is 0 without one."""
        mixed, share, guide = self._parts(planes)
        return mixed + share * guide, share

    def loss(self, planes: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """L_HDR of the output, and a smaller one of the output without its guide. A scalar.

        Without the second term a good guide gets all of the share, and the kernels never learn.
        planes: (N, 16, H, W). target: (N, 3, H, W) linear radiance.
        """
        mixed, share, guide = self._parts(planes)
        unguided = mixed / (1.0 - share).clamp(min=1e-4)
        return hdr_loss(mixed + share * guide, target) + UNGUIDED_LOSS * hdr_loss(unguided, target)

    def _parts(self, planes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The blend without the guide (N, 3, H, W), the guide's share (N, 1, H, W), and the guide (N, 3, H, W)."""
        height, width = planes.shape[-2:]
        padded = pad_to_multiple(planes)
        color, guide, history, age = (part(padded, c).contiguous() for c in (COLOR, GUIDE, HISTORY, AGE))
        image = torch.cat([network_input(padded), context_input(padded)], dim=1)
        with mixed_precision(planes.device):
            decoded = self.decoded(image)
            logits = self.blend(decoded[0])
            own = [head(features) for head, features in zip(self.own_kernels, decoded, strict=True)]
            past = [head(features) for head, features in zip(self.history_kernels, decoded[:2], strict=True)]
        shares = _shares(logits.float(), guide.any(dim=1, keepdim=True))
        limit = firefly_limit(guide)
        color, history = (without_fireflies(i, limit) for i in (finite(color, channels=1), history))
        # Where nothing was seen before, the history is black. Kernels that reach there take the color instead.
        history = torch.where(age > 0, history, color)
        candidates = [*_filtered(color, OWN_SCALES, own), *_filtered(history, HISTORY_SCALES, past)]
        mixed = torch.zeros_like(color)
        for candidate, share in zip(candidates, shares.split(1, dim=1), strict=False):
            mixed = mixed + share * without_fireflies(candidate, limit)
        inside = (..., slice(height), slice(width))
        return mixed[inside], shares[:, -1:][inside], guide[inside]


def _shares(logits: torch.Tensor, guided: torch.Tensor) -> torch.Tensor:
    """(N, 6, H, W): softmax over the candidates. The guide has a share only where `guided` (N, 1, H, W) is true."""
    bounded = LARGEST_LOGIT * torch.tanh(logits / LARGEST_LOGIT)
    bounded = torch.cat([bounded[:, :-1], bounded[:, -1:].masked_fill(~guided, float("-inf"))], dim=1)
    return torch.softmax(bounded, dim=1)


def firefly_limit(guide: torch.Tensor) -> torch.Tensor:
    """(N, 1, H, W): BRIGHTEST_OVER_GUIDE times the brightest value of the guide in 3x3 pixels.

    guide: (N, 3, H, W) linear radiance. All 0 means that there is none: then the limit is UNLIMITED.
    """
    brightest = guide.amax(dim=1, keepdim=True)
    limit = BRIGHTEST_OVER_GUIDE * functional.max_pool2d(brightest, 3, stride=1, padding=1) + EPSILON
    return torch.where(brightest.amax(dim=(1, 2, 3), keepdim=True) > 0, limit, UNLIMITED)


def without_fireflies(image: torch.Tensor, limit: torch.Tensor) -> torch.Tensor:
    """The image (N, 3, H, W). Pixels over the limit, from `firefly_limit`, get darker and keep their hue.

    What is taken away is lost. This is a bias: up to 1 % of the mean radiance at 8 spp in scenes with caustics.
    """
    return image * (limit / torch.maximum(image.amax(dim=1, keepdim=True), limit))


def _filtered(image: torch.Tensor, scales: tuple[int, ...], logits: list[torch.Tensor]) -> list[torch.Tensor]:
    """The image (N, 3, H, W), for each scale averaged down, filtered, and enlarged again."""
    return [
        _enlarged(filter_pixels(functional.avg_pool2d(image, scale), one.float()), scale)
        for scale, one in zip(scales, logits, strict=True)
    ]


def filter_pixels(image: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Each pixel becomes the mean of the 5x5 pixels around it, weighted by softmax(logits).

    image: (N, C, H, W); no gradient goes to it. logits: (N, 25, H, W), row by row. Border pixels are repeated outside.
    """
    weights = torch.softmax(logits, dim=1).contiguous()
    if torch.is_grad_enabled():
        return _WeightedMean.apply(image, weights)
    return _weighted_mean(functional.pad(image, (KERNEL // 2,) * 4, mode="replicate"), weights)


def _weighted_mean(padded: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """sum_k weights_k * image shifted to neighbour k, one neighbour at a time: unfolding all 25 would take 25 times the
    memory.
    """
    total = padded.new_zeros(*padded.shape[:2], *weights.shape[2:])
    for neighbour, shifted in enumerate(_shifted(padded, weights.shape)):
        total.addcmul_(weights[:, neighbour : neighbour + 1], shifted)
    return total


class _WeightedMean(torch.autograd.Function):
    """`_weighted_mean` of an image with its border repeated. In an autograd graph of 25 slices, bookkeeping would take
    longer than the sums.
    """

    @staticmethod
    def forward(ctx: Any, image: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        padded = functional.pad(image, (KERNEL // 2,) * 4, mode="replicate")
        ctx.save_for_backward(padded)
        return _weighted_mean(padded, weights)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[None, torch.Tensor]:
        (gradient,) = gradients
        (padded,) = ctx.saved_tensors
        count, _, height, width = gradient.shape
        of_weights = gradient.new_empty(count, KERNEL**2, height, width)
        for neighbour, shifted in enumerate(_shifted(padded, gradient.shape)):
            torch.sum(gradient * shifted, dim=1, out=of_weights[:, neighbour])
        return None, of_weights


def _shifted(padded: torch.Tensor, shape: torch.Size) -> list[torch.Tensor]:
    height, width = shape[-2:]
    offsets = [divmod(neighbour, KERNEL) for neighbour in range(KERNEL**2)]
    return [padded[..., row : row + height, column : column + width] for row, column in offsets]


def _enlarged(image: torch.Tensor, factor: int) -> torch.Tensor:
    if factor == 1:
        return image
    return functional.interpolate(image, scale_factor=float(factor), mode="bilinear", align_corners=False)
