"""Renders noisy pairs: path traced color with albedo and normals, twice, independently."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from noisewalk.renderer import RenderCancelled, RendererError
from noisewalk.renderer.alone import alone, free_alone
from noisewalk.renderer.frame import Camera, Frame, NoisyPair
from noisewalk.renderer.mitsuba_files import innermost, one_line
from noisewalk.renderer.scene import Scene

MAX_SAMPLES = 2**28
BLOCK = 32  # Mitsuba's largest block, in pixels a side
# Beginnings of Dr.Jit's errors where it cannot record: a lens whose variables Mitsuba 3.9 hides, or no shapes.
_UNRECORDABLE = "record(): "

Pass = tuple[Any, int]  # an integrator, and a seed


def frame_seed(run_seed: int, index: int, half: int) -> int:
    """Seed of one half (0 or 1) of frame `index` < 2**30: 32 bits, never repeated within a run."""
    return _seed(run_seed * 0x9E3779B1 + index, half)


def reference_seed(index: int, half: int) -> int:
    """Seed of pass `index` < 2**30 of a reference's half. No frame has it, so that no reference has a frame's noise."""
    return _seed(index, 2 + half)


def _seed(number: int, kind: int) -> int:
    return (4 * number + kind) % 2**32  # the kind is in the lowest bits: a large scalar picture keeps no others


def _scalar_seed(seed: int, width: int, height: int) -> int:
    """The seed for Mitsuba's scalar variant with which pictures of different seeds share no stream of random numbers.

    Mitsuba starts the stream of a pixel from 32 bits: seed x width x height + the pixel's number. That number counts
    whole blocks of at most 32 x 32 pixels, also outside of the picture. So neighbouring seeds would share streams. Here
    each picture gets a power of two of them, `slot`, from `seed` x `slot` on. The seed for this comes from the inverse
    of the odd part of width x height. With 512x512 pixels there are 2**13 such seeds, and more with fewer pixels.
    """
    slot = 1 << ((width + BLOCK - 1) * (height + BLOCK - 1) - 1).bit_length()
    even = (width * height) & -(width * height)  # the largest power of two that divides it, at most a slot
    modulus = 2**32 // even
    return seed * slot % 2**32 // even * pow(width * height // even, -1, modulus) % modulus


class Sensor:
    """The scene's sensor at one size, moved from camera to camera without recompiling kernels.

    Several of these, of different sizes, may take turns on one scene. The sensor's film is the picture: a crop of the
    scene is in the camera's principal point.
    """

    def __init__(self, scene: Scene, width: int, height: int) -> None:
        import mitsuba as mi

        self.scene, self.width, self.height = scene, width, height
        self._params = mi.traverse(scene.sensor)
        # Dr.Jit's recordings, by integrators and spp. Without tracing there is nothing to record.
        self._recordings: dict[tuple[Any, ...], Any] = {}
        self._records = scene.variant != "scalar_rgb"
        self.warnings: list[str] = []  # for the person, found while rendering

    def _look(self, camera: Camera) -> None:
        import mitsuba as mi

        if (camera.width, camera.height) != (self.width, self.height):
            raise ValueError(f"camera is {camera.width}x{camera.height}, the film {self.width}x{self.height}")
        # Another one may have set another size. Each size compiles its kernels once; going back costs nothing.
        film, corner = np.array([self.width, self.height]), np.zeros(2, dtype=int)
        if "principal_point_offset_x" in self._params:
            self._params["principal_point_offset_x"] = 0.5 - camera.principal_point[0]
            self._params["principal_point_offset_y"] = 0.5 - camera.principal_point[1]
        else:  # a thin lens, whose axis meets the middle of the film: the picture becomes a crop of that
            film, corner = _film_around(film, np.array(camera.principal_point))
        self._params["film.size"] = film.tolist()
        self._params["film.crop_size"] = [self.width, self.height]
        self._params["film.crop_offset"] = corner.tolist()
        self._params.set_dirty("film.crop_size")  # otherwise a film of another size sets the crop to its whole size
        aspect = float(film[0]) / self.height
        self._params["to_world"] = mi.ScalarTransform4f(camera.to_world)
        self._params["x_fov"] = math.degrees(2 * math.atan(math.tan(math.radians(camera.fov_y) / 2) * aspect))
        self._params.update()

    def render(self, camera: Camera, passes: Sequence[Pass], spp: int) -> list[Any]:
        """What `camera` sees, for each pass: Dr.Jit tensors (height, width, channels), possibly not evaluated yet.

        Mitsuba traces the kernels again for each call, which takes longer than rendering a small picture. So Dr.Jit
        records the kernels once, and then launches them again: the same pictures, bit by bit. Before each launch it
        looks through the whole scene, which takes milliseconds. So several passes in one call are faster.

        Raises ValueError if the camera's size is not this sensor's, RendererError if Mitsuba or Dr.Jit cannot render
        the scene or have too little memory, and RenderCancelled after Ctrl-C. Mitsuba's scalar variant then returns at
        once, with an incomplete picture; pictures of the other variants are always complete.
        """
        try:
            with alone():
                self._look(camera)
                return self._rendered(passes, spp)
        except RuntimeError as error:
            raise RendererError(one_line(self.scene.file, error)) from error

    def _rendered(self, passes: Sequence[Pass], spp: int) -> list[Any]:
        if self._records:
            try:
                return self._recorded(passes, spp)
            except RuntimeError as error:
                if not str(innermost(error)).startswith(_UNRECORDABLE):
                    raise
                self._records = False
                self.warnings.append(f"{self.scene.file}: its kernels cannot be recorded, which is slower")
        return [self._traced(integrator, spp, seed) for integrator, seed in passes]

    def render_bare(self, camera: Camera, integrator: Any, spp: int, seed: int) -> Any:
        """One pass of `render` by a plain call of `mi.render`, which traces its kernels again."""
        with alone():
            self._look(camera)
            return self._traced(integrator, spp, seed)

    def _traced(self, integrator: Any, spp: int, seed: int) -> Any:
        import mitsuba as mi

        if self.scene.variant == "scalar_rgb":
            seed = _scalar_seed(seed, self.width, self.height)
        image = mi.render(self.scene.mi_scene, sensor=self.scene.sensor, integrator=integrator, spp=spp, seed=seed)
        if integrator.should_stop():
            raise RenderCancelled
        return image

    def _recorded(self, passes: Sequence[Pass], spp: int) -> list[Any]:
        import drjit as dr
        import mitsuba as mi

        # Dr.Jit distinguishes recordings by their input arrays. Integrator, spp and film size are not among those.
        integrators = [integrator for integrator, _ in passes]
        recording = self._recordings.get((*integrators, spp))
        if recording is None:

            def trace(scene: Any, sensor: Any, integrators: list[Any], seeds: list[Any]) -> list[Any]:
                return [
                    mi.render(scene, sensor=sensor, integrator=integrator, spp=spp, seed=seed)
                    for integrator, seed in zip(integrators, seeds, strict=True)
                ]

            recording = self._recordings[*integrators, spp] = dr.freeze(trace)
        seeds = [mi.UInt32(seed) for _, seed in passes]
        dr.make_opaque(seeds)  # otherwise they would be recorded as constants
        images: list[Any] = recording(self.scene.mi_scene, self.scene.sensor, integrators, seeds)
        return images


def _film_around(size: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smallest film around a picture whose middle is at `centre`, and the picture's corner in it: (2,) pixels."""
    film = (2 * np.maximum(centre, 1 - centre) * size).round().astype(int)
    return film, np.where(centre < 0.5, film - size, 0)


class PathTracer:
    """Renders pairs of `width` x `height` at `spp` samples per pixel each, with seeds that follow from `seed`.

    The scene's variant must be current in the calling thread. Tensors are on the GPU with CUDA variants, else on the
    CPU. They share Dr.Jit's memory, except with the scalar variant, which has none. Raises RendererError for frames
    that are too large.
    """

    def __init__(self, scene: Scene, width: int, height: int, spp: int, seed: int) -> None:
        import mitsuba as mi

        if width * height * spp > MAX_SAMPLES:
            raise RendererError(f"{width}x{height} at {spp} spp: more than {MAX_SAMPLES} samples in one frame")
        self.sensor = Sensor(scene, width, height)
        self._spp, self._seed = spp, seed
        # A nested aov(path) costs twice as much as `path` and an `aov` without child, both with the same seed. Their
        # samples in a pixel are the same, except in the scalar variant, where a whole block has one stream of random
        # numbers.
        with alone():
            self.features = mi.load_dict({"type": "aov", "aovs": "albedo:albedo,normal:sh_normal,position:position"})
        free_alone(self, self.features)

    def render_pair(self, camera: Camera, index: int, check: Callable[[], None] = lambda: None) -> NoisyPair:
        """Frame `index` of the walk, twice: the halves share nothing but the view.

        check: called between the halves if a frame takes long. What it raises ends the frame. Raises RenderCancelled on
        Ctrl-C.
        """
        seeds = [frame_seed(self._seed, index, half) for half in (0, 1)]
        if self.sensor.scene.variant.startswith("cuda"):
            a, b = self._render(camera, seeds)
        else:
            (a,) = self._render(camera, seeds[:1])
            check()
            (b,) = self._render(camera, seeds[1:])
        return NoisyPair(a, b, camera, self._spp, index)

    def _render(self, camera: Camera, seeds: list[int]) -> list[Frame]:
        passes = [(integrator, seed) for seed in seeds for integrator in (self.sensor.scene.integrator, self.features)]
        images = [to_torch(image) for image in self.sensor.render(camera, passes, self._spp)]
        # Mitsuba's albedo reaches 187 on rough conductors.
        return [
            Frame(color, features[..., 0:3].clamp(0.0, 1.0), features[..., 3:6], features[..., 6:9])
            for color, features in zip(images[::2], images[1::2], strict=True)
        ]


def to_torch(image: Any) -> torch.Tensor:
    """A picture of `Sensor.render` as a tensor that shares its memory. On the CPU it is finished."""
    return image.torch() if hasattr(image, "torch") else torch.from_numpy(np.array(image, dtype=np.float32))
