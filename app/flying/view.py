"""How the picture is shown: modes, tone maps and colors. Nothing is drawn here."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

# Name of the layer and what it is called on screen, in the order of the number keys.
MODES = {
    "denoised": "denoised",
    "noisy": "noisy average",
    "half": "one noisy frame",
    "reference": "reference",
    "albedo": "albedo",
    "normal": "normal",
    "error": "error",
    "estimated_error": "estimated error",
    "oidn": "Open Image Denoise",
}
BACKGROUND = (0.075, 0.08, 0.09)
TONES = {"paper": "paper's T", "srgb": "sRGB", "aces": "ACES-like"}
EXPOSURE_RANGE = (-12.0, 12.0)  # stops
ERRORS = {  # the modes in false colors, and their names
    "error": "|T(denoised) - T(reference)|",
    "estimated_error": "|T(denoised) - T(truth)|, estimated",
}
# matplotlib's `inferno` at 0, 1/8, ..., 1.
_INFERNO = np.array(
    [
        (0, 0, 4), (31, 12, 72), (85, 15, 109), (136, 34, 106), (186, 54, 85), (227, 89, 51), (249, 140, 10),
        (249, 201, 50), (252, 255, 164),
    ]
)  # fmt: skip


@dataclass
class DisplaySettings:
    """How the picture is shown. exposure: in stops. split: in [0, 1] of the picture's area, used if `split_on`.

    smooth: a magnified picture is interpolated; else its single pixels are shown.
    zoom: 1 fits the area. center: the place in the middle of the area, in [0, 1] of the picture.
    """

    left: str = "denoised"
    right: str = "noisy"
    split_on: bool = False
    split: float = 0.5
    exposure: float = 0.0
    tone: str = "paper"
    error_scale: float = 0.25
    smooth: bool = False
    zoom: float = 1.0
    center: tuple[float, float] = field(default=(0.5, 0.5))

    def shows(self, mode: str) -> bool:
        """Whether this is on the screen."""
        return mode == self.left or (self.split_on and mode == self.right)

    def fit(self) -> None:
        """The whole picture."""
        self.zoom, self.center = 1.0, (0.5, 0.5)


def colors(count: int) -> np.ndarray:
    """(count, 3) in [0, 255]: the false colors of errors from 0 to `error_scale`."""
    steps = np.linspace(0, len(_INFERNO) - 1, count)
    return np.stack([np.interp(steps, range(len(_INFERNO)), channel) for channel in _INFERNO.T], axis=1).round()
