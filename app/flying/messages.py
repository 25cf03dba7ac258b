"""The messages between the window and the session thread. All are frozen, and quick to import."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from noisewalk.app.flying.pace import TARGET_MS

if TYPE_CHECKING:
    from noisewalk.denoiser.estimate import Estimate
    from noisewalk.renderer.camera_path import CameraPath


def printable(text: str) -> str:
    """Text that ImGui can draw: in a file's name, bytes that are no text become question marks."""
    return text.encode("utf-8", "replace").decode()


Phase = Literal["opening", "running", "failed", "closed"]


@dataclass(frozen=True)
class Knobs:
    """What can be set while the session runs. moving_ms: so long may a picture of a moving camera take."""

    train: bool = True
    iterations: int = 8
    crop: int = 256
    learning_rate: float = 3e-4
    spp: int = 8
    moving_ms: int = TARGET_MS


class Viewpoint(NamedTuple):
    """A camera without the size of its picture: pose (4, 4), vertical field of view in degrees, principal point."""

    to_world: np.ndarray
    fov_y: float
    principal_point: tuple[float, float] = (0.5, 0.5)

    def same_as(self, other: Viewpoint) -> bool:
        """Whether both are the same view."""
        return self[1:] == other[1:] and np.array_equal(self.to_world, other.to_world)


@dataclass(frozen=True, eq=False)
class Wish:
    """What the window wants to see. Only the newest wish counts.

    to_world:   (4, 4) pose in Mitsuba's axes; None for the scene's own view. fov_y and principal_point as in `Camera`.
    moving:     whether the person is moving the camera right now.
    path_frame: the number of the path's frame while each of them is waited for; None elsewhere.
    oidn:       whether Open Image Denoise's picture is shown: it is made only then.
    """

    knobs: Knobs
    to_world: np.ndarray | None = None
    fov_y: float = 45.0
    principal_point: tuple[float, float] = (0.5, 0.5)
    moving: bool = False
    path_frame: int | None = None
    oidn: bool = False


@dataclass(frozen=True)
class Setup:
    """What a session is opened with. Another one needs it opened again.

    width, height: of a full frame, in pixels. guide: whether Open Image Denoise advises the model.
    max_depth:     of paths, in Mitsuba's count: 1 sees lamps only; None is the scene's own.
    """

    width: int
    height: int
    model: str = "kernel"
    guide: bool = True
    max_depth: int | None = None


@dataclass(frozen=True)
class SceneFacts:
    """What the window needs to know about the open scene.

    film: width and height of the scene's own picture. max_spp: the most that fit into one frame.
    oidn: whether Open Image Denoise is installed.
    """

    name: str
    file: str
    views: dict[str, Viewpoint]
    distance: float
    path: CameraPath
    setup: Setup
    film: tuple[int, int]
    variant: str
    device: str
    warnings: tuple[str, ...]
    reference_spp: int
    max_spp: int
    saved_weights: Path | None
    oidn: bool = True

    @property
    def width(self) -> int:
        """Of a full frame, in pixels."""
        return self.setup.width

    @property
    def height(self) -> int:
        """Of a full frame, in pixels."""
        return self.setup.height


@dataclass(frozen=True, eq=False)
class Picture:
    """One frame to show. layers: (H, W, 3) float32 arrays or CUDA tensors by name, linear; `reference` may be absent.

    decibels: corrected PSNR of layers `noisy`, `denoised` and `oidn`, where a reference is good enough to measure with.
    bounds:   those of them that are at least so much: the reference is too noisy to tell more.
    estimate: of the error of `denoised`; its map is the layer `estimated_error`. Both absent while the network is
              untrained; the number also from previews.
    trained:  whether the network has learned anything, here or before; `denoised` is the noisy average until then.
    steps:    of training here.
    spp:      samples per pixel in `noisy` and `denoised`, of both halves together: while the camera rests, it grows.
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
    bounds: frozenset[str] = frozenset()
    spp: int = 0

    def psnr_text(self, layer: str) -> str:
        """A measured layer's PSNR, with a > where it is a bound."""
        return f"{'> ' * (layer in self.bounds)}{self.decibels[layer]:.2f} dB"


class Stage(NamedTuple):
    """A stage of opening a scene. began, ended: by `time.monotonic`; None while it lasts."""

    name: str
    began: float
    ended: float | None = None


@dataclass(frozen=True)
class Status:
    """The state of the session thread.

    note:     what it is doing now.
    failure:  why it has failed.
    stages:   of opening the scene, until its first full frame.
    training_failure: why nothing is learned any more; the picture goes on.
    """

    phase: Phase
    note: str
    scene: SceneFacts | None
    failure: str = ""
    stages: tuple[Stage, ...] = ()
    training_failure: str = ""

    def begun(self, stage: str, now: float) -> Status:
        """The same, in its next stage."""
        before = tuple(one if one.ended else one._replace(ended=now) for one in self.stages)
        return replace(self, note=stage, stages=(*before, Stage(stage, now)))


@dataclass(frozen=True)
class Message:
    """A message for the person. An error is shown until it is confirmed."""

    text: str
    error: bool = False
