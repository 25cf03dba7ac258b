"""NVIDIA's OptiX denoiser, through Mitsuba. A CUDA variant must be current in the calling thread."""

from __future__ import annotations

from typing import Any

import torch

from noisewalk.renderer.frame import Camera, Frame


class OptixDenoiser:
    """Denoises frames of one size from color, albedo and normal."""

    def __init__(self, width: int, height: int) -> None:
        import mitsuba as mi

        self._denoise: Any = mi.OptixDenoiser(input_size=mi.ScalarVector2u(width, height), albedo=True, normals=True)

    def __call__(self, frame: Frame, camera: Camera) -> torch.Tensor:
        """The denoised frame: (H, W, 3) float32 linear radiance. `frame` is on the GPU; `camera` saw it."""
        import mitsuba as mi

        tensor: Any = mi.TensorXf  # its type stub does not know torch tensors
        color, albedo, normal = (tensor(part.contiguous()) for part in (frame.color, frame.albedo, frame.normal))
        # It takes normals in camera space.
        to_sensor = mi.Transform4f(camera.to_world).inverse()
        return self._denoise(color, albedo=albedo, normals=normal, to_sensor=to_sensor).torch()
