"""From what the session has made to what is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from noisewalk.app.flying.messages import Picture, Wish
from noisewalk.app.flying.opened import viewpoint_of
from noisewalk.app.flying.series import Sample

if TYPE_CHECKING:
    from noisewalk.app.session import Result


def picture_of(result: Result, wish: Wish, preview: bool, reference_spp: int, oidn: bool) -> Picture:
    """The picture of a frame. On a GPU it waits until all its layers are computed. oidn: with that layer."""
    measured, pair, training = result.measurement, result.pair, result.training
    assert pair.camera is not None
    layers, decibels, estimate = _layers(result), dict[str, float](), result.estimate
    if measured:
        decibels = {"noisy": measured.psnr_noisy_corrected, "denoised": measured.psnr_shown_corrected}
        layers["reference"] = _shared(measured.reference)
    if oidn:
        _add_oidn(result, layers, decibels)
    if training.trained:
        layers["estimated_error"] = _shared(estimate.error_map)
    else:  # a fresh network has learned nothing to show
        layers["denoised"] = layers["noisy"]
        decibels.pop("denoised", None)
    _complete(layers)
    return Picture(
        number=pair.index,
        layers=layers,
        viewpoint=viewpoint_of(pair.camera),
        preview=preview,
        path_frame=wish.path_frame,
        decibels=decibels,
        noise_floor=measured.noise_floor if measured else None,
        bounds=frozenset(n for n, value in decibels.items() if measured and measured.is_bound(value)),
        estimate=estimate if training.trained and not preview else None,
        reference_spp=reference_spp,
        trained=training.trained,
        steps=training.steps,
        skipped_pairs=training.skipped_pairs,
        skipped_steps=training.skipped_steps,
        spp=2 * pair.spp,
    )


def sample_of(result: Result, picture: Picture) -> Sample:
    """What the graphs show of it."""
    measured, training = result.measurement, result.training
    numbers = None
    if measured:
        numbers = measured.psnr_noisy_corrected, measured.psnr_shown_corrected, measured.noise_floor
    estimated = result.estimate.at_least if training.trained else None
    stages = result.milliseconds | {"train": training.milliseconds}
    return Sample(picture.number, numbers, estimated, training.report.loss, stages)


def _layers(result: Result) -> dict[str, Any]:
    return {
        "denoised": _shared(result.shown),
        "noisy": _shared(result.noisy),
        "half": _shared(result.newest.a.color),
        "albedo": _shared(result.pair.mean("albedo")),
        "normal": _shared(result.pair.mean("normal")),
    }


def _add_oidn(result: Result, layers: dict[str, Any], decibels: dict[str, float]) -> None:
    from noisewalk.denoiser.metrics import psnr

    image, measured = result.by_open_image_denoise(), result.measurement
    layers["oidn"] = _shared(image)
    if measured:
        decibels["oidn"] = psnr(image, measured.reference, measured.reference_noise)


def _complete(layers: Mapping[str, Any]) -> None:
    """Waits until a GPU has computed them. The window reads them on a stream that does not wait (see `upload`)."""
    if any(not isinstance(layer, np.ndarray) for layer in layers.values()):
        import torch

        torch.cuda.current_stream().synchronize()


def _shared(image: Any) -> Any:
    """The tensor itself on a GPU, its memory as an array on the CPU."""
    return image if image.is_cuda else image.numpy()
