"""Multi-layer EXR files of any renderer: read, changed and written again with all that was in them.

OpenEXR's own bindings do it: they keep every attribute, window, compression and pixel type. OpenImageIO 3.2 changes or
drops chromaticities, previews and attributes that it does not know.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from noisewalk.renderer import RendererError
from noisewalk.renderer.files import written_aside

MAGIC = b"\x76\x2f\x31\x01"
_OTHERS = {b"\x89PNG": "a PNG", b"\xff\xd8\xff": "a JPEG", b"#?RA": "a Radiance HDR file", b"II*\0": "a TIFF"}


class ExrError(RendererError):
    """An EXR file that cannot be used. The message is one line that names the file and the cause."""


@dataclass(frozen=True)
class ExrHeader:
    """The header of a file.

    width, height: of its data window; all parts have the same.
    channels: the names of all channels, in parts with names of their own under these: `part.channel`.
    attributes: of the first part.
    """

    width: int
    height: int
    channels: tuple[str, ...]
    attributes: Mapping[str, Any]


class Exr:
    """A whole file: `channels` are (height, width) arrays of float16, float32 or uint32 by name, as in `ExrHeader`.

    Change them, `add` others, and `write` the file. Everything else stays as it was.
    """

    def __init__(self, file: Path, parts: list[Any]) -> None:
        self.file, self._parts = file, parts
        self._places = _places(parts)

    @property
    def channels(self) -> dict[str, np.ndarray]:
        """All channels by name."""
        return {name: part.channels[own].pixels for name, (part, own) in self._places.items()}

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Those of the first part."""
        header: Mapping[str, Any] = self._parts[0].header
        return header

    def replace(self, name: str, pixels: np.ndarray) -> None:
        """Replaces the pixels of a channel, (height, width). Its type stays, and values are bounded to that."""
        part, own = self._places[name]
        old = part.channels[own]
        part.channels[own] = _channel(own, _as_type(pixels, old.pixels.dtype), old.pLinear)

    def add(self, beside: str, name: str, pixels: np.ndarray) -> None:
        """Adds a channel, in the same part and of the same type as the channel `beside`."""
        part, own = self._places[beside]
        part.channels[name] = _channel(name, _as_type(pixels, part.channels[own].pixels.dtype))
        self._places[name] = part, name

    def write(self, file: Path) -> None:
        """Writes the file under another name, then renames it. Of mipmaps, only the largest is kept. Raises OSError."""
        import OpenEXR

        for part in self._parts:
            if "tiles" in part.header:
                part.header["tiles"].mode = OpenEXR.ONE_LEVEL
        parts = [OpenEXR.Part(_without_channels(part), part.channels, part.name()) for part in self._parts]
        try:
            with written_aside(file) as temporary:
                OpenEXR.File(parts).write(str(temporary))
        except RuntimeError as error:
            raise OSError(f"cannot write {file}: {str(error).splitlines()[0]}") from error


def read_header(file: Path) -> ExrHeader:
    """Reads the header only. Raises ExrError if it is no EXR file, or of a kind that is not supported."""
    parts = _open(file, header_only=True)
    for part in parts:
        if "deep" in str(part.type()):
            raise ExrError(f"{file}: has deep pixels: flatten it first")
        if any((channel.xSampling, channel.ySampling) != (1, 1) for channel in part.header["channels"]):
            raise ExrError(f"{file}: has channels of less resolution (luminance and chroma): save it as RGB")
    sizes = {_size(part) for part in parts}
    if len(sizes) > 1:
        found = " and ".join(f"{width}x{height}" for width, height in sorted(sizes))
        raise ExrError(f"{file}: its parts have different data windows: {found}")
    width, height = sizes.pop()
    return ExrHeader(width, height, tuple(_places(parts)), parts[0].header)


def read_exr(file: Path) -> Exr:
    """Reads all of a file that `read_header` accepts. Raises ExrError if it is cut short or damaged."""
    expected = len(_open(file, header_only=True))
    parts = _open(file, header_only=False)
    if len(parts) < expected:
        # The library writes the error to standard output, and continues without the parts that it cannot read.
        raise ExrError(f"{file}: cut short or damaged")
    return Exr(file, parts)


def exr_of_layers(file: Path, layers: Mapping[str, np.ndarray]) -> Exr:
    """A new picture, not written yet. layers: (H, W, 3) float32 by name, "" for the picture itself; those with "normal"
    in their names have components X, Y, Z. Numbers that are not finite become 0: other programs stumble over them.
    """
    import OpenEXR

    channels = {}
    for layer, image in layers.items():
        for index, component in enumerate("XYZ" if "normal" in layer else "RGB"):
            name = f"{layer}.{component}" if layer else component
            channels[name] = _channel(
                name, np.where(np.isfinite(image[..., index]), image[..., index], 0.0).astype(np.float32)
            )
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    return Exr(file, [OpenEXR.Part(header, channels)])


def write_layers(file: Path, layers: Mapping[str, np.ndarray]) -> None:
    """Writes a new file with these layers (see `exr_of_layers`). Raises OSError."""
    exr_of_layers(file, layers).write(file)


def _open(file: Path, header_only: bool) -> list[Any]:
    import OpenEXR

    try:
        with open(file, "rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise ExrError(f"{file}: cannot be read: {error.strerror}") from error
    if start != MAGIC:
        kind = _OTHERS.get(start) or next((name for magic, name in _OTHERS.items() if start.startswith(magic)), None)
        of_display = ": its pixels are for a display, not linear radiance" if kind in ("a PNG", "a JPEG") else ""
        raise ExrError(f"{file}: not an EXR file" + (f", but {kind}{of_display}" if kind else ""))
    try:
        with _silent():
            parts = OpenEXR.File(str(file), separate_channels=True, header_only=header_only).parts
    except (RuntimeError, ValueError, TypeError) as error:
        raise ExrError(f"{file}: cut short or damaged") from error
    if header_only and not parts:
        raise ExrError(f"{file}: holds no picture")
    return list(parts)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Within this context, the library prints nothing. Our one line says what is wrong."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _places(parts: list[Any]) -> dict[str, tuple[Any, str]]:
    """For each full name, the channel's part and its name there."""
    places: dict[str, tuple[Any, str]] = {}
    for part in parts:
        names = part.channels or [channel.name for channel in part.header["channels"]]
        for own in names:
            # Blender and Arnold write whole names in every part; others the component alone, under the part's name.
            name = own if len(parts) == 1 or "." in own or not part.header.get("name") else f"{_name(part)}.{own}"
            places[name if name not in places else f"{_name(part)}.{name}"] = part, own
    return places


def _name(part: Any) -> str:
    return str(part.header.get("name", ""))


def _size(part: Any) -> tuple[int, int]:
    (left, top), (right, bottom) = part.header["dataWindow"]
    return int(right - left) + 1, int(bottom - top) + 1


def _without_channels(part: Any) -> dict[str, Any]:
    return {name: value for name, value in part.header.items() if name not in ("channels", "chunkCount")}


def _channel(name: str, pixels: np.ndarray, linear: bool = False) -> Any:
    import OpenEXR

    return OpenEXR.Channel(name, np.ascontiguousarray(pixels), 1, 1, linear)


def _as_type(pixels: np.ndarray, kind: np.dtype) -> np.ndarray:
    if kind.kind == "f":
        largest = float(np.finfo(kind).max)
        return pixels.clip(-largest, largest).astype(kind)
    return pixels.clip(0, np.iinfo(kind).max).astype(kind)
