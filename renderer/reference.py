"""References: progressive, on disk, resumable after a kill, in two independent halves."""

from __future__ import annotations

import glob
import hashlib
import math
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from noisewalk.renderer import RendererError
from noisewalk.renderer.files import make_folder, written_aside
from noisewalk.renderer.frame import Camera
from noisewalk.renderer.path_tracer import Sensor, reference_seed
from noisewalk.renderer.scene import Scene

T = TypeVar("T")

FORMAT = "noisewalk reference 2"
MAX_BYTES = 4 * 2**30
SAVE_SECONDS = 5.0
ABANDONED_SECONDS = 3600.0  # an older temporary file was left by a killed process
SAMPLES_PER_PASS = 2**22
CLEARED = 3  # another process may clear the cache so many times while a file is written
HEADER_BYTES = 1024  # at most, besides its pixels


class CacheError(RendererError):
    """A cached reference that cannot be used. The message is one line that names the `file` and the cause."""

    def __init__(self, file: Path, cause: str) -> None:
        super().__init__(f"{file}: {cause}")
        self.file = file


@dataclass(frozen=True, eq=False)
class Reference:
    """a, b: (H, W, 3) float32 linear radiance, independent, `spp / 2` samples per pixel each."""

    a: np.ndarray
    b: np.ndarray
    spp: int

    @property
    def mean(self) -> np.ndarray:
        """(H, W, 3) float32: the reference itself, from all `spp` samples."""
        return (self.a + self.b) / 2


class ReferenceCache:
    """References of `scene` at one size, kept under `folder`.

    The key contains all that decides the picture: the scene's content and files, integrator, camera and size. Each
    number of samples has its own file, so that the same call gives the same reference, whatever else is in the cache.
    Files are written under another name, then renamed. Above `max_bytes`, those that were not used for longest are
    deleted.
    """

    def __init__(self, folder: Path, scene: Scene, width: int, height: int, max_bytes: int = MAX_BYTES) -> None:
        self._folder, self._scene, self._max_bytes = folder, scene, max_bytes
        self._size = width, height
        self._sensor = Sensor(scene, width, height)

    def make_room_for(self, count: int) -> None:
        """Raises the bound if `count` references do not fit: those of one walk must not delete each other.

        Raises CacheError if the disk has no room for them.
        """
        needed = (count + 1) * (self._bytes() + HEADER_BYTES)
        room = _insisting(self._room)
        if needed > room:
            gigabytes = f"{needed / 2**30:.1f} GiB, the disk has {room / 2**30:.1f} GiB"
            raise CacheError(self._folder, f"{count} references take {gigabytes}")
        self._max_bytes = max(self._max_bytes, needed)

    def _room(self) -> int:
        """Bytes on the disk that are free or that references take."""
        make_folder(self._folder)
        return shutil.disk_usage(self._folder).free + sum(size for _, size, _ in cached_files(self._folder))

    def file(self, camera: Camera, spp: int | None = None) -> Path:
        """The file of this view's reference of `spp`, existing or not. spp None: the one that `accumulation` grows."""
        return self._folder / f"{self._stem(camera)}-{spp or 'growing'}.safetensors"

    def _stem(self, camera: Camera) -> str:
        view = np.asarray(camera.to_world, dtype=np.float32) + 0.0  # as Mitsuba has it; adding 0 turns -0 into 0
        key = hashlib.sha256((FORMAT + self._scene.content_hash).encode())
        key.update(view.tobytes())
        key.update(repr((float(camera.fov_y), self._size, camera.principal_point)).encode())
        return f"{self._scene.name}-{key.hexdigest()[:24]}"

    def best(self, camera: Camera) -> Path | None:
        """The file of this view that has the most samples, if there is any."""
        files = self._folder.glob(f"{glob.escape(self._stem(camera))}-*.safetensors")
        return max(files, key=_samples, default=None)

    def get(self, camera: Camera, spp: int, progress: Callable[[int], None] = lambda spp: None) -> Reference:
        """The reference of this view with `spp` samples per pixel, an even number: loaded, continued or rendered.

        progress: gets the samples per pixel after every pass. What it raises ends the rendering, and what was rendered
        is kept. Raises CacheError for a corrupt file, OSError if the cache cannot be written.
        """
        accumulation = self.accumulation(camera, spp)
        progress(accumulation.spp)
        try:
            for pass_spp in self.pass_spp(accumulation.spp, spp):
                accumulation.add(pass_spp)
                progress(accumulation.spp)
        finally:
            accumulation.save()
        return accumulation.reference()

    def pass_spp(self, done: int, spp: int) -> list[int]:
        """The missing passes of a reference of `spp`, of which `done` are there: samples per pixel of each half."""
        most, missing = max(1, SAMPLES_PER_PASS // (self._size[0] * self._size[1])), max(0, -(-(spp - done) // 2))
        return [most] * (missing // most) + ([missing % most] if missing % most else [])

    def accumulation(self, camera: Camera, spp: int | None = None) -> Accumulation:
        """This view's reference of `spp` as far as it is rendered, to be continued; without spp, the best one.

        Raises CacheError for a corrupt file.
        """
        target = self.file(camera, spp)
        file = (self.best(camera) if spp is None else None) or target
        with suppress(FileNotFoundError):  # another process may clear the cache at any time
            loaded = self._load(file)
            with suppress(OSError):
                os.utime(file)  # used now, so deleted last
            return Accumulation(self, self._sensor, camera, target, *loaded)
        width, height = self._size
        nothing = [np.full((height, width, 3), np.nan, np.float32) for _ in range(2)]
        return Accumulation(self, self._sensor, camera, target, nothing, 0, 0)

    def _load(self, file: Path) -> tuple[list[np.ndarray], int, int]:
        hint = "delete it, or run 'noisewalk cache --clear'"
        try:
            with safe_open(file, framework="numpy") as stored:
                metadata = stored.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise CacheError(file, f"not a reference of this version: {hint}")
                halves = [stored.get_tensor(name) for name in ("a", "b")]
                per_half, passes = int(metadata["spp_per_half"]), int(metadata["passes"])
        except (SafetensorError, KeyError, ValueError) as error:
            if isinstance(error, CacheError):
                raise
            raise CacheError(file, f"corrupt reference ({error}): {hint}") from error
        if any(h.shape != (self._size[1], self._size[0], 3) or np.isinf(h).any() for h in halves):
            raise CacheError(file, f"corrupt reference (wrong size or infinite): {hint}")
        return halves, per_half, passes

    def save(self, file: Path, halves: list[np.ndarray], per_half: int, passes: int) -> None:
        """Writes what `accumulation` will read, to the last bit. Raises OSError if the cache cannot be written."""
        if self._stored_spp(file) >= per_half:  # another process has more samples
            return
        metadata = {"format": FORMAT, "spp_per_half": str(per_half), "passes": str(passes), "scene": self._scene.name}
        content = save(dict(zip("ab", halves, strict=True)), metadata)
        _insisting(lambda: self._write(file, content))

    def _write(self, file: Path, content: bytes) -> None:
        make_folder(self._folder)
        self._evict(file)
        with written_aside(file) as temporary:
            temporary.write_bytes(content)

    def _stored_spp(self, file: Path) -> int:
        """Per half; 0 where there is no file that can be read."""
        with suppress(OSError, CacheError):
            return self._load(file)[1]
        return 0

    def _evict(self, keep: Path) -> None:
        """Deletes files of killed processes and the references that were not used for longest, until one more fits."""
        oldest_first = sorted(cached_files(self._folder), key=lambda cached: cached.used)
        total = sum(cached.size for cached in oldest_first)
        for cached in oldest_first:
            file, size, _ = cached
            abandoned = file.suffix == ".tmp" and not being_written(cached)
            if abandoned or (total + self._bytes() > self._max_bytes and file != keep):
                total -= size
                file.unlink(missing_ok=True)

    def _bytes(self) -> int:
        """Size of the pixels of one reference."""
        return 2 * self._size[0] * self._size[1] * 3 * 4


def _insisting(action: Callable[[], T]) -> T:
    """Does it up to CLEARED times more, as long as another process clears the cache meanwhile."""
    for _ in range(CLEARED):
        with suppress(FileNotFoundError):
            return action()
    return action()


def render_pass(sensor: Sensor, camera: Camera, index: int, spp: int) -> list[np.ndarray]:
    """Both halves of pass `index`, (H, W, 3) float32 each, with `spp` samples per pixel each."""
    passes = [(sensor.scene.integrator, reference_seed(index, half)) for half in (0, 1)]
    return [np.array(image) for image in sensor.render(camera, passes, spp)]


class Accumulation:
    """One view's reference while it grows.

    spp: samples per pixel so far, of both halves together. passes: so far; this is also the number of the next one.
    """

    def __init__(
        self,
        cache: ReferenceCache,
        sensor: Sensor,
        camera: Camera,
        file: Path,
        halves: list[np.ndarray],
        per_half: int,
        passes: int,
    ) -> None:
        self.camera = camera
        self._cache, self._sensor, self._file = cache, sensor, file
        self._halves, self._per_half, self._passes = halves, per_half, passes
        self._saved_passes, self._saved_at = passes, time.monotonic()

    @property
    def spp(self) -> int:
        """Samples per pixel so far, of both halves together."""
        return 2 * self._per_half

    @property
    def passes(self) -> int:
        """Number of passes so far."""
        return self._passes

    def reference(self) -> Reference:
        """The mean of all passes; 0 where every pass was broken."""
        a, b = (np.nan_to_num(half, nan=0.0) for half in self._halves)
        return Reference(a, b, self.spp)

    def add(self, pass_spp: int) -> None:
        """Renders `pass_spp` more samples per pixel for each half. Saves every few seconds."""
        self.take(render_pass(self._sensor, self.camera, self._passes, pass_spp), pass_spp)

    def take(self, rendered: list[np.ndarray], pass_spp: int) -> None:
        """Adds the next pass, from this machine or another. Saves every few seconds."""
        self._per_half, self._passes = self._per_half + pass_spp, self._passes + 1
        self._halves = [_mean(h, r, pass_spp / self._per_half) for h, r in zip(self._halves, rendered, strict=True)]
        if time.monotonic() - self._saved_at > SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Writes it to the cache if something is new. Raises OSError if the cache cannot be written."""
        if self._passes > self._saved_passes:
            self._cache.save(self._file, self._halves, self._per_half, self._passes)
            self._saved_passes, self._saved_at = self._passes, time.monotonic()


def _mean(half: np.ndarray, rendered: np.ndarray, share: float) -> np.ndarray:
    """The mean of earlier passes and this one, (H, W, 3). share: of this pass, in [0, 1].

    Where a pixel of the pass is broken, for example by a sky with infinite texels, the mean stays; at first it is NaN.
    """
    good = np.isfinite(rendered).all(axis=-1, keepdims=True)
    rendered = np.where(good, rendered, 0.0)
    before = np.where(np.isnan(half), rendered, half)
    return np.where(good, before + (rendered - before) * share, half)


class CachedFile(NamedTuple):
    """used: the time of the last read or write, in seconds since 1970. size: in bytes."""

    file: Path
    size: int
    used: float


def _samples(file: Path) -> float:
    """Samples of each half by the file's metadata. A damaged file counts as most, so that it is found and named."""
    try:
        with safe_open(file, framework="numpy") as stored:
            return int(stored.metadata()["spp_per_half"])
    except (SafetensorError, KeyError, ValueError, TypeError):
        return math.inf
    except OSError:
        return 0


def cached_files(folder: Path) -> list[CachedFile]:
    """All files of a reference cache. Other processes may delete some meanwhile."""
    found = []
    files: list[Path] = []
    with suppress(FileNotFoundError):
        files += folder.glob("*")
    for file in files:
        with suppress(FileNotFoundError):
            if file.suffix in (".safetensors", ".tmp"):
                status = file.stat()
                found.append(CachedFile(file, status.st_size, status.st_mtime))
    return found


def being_written(cached: CachedFile) -> bool:
    """Whether another process may be writing this file now, by its time."""
    return cached.file.suffix == ".tmp" and abs(time.time() - cached.used) < ABANDONED_SECONDS
