"""A trainer's whole state on disk, so that training continues exactly where it stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch

from noisewalk.denoiser import history as past
from noisewalk.denoiser.history import History
from noisewalk.denoiser.trainer import Trainer
from noisewalk.denoiser.weights import WeightsError, read_tensors, write_tensors

FORMAT = "noisewalk checkpoint 5"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def save_checkpoint(file: Path, trainer: Trainer, history: History | None, progress: Mapping[str, object]) -> None:
    """Writes network, optimiser, random state and the walk's history. progress: JSON values of the caller.

    The trainer must be idle. Raises OSError.
    """
    tensors = {f"network.{name}": value for name, value in trainer.network.state_dict().items()}
    tensors |= {f"ema.{name}": value for name, value in trainer.ema_parameters.items()}
    for name, parameter in trainer.network.named_parameters():
        state = trainer.optimizer.state.get(parameter, {})
        tensors |= {f"adam.{moment}.{name}": state[moment] for moment in _MOMENTS if moment in state}
    tensors["generator"] = trainer.generator.get_state()
    if history is not None:
        tensors |= {f"history.{name}": value for name, value in past.to_tensors(history).items()}
    counters = {"steps": trainer.steps, "skipped": trainer.skipped}
    metadata = {"format": FORMAT, "counters": json.dumps(counters), "progress": json.dumps(dict(progress))}
    write_tensors(file, tensors, metadata)


def load_checkpoint(file: Path, trainer: Trainer) -> tuple[History | None, dict[str, object]]:
    """Reads what `save_checkpoint` wrote into a trainer of the same settings. Returns history and `progress`.

    The trainer must be idle. Raises WeightsError.
    """
    tensors, metadata = read_tensors(file)
    if metadata.get("format") != FORMAT:
        raise WeightsError(f"{file}: not a noisewalk checkpoint")
    try:
        trainer.network.load_state_dict({n: tensors[f"network.{n}"] for n in trainer.network.state_dict()})
        for name, value in trainer.ema_parameters.items():
            value.copy_(tensors[f"ema.{name}"])
        for name, parameter in trainer.network.named_parameters():
            moments = {m: tensors[f"adam.{m}.{name}"] for m in _MOMENTS if f"adam.{m}.{name}" in tensors}
            if moments:
                trainer.optimizer.state[parameter] = {
                    # The number of steps is on the parameter's device too: the fused optimiser needs it there.
                    m: value.to(parameter.device) if m == "step" else torch.empty_like(parameter).copy_(value)
                    for m, value in moments.items()
                }
        trainer.forget_recordings()
        trainer.generator.set_state(tensors["generator"])
        counters = json.loads(metadata["counters"])
        trainer.steps, trainer.skipped = counters["steps"], counters["skipped"]
        stored = {name.removeprefix("history."): t for name, t in tensors.items() if name.startswith("history.")}
        return past.from_tensors(stored) if stored else None, json.loads(metadata["progress"])
    except (KeyError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{file}: damaged checkpoint ({str(error).splitlines()[0]})") from error
