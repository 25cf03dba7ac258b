"""Opening scenes: what is kept, what is replaced, what is said."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from noisewalk.renderer.backend import Backend
from noisewalk.renderer.bundled import bundled_scenes
from noisewalk.renderer.frame import Camera
from noisewalk.renderer.path_tracer import PathTracer
from noisewalk.renderer.scene import open_scene
from tests.conftest import TINY_XML
from tests.renderer.helpers import load, view


def test_field_of_view_is_the_scenes_own_at_any_size(tmp_path: Path, backend: Backend) -> None:
    wide = load(tmp_path, backend, '<string name="fov_axis" value="y"/>', '<string name="fov_axis" value="x"/>')
    expected = 2 * math.degrees(math.atan(math.tan(math.radians(25)) * 32 / 48))
    assert wide.start.fov_y == pytest.approx(expected, abs=1e-3)


def test_the_integrators_own_settings_stay(tmp_path: Path, backend: Backend) -> None:
    hidden = load(
        tmp_path, backend, '<integer name="max_depth" value="4"/>', '<boolean name="hide_emitters" value="true"/>'
    )
    visible = load(tmp_path, backend, '<integer name="max_depth" value="4"/>', '<integer name="max_depth" value="4"/>')
    looking_up = np.eye(4)
    looking_up[:3, 3] = 1.5, 2.5, -1.0
    camera = Camera(looking_up, 20.0, 8, 8)
    seen, unseen = (PathTracer(s, 8, 8, 4, 0).render_pair(camera, 0).a.color[4, 4].max() for s in (visible, hidden))
    assert seen > 10 > unseen
    nested = (
        '<integrator type="aov"><string name="aovs" value="d:depth"/><integrator type="path"><integer name="max_depth"'
    )
    wrapped = TINY_XML.replace('<integrator type="path"><integer name="max_depth"', nested)
    file = tmp_path / "wrapped.xml"
    file.write_text(wrapped.replace("</integrator>", "</integrator></integrator>"))
    assert "max_depth = 4" in str(open_scene(str(file), backend.variant).integrator)
    assert "max_depth = 2" in str(open_scene(str(file), backend.variant, max_depth=2).integrator)


def test_a_film_filter_of_the_scene_gives_way_to_box(tmp_path: Path, backend: Backend) -> None:
    film = '<integer name="height" value="32"/>'
    scene = load(tmp_path, backend, film, film + '<rfilter type="lanczos"/>')
    assert "BoxFilter" in str(scene.sensor.film())
    assert PathTracer(scene, 48, 32, 4, 0).render_pair(view(scene), 0).a.color.min() >= 0


def test_content_hash_follows_content(tmp_path: Path, backend: Backend) -> None:
    first, same = (load(tmp_path, backend, "path", "path").content_hash for _ in range(2))
    brighter = load(tmp_path, backend, 'value="12"', 'value="13"').content_hash
    file = tmp_path / "changed.xml"
    deeper = open_scene(str(file), backend.variant, max_depth=9).content_hash
    assert first == same and len({first, brighter, deeper}) == 3


def test_silent_omissions_are_warned_about(tmp_path: Path, backend: Backend) -> None:
    dark = load(tmp_path, backend, '<emitter type="area"><rgb name="radiance" value="12"/></emitter>', "")
    assert any("no emitters" in w for w in dark.warnings)
    fog = '<bsdf type="null"/><medium name="interior" type="homogeneous"/><emitter type="area">'
    foggy = load(tmp_path, backend, '<emitter type="area">', fog)
    assert any("media" in w for w in foggy.warnings)
    assert load(tmp_path, backend, "path", "path").warnings == ()


@pytest.mark.parametrize("name", sorted(bundled_scenes()))
def test_bundled_scenes_open_without_warnings_and_fly_a_thousand_frames(name: str, backend: Backend) -> None:
    backend.activate()
    scene = open_scene(name, backend.variant)
    assert scene.warnings == () and scene.path is not None and len(scene.path) == 1000
    pair = PathTracer(scene, 32, 32, 4, 0).render_pair(scene.path.camera(0, 32, 32), 0)
    assert pair.a.color.isfinite().all() and 0.05 < pair.a.color.mean() < 5
    assert pair.a.albedo.std() > 0.05
    box = scene.mi_scene.bbox()
    for index in range(0, 1000, 20):
        position = scene.path.camera(index, 32, 32).to_world[:3, 3]
        assert box.contains(position.tolist())
    folder = bundled_scenes()[name].parent
    assert (folder / "README.md").is_file() and (folder / "generate.py").is_file()


def test_bundled_scenes_are_small() -> None:
    files = [f for xml in bundled_scenes().values() for f in xml.parent.rglob("*") if f.is_file()]
    assert len(bundled_scenes()) == 3
    assert sum(f.stat().st_size for f in files) < 10 * 2**20
