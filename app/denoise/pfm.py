"""PFM files, which Open Image Denoise's own tool takes: http://www.pauldebevec.com/Research/HDR/PFM/."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from noisewalk.renderer.exr import Exr, ExrError, ExrHeader, exr_of_layers

_CHANNELS = {b"PF": 3, b"Pf": 1}


def read_pfm_header(file: Path) -> ExrHeader:
    """The header of an EXR file with the same picture. Raises ExrError."""
    pixels = read_pfm(file).channels
    height, width = next(iter(pixels.values())).shape
    return ExrHeader(width, height, tuple(pixels), {})


def read_pfm(file: Path) -> Exr:
    """The picture as an EXR file. Raises ExrError."""
    try:
        kind, size, scale, data = file.read_bytes().split(b"\n", 3)
        width, height = map(int, size.split())
        pixels = np.frombuffer(data, "<f4" if float(scale) < 0 else ">f4", width * height * _CHANNELS[kind.strip()])
    except OSError as error:
        raise ExrError(f"{file}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError) as error:
        raise ExrError(f"{file}: not a PFM file, or cut short") from error
    rows = pixels.reshape(height, width, -1)[::-1].astype(np.float32)  # the lowest row comes first
    return exr_of_layers(file, {"": rows if rows.shape[-1] == 3 else rows.repeat(3, axis=-1)})
