"""The least time of a frame: rates of this machine, arithmetic and traffic of the network; and the paper's times."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from noisewalk.app.clock import synchronise
from noisewalk.denoiser.losses import hdr_loss
from noisewalk.denoiser.models import build_model
from noisewalk.denoiser.planes import COLOR, frame_planes, part
from noisewalk.denoiser.unet import LEVELS
from noisewalk.renderer.frame import Frame

# By stage, in milliseconds: 2 x 190, 8 x 11.25, 2 x 15, and their sum.
PAPER_NOTE = "Lehtinen et al. 2018, section 3.3: Titan V, frames of 512x512"
PAPER_MS = {"render": 380.0, "train_one": 11.25, "train": 90.0, "denoise": 30.0, "lockstep": 500.0}

RATE_SECONDS = 0.5
COUNTED_SIZE = 64


@dataclass(frozen=True)
class Rates:
    """matrix: FLOP/s of large matrix products, by number format. copy: bytes/s of a large copy, read plus written."""

    matrix: dict[str, float]
    copy: float

    def seconds(self, cost: Cost) -> float:
        """The least time for the cost: of arithmetic in the fastest format, or of traffic, whichever is longer."""
        return max(cost.flops / max(self.matrix.values()), cost.bytes / self.copy)


@dataclass(frozen=True)
class Cost:
    """flops: of the convolutions; a multiply-add counts as two. bytes: what they read and write."""

    flops: float
    bytes: float

    def times(self, factor: float) -> Cost:
        """The cost of so many pixels or steps."""
        return Cost(self.flops * factor, self.bytes * factor)


@dataclass(frozen=True)
class NetworkCost:
    """For each pixel of the padded input: denoise for a forward pass, train for forward and backward together."""

    denoise: Cost
    train: Cost


def measure_rates(device: torch.device) -> Rates:
    """The best rates of this device. Each is measured for RATE_SECONDS."""
    gpu = device.type == "cuda"
    size, copied = (8192, 2**30) if gpu else (1024, 2**28)
    matrix = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.rand(size, size, device=device).to(dtype)
        matrix[str(dtype).removeprefix("torch.")] = 2 * size**3 / _best_seconds(partial(torch.matmul, a, a))
    source = torch.zeros(copied, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return Rates(matrix, 2 * copied / _best_seconds(partial(target.copy_, source)))


def network_cost(model: str, device: torch.device) -> NetworkCost:
    """Counts on a small image what this device computes; the number format decides the bytes.

    Traffic: each convolution reads its input and weights, and writes its output. Backward it does so twice, for the
    gradients of input and weights. The work between convolutions is not counted: it could be fused into them.
    """
    network = build_model(model, device)
    image = torch.rand(COUNTED_SIZE, COUNTED_SIZE, 3, device=device)
    planes = frame_planes(Frame(image, image, image))
    traffic = 0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal traffic
        parameters = sum(p.numel() for p in layer.parameters()) * output.element_size()
        traffic += sum(t.numel() * t.element_size() for t in (*inputs, output)) + parameters

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    forward, whole = FlopCounterMode(display=False), FlopCounterMode(display=False)
    with whole:
        with forward:
            output = network(planes)
        hdr_loss(output, part(planes, COLOR)).backward()
    per_pixel = 1 / COUNTED_SIZE**2
    denoise = Cost(forward.get_total_flops(), traffic).times(per_pixel)
    return NetworkCost(denoise, Cost(whole.get_total_flops(), 3 * traffic).times(per_pixel))


def padded_pixels(width: int, height: int) -> int:
    """Pixels that the network computes for a picture of this size."""
    multiple = 2**LEVELS
    return -(-width // multiple) * -(-height // multiple) * multiple**2


def _best_seconds(run: Callable[[], Any]) -> float:
    run()
    synchronise()
    best, end = float("inf"), time.perf_counter() + RATE_SECONDS
    while best == float("inf") or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        synchronise()
        best = min(best, time.perf_counter() - start)
    return best
