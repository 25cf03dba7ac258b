"""One frame in memory: the layers of both halves, and the pair that is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from noisewalk.app.denoise.cameras import placed, points_at
from noisewalk.app.denoise.motion import Convention
from noisewalk.denoiser.features import finite
from noisewalk.denoiser.planes import from_planes, to_planes
from noisewalk.renderer.exr import Exr
from noisewalk.renderer.frame import Camera, Frame, NoisyPair

Planes = tuple[np.ndarray, ...]  # channels of a layer, (H, W) each, in the file's type
Window = tuple[slice, slice]  # rows and columns
WHOLE = (slice(None), slice(None))
COLOR = ""  # the layer to denoise, among further ones by name


@dataclass(frozen=True, eq=False)
class Half:
    """The needed layers of one half, in the pixel types of its file. colors: by name, COLOR and further layers."""

    colors: Mapping[str, Planes]
    features: Mapping[str, Planes]

    def frame(self, window: Window, layer: str) -> Frame:
        """A window as a frame, with this layer as color. Only the color of whole frames has positions."""
        color = mended(stacked(self.colors[layer], window))
        nothing = torch.zeros_like(color)
        albedo, normal = (
            stacked(self.features[name], window) if name in self.features else nothing for name in ("albedo", "normal")
        )
        return Frame(color, albedo.nan_to_num(0.0).clamp(0.0, 1.0), normal.nan_to_num(0.0).clamp(-1.0, 1.0))

    @property
    def position(self) -> torch.Tensor | None:
        """(H, W, 3), 0 where it is not finite."""
        return finite(stacked(self.features["position"], WHOLE)) if "position" in self.features else None

    @property
    def depth(self) -> np.ndarray | None:
        """(H, W): depth as the file has it."""
        return self.features["depth"][0].astype(np.float32) if "depth" in self.features else None

    @property
    def vectors(self) -> torch.Tensor | None:
        """(H, W, 2): motion as the file has it."""
        return stacked(self.features["motion"], WHOLE) if "motion" in self.features else None


@dataclass(frozen=True, eq=False)
class Loaded:
    """One frame in memory: the file of its first half, which is written again, and the layers of both halves.

    If there is only one half, it is used for both.

    camera:     the one that is written down for it, if any.
    follows:    whether the frame before is the one to which motion leads.
    motion:     what its vectors mean; None if they are of no use.
    along_rays: what its depth means: the distance to the camera, else that ahead of it.
    """

    index: int
    picture: Exr
    a: Half
    b: Half
    camera: Camera | None
    follows: bool
    motion: Convention | None
    along_rays: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.a.colors[COLOR][0].shape
        return height, width

    def pair(self) -> NoisyPair:
        """The whole frame, with its camera if that is known or its positions tell it."""
        positions, camera = self._placed()
        pair = self.part(WHOLE)
        a, b = (
            replace(frame, position=position, motion=self._motion(half, camera))
            for frame, half, position in zip((pair.a, pair.b), (self.a, self.b), positions, strict=True)
        )
        return replace(pair, a=a, b=b, camera=camera)

    def part(self, window: Window, layer: str = COLOR) -> NoisyPair:
        """A window, without what the history needs: only the color of whole frames has a history."""
        return NoisyPair(self.a.frame(window, layer), self.b.frame(window, layer), index=self.index)

    def _placed(self) -> tuple[Sequence[torch.Tensor | None], Camera | None]:
        """The positions of both halves, if they are known, and the camera that sees them."""
        positions = [half.position for half in (self.a, self.b) if half.position is not None]
        if len(positions) == 2:
            return placed(positions, self.camera)
        depths = [half.depth for half in (self.a, self.b) if half.depth is not None]
        if len(depths) == 2 and self.camera is not None:
            return [torch.from_numpy(points_at(self.camera, depth, self.along_rays)) for depth in depths], self.camera
        return (None, None), None

    def _motion(self, half: Half, camera: Camera | None) -> torch.Tensor | None:
        """Where the frame before is missing, positions lead to the one before that, and without a camera nothing."""
        if half.vectors is None or self.motion is None or (camera is not None and not self.follows):
            return None
        motion = self.motion.pixels(half.vectors)
        return motion if self.follows else torch.full_like(motion, torch.nan)

    def noisy(self, layer: str = COLOR) -> torch.Tensor:
        """(H, W, 3): the mean of both halves."""
        a, b = (mended(stacked(half.colors[layer], WHOLE)) for half in (self.a, self.b))
        return (a + b) / 2


def mended(color: torch.Tensor) -> torch.Tensor:
    """The image (H, W, 3). Each pixel that is not finite becomes the mean of the finite pixels in 5x5 around it.

    Half floats end at 65504. Brighter pixels are infinite in such files, and black would be farther from the truth.
    """
    good = torch.isfinite(color).all(dim=-1, keepdim=True)
    if good.all():
        return color
    counted = torch.cat([torch.where(good, color, 0.0), good.float()], dim=-1)
    around = from_planes(functional.avg_pool2d(to_planes(counted), 5, 1, 2))[0]
    return torch.where(good, color, around[..., :3] / around[..., 3:].clamp(min=1e-6))


def stacked(channels: Planes, window: Window) -> torch.Tensor:
    """(h, w, C) float32."""
    return torch.from_numpy(np.stack([channel[window] for channel in channels], axis=-1).astype(np.float32))
