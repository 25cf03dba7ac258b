"""Tensor archives (TZA), the file format of Open Image Denoise's weights: read from bytes, written to files.

Format version 2, little endian, as in `training/tza.py` of RenderKit/oidn: u16 magic, u8 major and u8 minor version,
u64 offset of the table; the tensors, each on a 64-byte boundary; the table: u32 count, and for each tensor u16 length
and name, u8 number of dimensions, u32 each, one layout character each, one type character, u64 offset.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from noisewalk.denoiser import DenoiserError

MAGIC = struct.pack("<HBB", 0x41D7, 2, 0)
_ALIGNMENT = 64
_TYPES: dict[str, np.dtype[Any]] = {"f": np.dtype("<f4"), "h": np.dtype("<f2")}
_LAYOUTS = {4: "oihw", 1: "x"}  # by number of dimensions: convolution weights and biases


class ArchiveError(DenoiserError):
    """Bytes that are no tensor archive, or one that is cut short. The message is one line."""


def archives_in(data: bytes) -> Iterator[dict[str, torch.Tensor]]:
    """All archives in `data`, such as a library. Bytes that only begin like an archive are left out."""
    start = data.find(MAGIC)
    while start >= 0:
        with suppress(ArchiveError):
            yield read_tza(data[start:])
        start = data.find(MAGIC, start + len(MAGIC))


def read_tza(data: bytes) -> dict[str, torch.Tensor]:
    """The float32 tensors, by name, of the archive at the beginning of `data`. Raises ArchiveError."""
    if not data.startswith(MAGIC):
        raise ArchiveError("not a tensor archive of version 2")
    try:
        return dict(_tensors(data))
    except (struct.error, ValueError, KeyError) as error:
        raise ArchiveError(f"a damaged tensor archive ({error})") from error


def write_tza(file: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Writes float16 tensors of one dimension (biases) or four (convolution weights). Raises OSError."""
    body, table = bytearray(MAGIC + bytes(8)), struct.pack("<I", len(tensors))
    for name, tensor in tensors.items():
        body += bytes(-len(body) % _ALIGNMENT)
        table += _entry(name, tensor, len(body))
        body += tensor.detach().cpu().contiguous().numpy().astype(_TYPES["h"]).tobytes()
    body += bytes(-len(body) % _ALIGNMENT)
    struct.pack_into("<Q", body, len(MAGIC), len(body))
    file.write_bytes(body + table)


def _entry(name: str, tensor: torch.Tensor, offset: int) -> bytes:
    shape, text = tensor.shape, name.encode()
    sizes = struct.pack(f"<H{len(text)}sB{len(shape)}I", len(text), text, len(shape), *shape)
    return sizes + _LAYOUTS[len(shape)].encode() + b"h" + struct.pack("<Q", offset)


def _tensors(data: bytes) -> Iterator[tuple[str, torch.Tensor]]:
    (position,) = struct.unpack_from("<Q", data, len(MAGIC))
    (count,) = struct.unpack_from("<I", data, position)
    position += 4
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, position)
        name, dimensions = struct.unpack_from(f"<{length}sB", data, position + 2)
        position += 3 + length
        *shape, _, kind, offset = struct.unpack_from(f"<{dimensions}I{dimensions}scQ", data, position)
        position += 5 * dimensions + 9
        values = np.frombuffer(data, _TYPES[kind.decode()], int(np.prod(shape)), offset)
        yield name.decode(), torch.from_numpy(values.reshape(shape).astype(np.float32))
