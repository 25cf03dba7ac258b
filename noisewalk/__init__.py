"""noisewalk: a path-traced walk that learns to denoise itself.

For your own renderer: `OnlineDenoiser` takes pairs of noisy frames and gives denoised pictures. A `NoisyPair` is two
`Frame`s that a `Camera` sees. `TrainingSettings` says how the network learns.
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
    """Imports a public name when it is first used (PEP 562), so that `--help` does not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'noisewalk' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
