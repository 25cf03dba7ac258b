"""EXR files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from noisewalk.renderer.backend import Backend
from noisewalk.renderer.exr import write_layers


def test_exr_layers_come_back_by_name(backend: Backend, tmp_path: Path) -> None:
    import mitsuba as mi

    backend.activate()
    rng = np.random.default_rng(0)
    layers = {"": rng.random((5, 7, 3), np.float32), "albedo": rng.random((5, 7, 3), np.float32)}
    normal = rng.random((5, 7, 3), np.float32)
    write_layers(tmp_path / "x.exr", layers | {"sh_normal": normal})
    split = dict(mi.Bitmap(str(tmp_path / "x.exr")).split())
    np.testing.assert_array_equal(np.array(split["<root>"]), layers[""])
    np.testing.assert_array_equal(np.array(split["albedo"]), layers["albedo"])
    np.testing.assert_array_equal(np.array(split["sh_normal"]), normal)
