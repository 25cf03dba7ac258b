"""OnlineDenoiser: the public face of the denoiser, for any renderer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from noisewalk.denoiser import DenoiserError
from noisewalk.denoiser.blend import blended, converging
from noisewalk.denoiser.checkpoint import load_checkpoint, save_checkpoint
from noisewalk.denoiser.features import finite
from noisewalk.denoiser.gathering import Gathering
from noisewalk.denoiser.inputs import InputMaker, PreparedPair
from noisewalk.denoiser.models import build_model
from noisewalk.denoiser.planes import COLOR, GUIDE, from_planes, part
from noisewalk.denoiser.streams import Recorded, recorder_of
from noisewalk.denoiser.trainer import Trainer, TrainingSettings
from noisewalk.denoiser.weights import WeightsError, load_weights, save_weights
from noisewalk.denoiser.worker import PublishedWeights, TrainerInPlace, TrainerThread, TrainingFailed, Worker
from noisewalk.renderer.frame import NoisyPair

Pacing = Literal["lockstep", "free"]
Opinion = tuple[torch.Tensor, torch.Tensor]  # of each half (2, 3, H, W), and of both (1, 3, H, W)


class DeviceError(DenoiserError):
    """A torch device that does not work here. The message is one line."""


def choose_device(name: str = "auto") -> torch.device:
    """The torch device to train on. auto: CUDA if there is one, else the CPU. Raises DeviceError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise DeviceError(f"torch device '{name}' does not work here: {str(error).splitlines()[0]}") from error
    return device


@dataclass(frozen=True, eq=False)
class Denoised:
    """A denoised pair, in linear radiance on the training device.

    halves: the network's output for each half, (2, H, W, 3). It does not depend on the other half.
    shown:  the picture (H, W, 3), finite and >= 0. It is the average of both, with the guide's picture of both halves
            together in place of its pictures of each. Where Open Image Denoise's own pictures, or the picture shown
            before, are nearer to the truth, those are shown (see `blend`).
    """

    halves: torch.Tensor
    shown: torch.Tensor


class OnlineDenoiser:
    """Learns to denoise while it denoises.

    pacing: lockstep or free.
    lockstep: `submit` returns when the pair is trained on. The same seed gives the same pictures; on a GPU nearly the
              same, because it adds in any order.
    free:     training runs in a background thread. `denoise` uses the newest finished weights and never waits.
              `skipped_pairs` counts the pairs for which training had no time.
    guided:   the kernel model also sees Open Image Denoise's picture of each half. Raises DenoiserError without it.

    A pair is prepared once, and then submitted, denoised or both. Frames may come from any renderer, as tensors or as
    NumPy arrays (docs/library.md has a whole example):

    >>> import torch
    >>> from noisewalk.denoiser.online import OnlineDenoiser
    >>> from noisewalk.renderer.frame import Frame, NoisyPair
    >>> def render(seed: int) -> Frame:  # your renderer: (H, W, 3) float32 each
    ...     noise = torch.Generator().manual_seed(seed)
    ...     color = torch.rand(32, 48, 3, generator=noise)
    ...     return Frame(color, albedo=torch.full_like(color, 0.5), normal=torch.zeros_like(color))
    >>> with OnlineDenoiser(pacing="lockstep") as denoiser:
    ...     for index in range(2):
    ...         pair = NoisyPair(render(2 * index), render(2 * index + 1), index=index)
    ...         prepared = denoiser.prepare(pair)
    ...         denoiser.submit(prepared)
    ...         picture = denoiser.denoise(prepared)
    >>> picture.shape
    torch.Size([32, 48, 3])
    """

    def __init__(
        self,
        settings: TrainingSettings = TrainingSettings(),
        device: str = "auto",
        pacing: Pacing = "free",
        guided: bool = False,
    ) -> None:
        self.device = choose_device(device)
        self._trainer = Trainer(settings, self.device)
        self._inputs = InputMaker(self.device, guided, self._trainer.network.uses_context)
        self._pacing = pacing
        self._worker = _worker(pacing, self._trainer)
        # Denoising has its own network with published parameters. It never uses those that are being trained.
        self._network = build_model(settings.model, self.device).requires_grad_(False)
        self._loaded: Mapping[str, torch.Tensor] | None = None
        self._recorded = Recorded(self._network.with_share, recorder_of(self.device))

    def __enter__(self) -> OnlineDenoiser:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops training after the step in hand."""
        self._worker.stop()

    def pause(self, on: bool) -> None:
        """Pauses training after the step in hand, or lets it go on. Any thread may call this; it never waits."""
        self._worker.pause(on)

    @property
    def in_hand(self) -> bool:
        """Whether a training step is being computed in the background."""
        return self._worker.busy

    @property
    def failure(self) -> TrainingFailed | None:
        """What ended training, if something did. `denoise` goes on with the weights published last."""
        return self._worker.failure

    def revive(self) -> None:
        """After a failure: trains on from the weights published last, with a fresh optimiser."""
        published = self.weights()
        self._worker.stop()
        self._trainer.halted = False
        if published.trained:
            self._trainer.adopt(published.parameters, published.steps)
        else:
            self._trainer.restart()
        self._worker = _worker(self._pacing, self._trainer)

    @property
    def skipped_pairs(self) -> int:
        """Number of pairs that were submitted but never trained on, because a newer one came first."""
        return self._worker.skipped_pairs

    @property
    def settings(self) -> TrainingSettings:
        """The present settings of training."""
        return self._trainer.settings

    def configure(self, *, iterations: int, crop: int, learning_rate: float) -> None:
        """Sets other training settings from the next frame on (see TrainingSettings). Never waits."""
        self._trainer.settings = replace(self.settings, iterations=iterations, crop=crop, learning_rate=learning_rate)

    def restart(self) -> None:
        """Begins again as at first, after the step in hand."""
        self._worker.apply(lambda trainer: trainer.restart())

    def prepare(self, pair: NoisyPair, remember: bool = True) -> PreparedPair:
        """A pair with all that the model needs, on the training device: features, guide, history.

        remember: later frames may use this one as history (previews are not remembered). Then its index must be higher
        than that of the newest remembered frame, else DenoiserError: the network would see its own target.
        """
        return self._inputs.prepare(pair, remember)

    def gathering(self) -> Gathering:
        """Begins to gather the pairs of one view. To be called before the first of them is prepared."""
        return Gathering(self._inputs.history)

    def prepare_gathered(self, gathering: Gathering) -> PreparedPair:
        """All samples of a view, only to be shown (see `denoise_gathered`): its pairs are submitted one by one."""
        return self._inputs.prepare_gathered(gathering)

    def forget(self) -> None:
        """Empties the history, so that any index may come next, for example in a second pass over the same frames."""
        self._inputs.history = None

    def submit(self, prepared: PreparedPair) -> None:
        """Gives a pair to training. Raises TrainingFailed."""
        self._worker.submit(prepared)

    def weights(self) -> PublishedWeights:
        """The weights that `denoise` would use now."""
        return self._worker.latest()

    def denoise(self, prepared: PreparedPair, weights: PublishedWeights | None = None) -> torch.Tensor:
        """The picture of both denoised halves: (H, W, 3) float32 linear radiance >= 0 on the training device.

        weights: earlier ones, instead of the present ones.
        """
        return self.denoise_both(prepared, weights).shown

    def denoise_both(self, prepared: PreparedPair, weights: PublishedWeights | None = None) -> Denoised:
        """Like `denoise`, with each denoised half too. The next frame uses what is shown, if the pair is remembered."""
        denoised, shown, _ = self._denoised(prepared, lambda: [prepared.second_opinion], weights)
        picture = _picture(shown)
        if weights is None:
            self._inputs.remember_shown(prepared, picture)
        return Denoised(from_planes(denoised), picture)

    def denoise_gathered(self, prepared: PreparedPair) -> Denoised:
        """Like `denoise_both`, for all samples of a view: where their noisy mean is better, that is shown.

        Its halves are those of what is shown, with all that is mixed into it. There is no second opinion: of many
        samples features have no noise, and the guide is made for those.
        """
        _, shown, halves = self._denoised(prepared, list)
        shown, halves = converging(shown, halves, part(prepared.both, COLOR))
        return Denoised(from_planes(halves), _picture(shown))

    def _denoised(
        self, prepared: PreparedPair, others: Callable[[], list[Opinion]], weights: PublishedWeights | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Our network's halves (2, 3, H, W), the picture to show (1, 3, H, W), and the halves that go with it.

        others: makes opinions besides that of the guide. It is called if there is one.
        """
        planes = prepared.both
        with torch.no_grad():
            self._load((weights or self.weights()).parameters)
            denoised, share = self._recorded(planes)
        shown, guide, guides = denoised.mean(dim=0, keepdim=True), prepared.guide_of_both, part(planes, GUIDE)
        opinions = []
        if guide is not None:
            shown = (denoised + share * (guide - guides)).mean(dim=0, keepdim=True)
            opinions = [(guides, guide), *others()]
        shown, halves = blended(shown, denoised, part(planes, COLOR), opinions, prepared.shown_before)
        return denoised, shown, halves

    def _load(self, parameters: Mapping[str, torch.Tensor]) -> None:
        if parameters is not self._loaded:
            own = dict(self._network.named_parameters())
            torch._foreach_copy_(list(own.values()), [parameters[name] for name in own])
            self._loaded = parameters

    def save(self, file: str | Path, about: Mapping[str, object] | None = None) -> None:
        """Writes the weights as safetensors, `about` (scene, hash: JSON values) in the metadata. Raises OSError."""
        published = self.weights()
        trained = {
            "steps": published.steps,
            "learning_rate": self.settings.learning_rate,
            "crop": self.settings.crop,
        }
        save_weights(Path(file), self.settings.model, published.parameters, trained | dict(about or {}))

    def load(self, file: str | Path) -> dict[str, object]:
        """Continues from saved weights, with a fresh optimiser. Returns their metadata. Raises WeightsError."""
        parameters, about = load_weights(Path(file))
        if about["model"] != self.settings.model:
            needed = self.settings.model
            raise WeightsError(f"{file}: weights of model '{about['model']}', but '{needed}' is in use (see --model)")
        steps = about.get("steps")
        self._worker.apply(lambda trainer: trainer.adopt(parameters, steps if isinstance(steps, int) else 1))
        return about

    def adopt(self, published: PublishedWeights) -> None:
        """Continues from the weights of another denoiser of this model, with a fresh optimiser."""
        self._worker.apply(lambda trainer: trainer.adopt(published.parameters, published.steps))

    def save_checkpoint(self, file: Path, progress: Mapping[str, object]) -> None:
        """Writes all that training needs to continue as if it had never stopped. Raises OSError."""
        history = self._inputs.history
        self._worker.apply(lambda trainer: save_checkpoint(file, trainer, history, progress))

    def load_checkpoint(self, file: Path) -> dict[str, object]:
        """Continues from a checkpoint of the same settings. Returns its `progress`. Raises WeightsError."""
        progress: dict[str, object] = {}

        def restore(trainer: Trainer) -> None:
            self._inputs.history, stored = load_checkpoint(file, trainer)
            progress.update(stored)

        self._worker.apply(restore)
        return progress


def _worker(pacing: Pacing, trainer: Trainer) -> Worker:
    return TrainerInPlace(trainer) if pacing == "lockstep" else TrainerThread(trainer)


def _picture(shown: torch.Tensor) -> torch.Tensor:
    """(H, W, 3), finite and >= 0, of planes (1, 3, H, W)."""
    return finite(from_planes(shown)[0]).clamp(min=0.0)
