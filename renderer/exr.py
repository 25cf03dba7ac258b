"""Multi-layer EXR files, with channel names as Mitsuba writes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from noisewalk.renderer.files import written_aside


def write_exr(file: Path, layers: Mapping[str, np.ndarray], normal: np.ndarray, variant: str | None = None) -> None:
    """Writes colour layers, keyed by prefix ("" or "albedo."), and normals as one EXR. Images: (H, W, 3) float32.

    Numbers that are not finite become 0: one of them breaks what reads the file.

    variant: becomes current in this thread; any must be where none is given. Raises OSError.
    """
    import mitsuba as mi

    if variant is not None:
        mi.set_variant(variant)
    names = [f"{prefix}{channel}" for prefix in layers for channel in "RGB"] + [f"sh_normal.{c}" for c in "XYZ"]
    channels = np.concatenate([*layers.values(), normal], axis=-1).astype(np.float32)
    channels[~np.isfinite(channels)] = 0.0
    bitmap = mi.Bitmap(channels, pixel_format=mi.Bitmap.PixelFormat.MultiChannel, channel_names=names)
    try:
        with written_aside(file) as temporary:
            bitmap.write(str(temporary), mi.Bitmap.FileFormat.OpenEXR)
    except RuntimeError as error:
        raise OSError(f"cannot write {file}: {str(error).splitlines()[0]}") from error
