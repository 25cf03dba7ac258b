"""What the window and the session thread tell each other. Frozen, and light to import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from noisewalk.denoiser.estimate import Estimate
    from noisewalk.renderer.camera_path import CameraPath


def printable(text: str) -> str:
    """What ImGui can draw: bytes of a file's name that are no text become question marks."""
    return text.encode("utf-8", "replace").decode()


Phase = Literal["opening", "running", "failed", "closed"]


@dataclass(frozen=True)
class Knobs:
    """What the training panel sets."""

    train: bool = True
    iterations: int = 8
    crop: int = 256
    learning_rate: float = 3e-4
    spp: int = 8


class Viewpoint(NamedTuple):
    """What a camera has at any size: pose (4, 4), vertical field of view in degrees, principal point (see `Camera`)."""

    to_world: np.ndarray
    fov_y: float
    principal_point: tuple[float, float] = (0.5, 0.5)

    def same_as(self, other: Viewpoint) -> bool:
        """Whether both see the same."""
        return self[1:] == other[1:] and np.array_equal(self.to_world, other.to_world)


@dataclass(frozen=True, eq=False)
class Wish:
    """What the window wants to see; the newest counts.

    to_world:   (4, 4) pose in Mitsuba's axes; None for the scene's own view. fov_y and principal_point as in `Camera`.
    moving:     whether the person is moving the camera right now.
    path_frame: the frame of the path that this pose is, while a path plays; None in free flight.
    """

    knobs: Knobs
    to_world: np.ndarray | None = None
    fov_y: float = 45.0
    principal_point: tuple[float, float] = (0.5, 0.5)
    moving: bool = False
    path_frame: int | None = None


@dataclass(frozen=True)
class SceneFacts:
    """What the window needs to know of the scene that is open. max_spp: the most that fit into one of its frames."""

    name: str
    file: str
    views: dict[str, Viewpoint]
    distance: float
    path: CameraPath
    width: int
    height: int
    variant: str
    device: str
    warnings: tuple[str, ...]
    reference_spp: int
    max_spp: int
    saved_weights: Path | None


@dataclass(frozen=True, eq=False)
class Picture:
    """One frame to show. layers: (H, W, 3) float32 arrays or CUDA tensors by name, linear; `reference` may be absent.

    decibels: corrected PSNR of layers `noisy` and `denoised`, where a reference is good enough to measure with.
    estimate: of the error of `denoised`; its map is the layer `estimated_error`. Both absent while the network is
              untrained; the number also from previews.
    trained:  whether the network has learned anything, here or before; `denoised` is the noisy average until then.
    steps:    of training here.
    """

    number: int
    layers: dict[str, Any]
    viewpoint: Viewpoint
    preview: bool
    path_frame: int | None
    decibels: dict[str, float]
    noise_floor: float | None
    estimate: Estimate | None
    reference_spp: int
    trained: bool
    steps: int
    skipped_pairs: int
    skipped_steps: int


@dataclass(frozen=True)
class Status:
    """Where the session thread is. `failed` carries the cause; `note` is what it does at the moment."""

    phase: Phase
    note: str
    scene: SceneFacts | None
    failure: str = ""


@dataclass(frozen=True)
class Message:
    """Something to tell the person, once. An error is shown until it is confirmed."""

    text: str
    error: bool = False
