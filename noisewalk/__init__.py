"""noisewalk: a path-traced walk that learns to denoise itself.

For renderers of one's own: `OnlineDenoiser` takes pairs of noisy frames (`NoisyPair` of two `Frame`s, seen by a
`Camera`) and gives denoised pictures. `TrainingSettings` says how it learns.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from noisewalk.denoiser.online import OnlineDenoiser
    from noisewalk.denoiser.trainer import TrainingSettings
    from noisewalk.renderer.frame import Camera, Frame, NoisyPair

__version__ = "0.1.0"
__all__ = ["Camera", "Frame", "NoisyPair", "OnlineDenoiser", "TrainingSettings", "__version__"]

_HOMES = {
    "Camera": "noisewalk.renderer.frame",
    "Frame": "noisewalk.renderer.frame",
    "NoisyPair": "noisewalk.renderer.frame",
    "OnlineDenoiser": "noisewalk.denoiser.online",
    "TrainingSettings": "noisewalk.denoiser.trainer",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first asked for (PEP 562): `--help` need not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'noisewalk' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
