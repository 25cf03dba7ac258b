"""One network, its optimiser and its training step. There are no threads here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from noisewalk.denoiser.inputs import PreparedPair
from noisewalk.denoiser.models import model_named, placed
from noisewalk.denoiser.pretrained import pretrained_weights
from noisewalk.denoiser.streams import Recorded, Recorder, recorder_of

ADAM_BETAS = (0.9, 0.99)
ADAM_EPSILON = 1e-8


@dataclass(frozen=True)
class TrainingSettings:
    """The paper's values, and the name of one of `models.MODELS`.

    pretrained: start from the weights that come with the program, if there are any for this model.
    iterations: training steps for each frame.
    crop:       pixels a side. The whole of a smaller frame is used.
    """

    model: str = "kernel"
    pretrained: bool = True
    iterations: int = 8
    crop: int = 256
    learning_rate: float = 3e-4
    seed: int = 0


@dataclass(frozen=True)
class TrainingReport:
    """The training of one frame: mean loss of its finite steps (NaN if there are none), and how many were skipped."""

    loss: float
    skipped: int


class Trainer:
    """Trains on one noisy pair at a time: input from half `a`, target from half `b`.

    If the model asks for it, every other step goes the other way round. If the pair has a clean picture, that is the
    target of both. The halves are independent, so the noise of the target averages out of the gradient (Noise2Noise's
    condition). A step whose loss or gradient is not finite changes nothing and is counted.

    Models with an `ema_decay` above 0 denoise with `ema_parameters`, the exponential moving average (EMA) of the
    parameters over the last steps (Polyak and Juditsky 1992). It takes noise out of the pictures and flicker out of the
    walk. For other models it is empty.

    The learning rate rises over a model's first `warm_up_steps`, and its gradient is scaled down to `gradient_limit`.

    record:  how steps are recorded; None for plain steps; by default what the device has.
    network: makes another network than the one that the settings name. It has the same members as `paper.PaperModel`.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        device: torch.device,
        record: Recorder | Literal["auto"] | None = "auto",
        network: Callable[[], Any] | None = None,
    ) -> None:
        self.settings = settings
        self.halted = False
        self._fresh_network = network or model_named(settings.model)
        self.device = device
        self._record = recorder_of(device) if record == "auto" else record
        self.restart()

    def restart(self) -> None:
        """Begins again, with the pretrained network if the settings ask for it and there is one."""
        self.steps = self.skipped = self._adopted_steps = 0
        # Crops and initial weights come from our own generators, so that the same seed gives the same run.
        self.generator = torch.Generator().manual_seed(self.settings.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            self.network = placed(self._fresh_network(), self.device)
        start = pretrained_weights(self.settings.model) if self.settings.pretrained else None
        self.started_trained = start is not None
        if start is not None:
            self.network.load_state_dict(start)
        # Numbers that change are tensors, so that a recorded step sees the change.
        self.set_learning_rate(self.settings.learning_rate)
        self._learning_rate = torch.tensor(self.settings.learning_rate, device=self.device)
        self._ema_weight = torch.ones((), device=self.device)
        self.optimizer = torch.optim.Adam(
            self.network.parameters(),
            lr=self._learning_rate,
            betas=ADAM_BETAS,
            eps=ADAM_EPSILON,
            fused=True,
            capturable=self.device.type == "cuda",
        )
        self.optimizer.grad_scale = None  # type: ignore[attr-defined]
        # The first steps are not recorded, on purpose. This turns off torch's warning about that.
        self.optimizer._warned_capturable_if_run_uncaptured = True
        self._begin_ema()
        self.forget_recordings()

    def set_learning_rate(self, learning_rate: float) -> None:
        """Sets it for the next steps. `train` sets it to that of the settings."""
        self._full_learning_rate = learning_rate

    def forget_recordings(self) -> None:
        """Records steps again. To be called after other tensors were put into network or optimiser."""
        self._recorded = Recorded(self._update, self._record)

    def adopt(self, parameters: Mapping[str, torch.Tensor], steps: int) -> None:
        """Continues from a network that was trained for `steps` before, with a fresh optimiser."""
        self.restart()
        self.network.load_state_dict(parameters)
        self.steps = self._adopted_steps = steps
        self.started_trained = True
        self._begin_ema()

    def train(self, pair: PreparedPair) -> TrainingReport:
        """`settings.iterations` steps, each on a random crop of both halves' planes (1, 16, H, W).

        Another thread may replace `settings`, except the seed, at any time. The next frame uses the new ones. It may
        also set `halted`: then this ends after the step in hand.
        """
        settings = self.settings
        self.set_learning_rate(settings.learning_rate)
        pairs = pair.inputs_and_targets[: 2 if self.network.both_directions else 1]
        losses = [
            self.step(*self._crop(settings.crop, *pairs[iteration % len(pairs)]))
            for iteration in range(settings.iterations)
            if not self.halted
        ]
        # Only here the processor waits for the device, once a frame.
        values = torch.stack(losses).tolist() if losses else []
        finite = [value for value in values if math.isfinite(value)]
        self.skipped += len(values) - len(finite)
        return TrainingReport(sum(finite) / len(finite) if finite else math.nan, len(values) - len(finite))

    def step(self, image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """One iteration. Returns its loss, a scalar on the device: NaN if it was not finite, and nothing was changed.

        image: (N, 16, H, W) frame planes, target: (N, 3, H, W) linear radiance.
        """
        self.steps += 1
        self._learning_rate.fill_(self._full_learning_rate * self._warmth())
        self._ema_weight.fill_(1.0 - self._decay())
        return self._recorded(image, target)[0]

    def _update(self, image: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor]:
        """What `step` does on the device."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.network.loss(image, target)
        loss.backward()
        # The norm is finite if and only if all gradients are. So one number is tested, and not a million.
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.network.parameters() if p.grad is not None])
        finite = torch.isfinite(loss.detach()) & torch.isfinite(norm)
        torch.nn.utils.clip_grads_with_norm_(self.network.parameters(), self.network.gradient_limit, norm)
        # If this is 1, the fused optimiser changes nothing. The processor does not wait for the answer.
        self.optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
        self.optimizer.step()
        if self.ema_parameters:
            with torch.no_grad():
                ema = list(self.ema_parameters.values())
                changes = torch._foreach_sub(list(self.network.parameters()), ema)
                torch._foreach_mul_(changes, self._ema_weight)
                torch._foreach_add_(ema, changes)
        return (loss.detach().where(finite, math.nan),)

    @property
    def inference_parameters(self) -> dict[str, torch.Tensor]:
        """The parameters to denoise with: the EMA, or the network's own if there is none. Later steps change them."""
        return self.ema_parameters or {name: value.detach() for name, value in self.network.named_parameters()}

    def _begin_ema(self) -> None:
        own = self.network.named_parameters() if self.network.ema_decay > 0.0 else []
        self.ema_parameters = {name: value.detach().clone() for name, value in own}

    def _decay(self) -> float:
        decay = self.network.ema_decay
        # At first the average is short. A long one would lag behind a network that learns fast.
        settled = self.started_trained and self._warmth() == 1.0
        return decay if settled else min(decay, self.steps / (self.steps + 9))

    def _warmth(self) -> float:
        """In (0, 1]: how far the optimiser is warmed up. An adopted network has a fresh one."""
        return min(1.0, (self.steps - self._adopted_steps) / self.network.warm_up_steps)

    def _crop(self, size: int, *images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The same random window of all images (1, C, H, W)."""
        height, width = images[0].shape[-2:]
        rows, columns = min(size, height), min(size, width)
        top = int(torch.randint(height - rows + 1, (), generator=self.generator))
        left = int(torch.randint(width - columns + 1, (), generator=self.generator))
        return tuple(image[..., top : top + rows, left : left + columns] for image in images)
