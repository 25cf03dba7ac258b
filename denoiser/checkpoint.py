"""A trainer's whole state on disk, so that training goes on exactly where it stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch

from denoiser.trainer import Trainer
from denoiser.weights import WeightsError, read_tensors, write_tensors

FORMAT = "noisewalk checkpoint 2"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def save_checkpoint(file: Path, trainer: Trainer, progress: Mapping[str, object]) -> None:
    """Writes network, optimiser and random state, with the caller's `progress` (JSON values). Raises OSError.

    The trainer must not be training.
    """
    tensors = {f"network.{name}": value for name, value in trainer.network.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in trainer.average.items()}
    for name, parameter in trainer.network.named_parameters():
        state = trainer.optimizer.state.get(parameter, {})
        tensors |= {f"adam.{moment}.{name}": state[moment] for moment in _MOMENTS if moment in state}
    tensors["generator"] = trainer.generator.get_state()
    counters = {"steps": trainer.steps, "skipped": trainer.skipped}
    metadata = {"format": FORMAT, "counters": json.dumps(counters), "progress": json.dumps(dict(progress))}
    write_tensors(file, tensors, metadata)


def load_checkpoint(file: Path, trainer: Trainer) -> dict[str, object]:
    """Restores what `save_checkpoint` wrote into a trainer of the same settings, and returns `progress`.

    Raises WeightsError. The trainer must not be training.
    """
    tensors, metadata = read_tensors(file)
    if metadata.get("format") != FORMAT:
        raise WeightsError(f"{file}: not a noisewalk checkpoint")
    try:
        trainer.network.load_state_dict({n: tensors[f"network.{n}"] for n in trainer.network.state_dict()})
        for name, value in trainer.average.items():
            value.copy_(tensors[f"average.{name}"])
        for name, parameter in trainer.network.named_parameters():
            moments = {m: tensors[f"adam.{m}.{name}"] for m in _MOMENTS if f"adam.{m}.{name}" in tensors}
            if moments:
                trainer.optimizer.state[parameter] = {
                    m: value if m == "step" else torch.empty_like(parameter).copy_(value)
                    for m, value in moments.items()
                }
        trainer.generator.set_state(tensors["generator"])
        counters = json.loads(metadata["counters"])
        trainer.steps, trainer.skipped = counters["steps"], counters["skipped"]
        return json.loads(metadata["progress"])
    except (KeyError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{file}: damaged checkpoint ({str(error).splitlines()[0]})") from error
