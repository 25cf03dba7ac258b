"""One network, its optimiser and its training step. No threads in here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from denoiser.features import frame_planes, to_planes
from denoiser.models import build_model
from renderer.frame import NoisyPair

ADAM_BETAS = (0.9, 0.99)
ADAM_EPSILON = 1e-8


@dataclass(frozen=True)
class TrainingSettings:
    """The paper's values, and the name of one of `models.MODELS`.

    crop in pixels; a frame smaller than the crop is trained on whole.
    """

    model: str = "kernel"
    iterations: int = 8
    crop: int = 256
    learning_rate: float = 3e-4
    seed: int = 0


@dataclass(frozen=True)
class TrainingReport:
    """One frame's training: mean loss over its finite steps (NaN where there was none), and how many were skipped."""

    loss: float
    skipped: int


class Trainer:
    """Trains on one noisy pair at a time: input from half `a`, target from half `b`, or, where the model asks for it,
    every other step the other way round. A pair that brings a clean picture has that as the target of both.

    The halves are independent, so that the target's noise averages out of the gradient (Noise2Noise's condition).
    A step whose loss or gradient is not finite changes nothing and is counted.

    `average` are the parameters to denoise with: a running mean over the last steps (Polyak and Juditsky 1992), for
    models with an `average_decay` above 0; it takes noise out of the pictures and flicker out of the walk.
    """

    def __init__(self, settings: TrainingSettings, device: torch.device) -> None:
        self.settings = settings
        self._device = device
        self.restart()

    def restart(self) -> None:
        """Begins anew with an untrained network."""
        self.steps = self.skipped = 0
        # Crops and initial weights come from generators of our own: the same seed gives the same run.
        self.generator = torch.Generator().manual_seed(self.settings.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            self.network = build_model(self.settings.model, self._device)
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=self.settings.learning_rate, betas=ADAM_BETAS, eps=ADAM_EPSILON
        )
        self.average = self._copied_parameters()

    def adopt(self, parameters: Mapping[str, torch.Tensor], steps: int) -> None:
        """Goes on from a network that was trained for `steps` before, with a fresh optimiser."""
        self.restart()
        self.network.load_state_dict(parameters)
        self.steps, self.average = steps, self._copied_parameters()

    def train(self, pair: NoisyPair) -> TrainingReport:
        """`settings.iterations` steps, each on a random crop of this pair.

        Another thread may replace `settings` (but for the seed) at any time; the next frame follows them.
        """
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate
        a, b = frame_planes(pair.a).to(self._device), frame_planes(pair.b).to(self._device)
        clean = None if pair.clean is None else to_planes(pair.clean).to(self._device)
        ways = [(image, other[:, :3] if clean is None else clean) for image, other in ((a, b), (b, a))]
        losses = []
        for iteration in range(settings.iterations):
            way = ways[iteration % 2 if self.network.both_directions else 0]
            losses.append(self.step(*self._crop(settings.crop, *way)))
        finite = [loss for loss in losses if loss is not None]
        return TrainingReport(sum(finite) / len(finite) if finite else float("nan"), len(losses) - len(finite))

    def step(self, image: torch.Tensor, target: torch.Tensor) -> float | None:
        """One iteration. image: (N, 9, H, W) frame planes, target: (N, 3, H, W) linear radiance. None if skipped."""
        self.steps += 1
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.network.loss(self.network(image.contiguous(memory_format=torch.channels_last)), target)
        loss.backward()
        # A norm is finite if and only if every gradient is: one number to look at instead of a million.
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.network.parameters() if p.grad is not None])
        value, norm_value = torch.stack([loss.detach(), norm]).tolist()
        if not (abs(value) < float("inf") and norm_value < float("inf")):
            self.skipped += 1
            return None
        self.optimizer.step()
        self._update_average()
        return value

    def _copied_parameters(self) -> dict[str, torch.Tensor]:
        return {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    def _update_average(self) -> None:
        # At first the mean is short, so that it does not lag behind a network that learns fast.
        decay = min(self.network.average_decay, self.steps / (self.steps + 9))
        for name, value in self.network.state_dict().items():
            self.average[name].lerp_(value, 1.0 - decay)

    def _crop(self, size: int, *images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The same random window of all images (1, C, H, W)."""
        height, width = images[0].shape[-2:]
        rows, columns = min(size, height), min(size, width)
        top = int(torch.randint(height - rows + 1, (), generator=self.generator))
        left = int(torch.randint(width - columns + 1, (), generator=self.generator))
        return tuple(image[..., top : top + rows, left : left + columns] for image in images)
