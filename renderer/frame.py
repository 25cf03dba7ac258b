"""The data that travels between renderer, denoiser and app. Mitsuba is not used here."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole view of the scene, in Mitsuba's axes.

    to_world: (4, 4) float64, camera to world without scale. Columns are left (+x), up (+y), forward (+z), position.
    fov_y:    vertical field of view in degrees, in (0, 180), as if the principal point were in the picture's middle:
              the focal length f is height / (2 tan(fov_y / 2)) pixels, in both directions.
    width, height: size of the picture in pixels.
    principal_point: (x, y), where the optical axis meets the picture: from its top left, in widths and heights of the
              picture. (0.5, 0.5) is the middle. A shifted lens or a cropped film has it elsewhere, also outside [0, 1].

    A point at (left, up, forward) in the camera's axes is seen at x = principal_point[0] - left / forward * f / width,
    y = principal_point[1] - up / forward * f / height, both in [0, 1] from the picture's top left.
    """

    to_world: np.ndarray
    fov_y: float
    width: int
    height: int
    principal_point: tuple[float, float] = (0.5, 0.5)


@dataclass(frozen=True, eq=False)
class Frame:
    """One noisy rendering with its features; each (H, W, 3) float32 on one torch device, or a NumPy array of any type.

    color:    linear radiance.
    albedo:   in [0, 1]; 0 on mirrors, glass, lights and the background.
    normal:   shading normal in world space, length up to 1 (shorter where samples of a pixel disagree).
    position: first surface in world space, the mean over the pixel's samples; 0 on the background.
    motion:   (H, W, 2) in pixels, from where a point is seen to where it was in the frame before, x to the right and y
              down; not finite where that is unknown.

    Past frames are reprojected by motion or, without it, by positions. Without both there is no history.
    """

    color: torch.Tensor
    albedo: torch.Tensor
    normal: torch.Tensor
    position: torch.Tensor | None = None
    motion: torch.Tensor | None = None

    def to(self, device: torch.device) -> Frame:
        """Tensors on this device; those that are there already are not copied. Raises ValueError for other shapes."""
        position, motion = (
            None if image is None else to_tensor(image, device) for image in (self.position, self.motion)
        )
        color, albedo, normal = (to_tensor(image, device) for image in (self.color, self.albedo, self.normal))
        shapes = {image.shape for image in (color, albedo, normal, position) if image is not None}
        if len(shapes) > 1 or color.shape[2:] != (3,):
            found = ", ".join(sorted(str(tuple(shape)) for shape in shapes))
            raise ValueError(f"color, albedo, normal and position must all be (height, width, 3), but are {found}")
        if motion is not None and motion.shape != (*color.shape[:2], 2):
            raise ValueError(f"motion must be (height, width, 2) of the color, but is {tuple(motion.shape)}")
        return Frame(color, albedo, normal, position, motion)


def to_tensor(image: torch.Tensor | np.ndarray, device: torch.device) -> torch.Tensor:
    """The image as a tensor on this device; an array is copied, as float32: its owner may go on writing to it."""
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(np.array(image, dtype=np.float32))
    return image.to(device)


@dataclass(frozen=True, eq=False)
class NoisyPair:
    """Two independent renderings `a` and `b` of one view, `spp` samples per pixel each; `index` is the frame number.

    camera: what saw both; without it and positions, or motion, past frames are of no use to the present one.
    clean: (H, W, 3) float32 linear radiance, independent of both: the target of training. Without it, each half is the
           target of the other.
    """

    a: Frame
    b: Frame
    camera: Camera | None = None
    spp: int = 1
    index: int = 0
    clean: torch.Tensor | None = None

    def to(self, device: torch.device) -> NoisyPair:
        """Tensors on this device, like `Frame.to`."""
        clean = None if self.clean is None else to_tensor(self.clean, device)
        return replace(self, a=self.a.to(device), b=self.b.to(device), clean=clean)

    def mean(self, part: str) -> torch.Tensor:
        """(H, W, C): the average of both halves' `color`, `albedo`, `normal`, `position` or `motion` (which both must
        have).
        """
        average: torch.Tensor = (getattr(self.a, part) + getattr(self.b, part)) / 2
        return average

    def have(self, part: str) -> bool:
        """Whether both halves have their `position` or `motion`."""
        return getattr(self.a, part) is not None and getattr(self.b, part) is not None

    @property
    def middle(self) -> Frame:
        """The averages of all that both halves have, as one frame."""
        parts = ("color", "albedo", "normal", "position", "motion")
        return Frame(**{part: self.mean(part) for part in parts if self.have(part)})
