"""The reference of the view at which the camera rests. It is rendered between frames, and kept in the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from noisewalk.app.session import Session
    from noisewalk.renderer.frame import Camera
    from noisewalk.renderer.reference import Accumulation, Reference

MEASURABLE = 4  # a reference is used if it has so many times the samples of the frame


class LiveReference:
    """The reference of one view at a time. It belongs to a session and its thread. tell: gets a line when it fails."""

    def __init__(self, session: Session, tell: Callable[[str], None]) -> None:
        self._cache, self._wanted_spp = session.references, session.options.reference_spp
        self._tell = tell
        self._accumulation: Accumulation | None = None

    @property
    def spp(self) -> int:
        """Samples per pixel so far."""
        return self._accumulation.spp if self._accumulation else 0

    def find(self, camera: Camera, frame_spp: int, moving: bool) -> Reference | None:
        """The reference of this view as far as it is rendered; None if it is too noisy. Nothing is rendered here.

        frame_spp: samples per pixel of each half of the frames that it measures.
        """
        if not self._shows(camera):
            self.keep(frame_spp)
            if moving or self._cache.best(camera) is None:
                return None
            self._accumulation = self._cached(camera)
        return self._accumulation.reference() if self._accumulation and self._says_enough(frame_spp) else None

    def grow(self, camera: Camera, frame_spp: int) -> None:
        """Renders about as many samples as a frame has, until the wanted number is reached.

        The number is a power of two, because the renderer keeps compiled kernels for every number of samples.
        """
        if not self._shows(camera):
            self._accumulation = self._cached(camera)
        if self._accumulation is not None and self._accumulation.spp < self._wanted_spp:
            try:
                self._accumulation.add(1 << (frame_spp.bit_length() - 1))
            except OSError as error:
                self._tell(f"the reference cannot be cached: {error}")

    def keep(self, frame_spp: int) -> None:
        """Leaves the view. If its reference has enough samples, it goes into the cache."""
        accumulation = self._accumulation if self._says_enough(frame_spp) else None
        self._accumulation = None
        if accumulation is not None:
            try:
                accumulation.save()
            except OSError as error:
                self._tell(f"the reference cannot be cached: {error}")

    def _shows(self, camera: Camera) -> bool:
        shown = self._accumulation.camera if self._accumulation else None
        if shown is None or not np.array_equal(shown.to_world, camera.to_world):
            return False
        return (shown.fov_y, shown.principal_point) == (camera.fov_y, camera.principal_point)

    def _says_enough(self, frame_spp: int) -> bool:
        return self.spp >= MEASURABLE * 2 * frame_spp

    def _cached(self, camera: Camera) -> Accumulation | None:
        from noisewalk.renderer.reference import CacheError

        try:
            return self._cache.accumulation(camera)
        except CacheError as error:
            error.file.unlink(missing_ok=True)
            self._tell(f"{error} (deleted)")
            return None
