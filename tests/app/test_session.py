"""What a session says of its pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from noisewalk.app.options import WalkOptions
from noisewalk.app.session import Session
from noisewalk.renderer.backend import Backend
from noisewalk.renderer.exr import write_layers
from tests.conftest import TINY_XML

FRAMES_AT_REST = 4
RADIUS = '<float name="radius" value="0.3"/>'
ENVMAP = '<emitter type="envmap"><string name="filename" value="sky.exr"/></emitter>'
LAMP = '<rgb name="radiance" value="12"/>'


def warnings(file: Path, backend: Backend, tmp_path: Path) -> tuple[list[str], np.ndarray]:
    """All that three frames make it say, and the last one's noisy average."""
    said: list[str] = []
    options = WalkOptions(scene=str(file), width=32, height=24, spp=2, guide="none")
    options = replace(options, variant=backend.variant, cache_dir=tmp_path)
    session = Session(options, "lockstep", said.append)
    try:
        pairs = [session.render(session.camera(index), index) for index in range(3)]
    finally:
        session.close()
    return said, pairs[-1].mean("color").cpu().numpy()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("", "", None),
        (LAMP, LAMP.replace("12", "0"), "black"),
        (RADIUS, RADIUS + '<boolean name="flip_normals" value="true"/>', "black"),
        ("</scene>", ENVMAP + "</scene>", "not finite"),
    ],
)
def test_black_and_broken_pictures_are_said_once(
    old: str, new: str, said: str | None, tmp_path: Path, backend: Backend
) -> None:
    import mitsuba as mi

    mi.Bitmap(np.full((4, 8, 3), np.nan, np.float32)).write(str(tmp_path / "sky.exr"))
    file = tmp_path / "scene.xml"
    file.write_text(TINY_XML.replace(old, new) if old else TINY_XML)
    lines, picture = warnings(file, backend, tmp_path)
    assert len(lines) == (said is not None) and all(str(file) in line for line in lines)
    if said == "black":
        assert "black" in lines[0] and not picture.any()
    elif said:
        broken = int(lines[0].split(": ")[1].split(" ")[0])
        assert "of 768 pixels are not finite" in lines[0] and 0 < broken <= 768
        write_layers(tmp_path / "x.exr", {"": picture})
        written = np.array(mi.Bitmap(str(tmp_path / "x.exr")))
        assert np.isfinite(written).all() and not np.isfinite(picture).all()


@pytest.mark.parametrize("scene", ["cornell", "tiny"])
def test_the_bound_holds_in_the_first_frames_at_rest(
    scene: str, tiny_xml: Path, backend: Backend, tmp_path: Path
) -> None:
    """The frames share their samples: the bound may not become certain sooner than it becomes right."""
    file = str(tiny_xml) if scene == "tiny" else scene
    options = WalkOptions(scene=file, width=40, height=40, iterations=1, reference_spp=1024)
    session = Session(replace(options, variant=backend.variant, cache_dir=tmp_path), "lockstep")
    try:
        camera, gathering = session.camera(0), session.denoiser.gathering()
        reference = session.reference(camera)
        for index in range(FRAMES_AT_REST):
            result = session.advance(camera, index, reference, gathering=gathering)
            assert result.measurement and result.pair.spp == 8 * (index + 1)
            assert 10.0 < result.estimate.at_least < result.measurement.psnr_shown_corrected
    finally:
        session.close()
