"""History: noisy radiance of past frames, accumulated and reprojected into the next frame."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from noisewalk.denoiser.features import finite
from noisewalk.denoiser.planes import from_planes, to_planes
from noisewalk.renderer.frame import Camera, Frame, NoisyPair

LONGEST = 12.0  # frames in the mean; with more, it would blur more, and ghosts would stay longer
# With larger differences, the point seen before is another one. On one surface, positions differ by less than the
# size of a pixel there.
POSITION_TOLERANCE = 0.015  # of the distance to the camera
NORMAL_TOLERANCE = 0.3
ALBEDO_TOLERANCE = 0.2
OUTSIDE = 2.0  # of the picture, which goes from -1 to 1
DISTANCE_TOLERANCE = 0.1  # of the distance to the camera, which may change from frame to frame where things move


@dataclass(frozen=True, eq=False)
class History:
    """The mean radiance of the last frames, as the newest of them was seen.

    camera: what saw it; None if that is unknown, like `position`. Then only motion leads here.
    index: of the newest of these frames.
    age:   (H, W, 1), over how many frames the mean is, at most 12.
    radiance, position, albedo, normal: (H, W, 3), position in world space.
    shown: (H, W, 3) radiance, the denoised picture of the newest frame, if it was denoised.

    Noise2Noise's condition holds. The history is made of earlier frames, whose samples have nothing to do with the
    present target. Each half looks it up by its own positions or motion: where a half looks, and what it takes for the
    same point, depends on no sample of the other half, which is its target.
    """

    camera: Camera | None
    index: int
    radiance: torch.Tensor
    age: torch.Tensor
    position: torch.Tensor | None
    albedo: torch.Tensor
    normal: torch.Tensor
    shown: torch.Tensor | None = None

    def reproject(self, frame: Frame, camera: Camera | None = None) -> torch.Tensor:
        """Radiance and age (H, W, 4) at the points that `frame` shows; 0 where they were not seen before.

        A point was seen before if it lies in the old picture, and if normal and albedo there agree, and its position.
        Where motion leads, a thing may have moved: its distance to the camera takes the place of its position, if
        `camera`, which sees the frame, is known. Without motion and positions in the frame, all is 0.
        """
        grid, same = self._points(frame, camera)
        return torch.where(same, _looked_up(torch.cat([self.radiance, self.age], dim=-1), grid), 0.0)

    def reproject_shown(self, frame: Frame, camera: Camera | None = None) -> torch.Tensor | None:
        """The shown picture at these points, and how much of it was seen, 1 or 0: (H, W, 4). None if there is none.

        It is looked up sharply: it comes from a picture that was looked up before, and would blur more in each frame.
        """
        if self.shown is None:
            return None
        grid, same = self._points(frame, camera)
        return torch.where(same, torch.cat([_sharply_looked_up(self.shown, grid), same.float()], dim=-1), 0.0)

    def _points(self, frame: Frame, camera: Camera | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Where this history has the points that `frame` shows, (H, W, 2) in [-1, 1], and whether, (H, W, 1)."""
        found = self._led(frame, camera) if frame.color.shape == self.radiance.shape else None
        if found is None:
            nowhere = torch.zeros_like(frame.color)
            return nowhere[..., :2], nowhere[..., :1].bool()
        grid, same = found
        albedo, normal = _looked_up(torch.cat([self.albedo, self.normal], dim=-1), grid).split(3, dim=-1)
        same = same & (grid.abs().amax(dim=-1) < 1.0)
        same &= (normal - frame.normal).norm(dim=-1) < NORMAL_TOLERANCE
        same &= (albedo - frame.albedo).norm(dim=-1) < ALBEDO_TOLERANCE
        return grid, same[..., None]

    def _led(self, frame: Frame, camera: Camera | None) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Where motion or position lead, (H, W, 2), and whether the point there may be the same, (H, W)."""
        if frame.motion is not None:
            return self._by_motion(frame, frame.motion, camera)
        if frame.position is None or self.position is None or self.camera is None:
            return None
        return self._by_position(frame.position, self.position, self.camera)

    def _by_motion(
        self, frame: Frame, motion: torch.Tensor, camera: Camera | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        grid = moved_grid(motion)
        # The background has no normal, and its motion is often 0 whatever the camera does.
        hit = frame.normal.any(dim=-1) | (~frame.normal.any() & frame.albedo.any(dim=-1))
        if frame.position is None or camera is None or self.position is None or self.camera is None:
            return grid, hit
        now, before = _distance(camera, frame.position), _distance(self.camera, _looked_up(self.position, grid))
        return grid, hit & ((before - now).abs() < DISTANCE_TOLERANCE * now)

    @staticmethod
    def _by_position(position: torch.Tensor, old: torch.Tensor, camera: Camera) -> tuple[torch.Tensor, torch.Tensor]:
        grid, depth = _project(camera, position)
        apart = (_looked_up(old, grid) - position).norm(dim=-1)
        return grid, (depth > 0) & position.any(dim=-1) & (apart < POSITION_TOLERANCE * depth)


def moved_grid(motion: torch.Tensor) -> torch.Tensor:
    """Where motion (H, W, 2) in pixels leads from each pixel's center: (H, W, 2) in [-1, 1], outside if unknown."""
    height, width = motion.shape[:2]
    y, x = (torch.arange(length, device=motion.device) + 0.5 for length in (height, width))
    centers = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    size = torch.tensor([width, height], dtype=torch.float32, device=motion.device)
    return (2.0 * (centers + motion) / size - 1.0).nan_to_num(OUTSIDE, OUTSIDE, OUTSIDE)


def _project(camera: Camera, position: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the camera has these points in its picture, (H, W, 2) in [-1, 1], and their distance ahead, (H, W).

    The projection is that of `Camera`.
    """
    to_world = torch.as_tensor(camera.to_world, dtype=torch.float32, device=position.device)
    left, up, forward = ((position - to_world[:3, 3]) @ to_world[:3, :3]).unbind(dim=-1)
    half = math.tan(math.radians(camera.fov_y) / 2) * forward.clamp(min=1e-6)
    x, y = (2.0 * middle - 1.0 for middle in camera.principal_point)
    return torch.stack([x - left / (half * camera.width / camera.height), y - up / half], dim=-1), forward


def _distance(camera: Camera, position: torch.Tensor) -> torch.Tensor:
    """How far the points (H, W, 3) are from the camera, (H, W)."""
    center = torch.as_tensor(camera.to_world[:3, 3], dtype=torch.float32, device=position.device)
    return (position - center).norm(dim=-1)


def _looked_up(image: torch.Tensor, grid: torch.Tensor, mode: str = "bilinear") -> torch.Tensor:
    """The image (H, W, C) at the places `grid` (h, w, 2): (h, w, C)."""
    image = image.to(grid.device)  # a history from a checkpoint is in the host's memory
    planes = functional.grid_sample(to_planes(image), grid[None], mode=mode, padding_mode="border", align_corners=False)
    return from_planes(planes)[0]


def _sharply_looked_up(image: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Like `_looked_up`, bicubic, and within the range of the nearest 3x3 pixels: bright edges get no dark rims."""
    brightest, darkest = (
        sign * from_planes(functional.max_pool2d(sign * to_planes(image), 3, stride=1, padding=1))[0]
        for sign in (1, -1)
    )
    lowest, highest = (_looked_up(limit, grid, "nearest") for limit in (darkest, brightest))
    return _looked_up(image, grid, "bicubic").clamp(lowest, highest)


def accumulate(pair: NoisyPair, past_a: torch.Tensor, past_b: torch.Tensor) -> History | None:
    """The history with this pair added; None without motion, and without positions or a camera.

    past_a, past_b: (H, W, 4) radiance and age, from `reproject` for each half. The mean of both is weighted by age:
    where only one half has seen the point before, the 0 of the other is no radiance.
    """
    placed = pair.have("position") and pair.camera is not None
    if not placed and not pair.have("motion"):
        return None
    position = pair.mean("position") if placed else None
    color = (finite(pair.a.color) + finite(pair.b.color)) / 2  # a pixel that is not finite must not break the sum
    ages = past_a[..., 3:] + past_b[..., 3:]
    before = (past_a[..., :3] * past_a[..., 3:] + past_b[..., :3] * past_b[..., 3:]) / ages.clamp(min=1e-6)
    age = (ages / 2).clamp(max=LONGEST - 1.0)
    radiance = (before * age + color) / (age + 1.0)
    albedo, normal = pair.mean("albedo"), pair.mean("normal")
    return History(pair.camera, pair.index, radiance, age + 1.0, position, albedo, normal)


_PARTS = ("radiance", "age", "position", "albedo", "normal", "shown")


def to_tensors(history: History) -> dict[str, torch.Tensor]:
    """The history as tensors, for a file."""
    parts = {name: getattr(history, name) for name in _PARTS} | {"index": torch.tensor(history.index)}
    if history.camera is not None:
        camera = history.camera
        lens = torch.tensor([camera.fov_y, *camera.principal_point], dtype=torch.float64)
        parts["view"] = torch.cat([torch.as_tensor(camera.to_world).flatten(), lens])
    return {name: part for name, part in parts.items() if part is not None}


def from_tensors(tensors: Mapping[str, torch.Tensor]) -> History:
    """The inverse of `to_tensors`. Raises KeyError or ValueError."""
    radiance, age, albedo, normal = (tensors[name] for name in ("radiance", "age", "albedo", "normal"))
    camera = None
    if "view" in tensors:
        height, width = age.shape[:2]
        *to_world, fov_y, x, y = tensors["view"].tolist()
        camera = Camera(np.array(to_world).reshape(4, 4), fov_y, width, height, (x, y))
    position, shown = tensors.get("position"), tensors.get("shown")
    return History(camera, int(tensors["index"]), radiance, age, position, albedo, normal, shown)
