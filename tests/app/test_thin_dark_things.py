"""Bars and blinds before a bright sky, seen directly and in a mirror: what blurring drowns in light."""

from pathlib import Path

import pytest
import torch

from noisewalk.denoiser.features import tone_map
from noisewalk.denoiser.guide import best_open_image_denoise, open_image_denoise
from noisewalk.denoiser.metrics import psnr, relative_mse
from noisewalk.denoiser.online import OnlineDenoiser
from noisewalk.denoiser.trainer import TrainingSettings
from noisewalk.renderer.backend import Backend
from noisewalk.renderer.default_path import default_path
from noisewalk.renderer.path_tracer import PathTracer
from noisewalk.renderer.reference import ReferenceCache
from noisewalk.renderer.scene import open_scene

pytest.importorskip("pyoidn")

SIZE, FRAMES, REFERENCE_SPP = 64, 5, 512

BAR = """<shape type="cylinder"><float name="radius" value="0.025"/><point name="p0" x="{x}" y="0" z="-2"/>
  <point name="p1" x="{x}" y="2.2" z="-2"/><bsdf type="diffuse"><rgb name="reflectance" value="0.02"/></bsdf></shape>"""
SLAT = """<shape type="rectangle"><transform name="to_world"><scale x="0.5" y="0.03"/><rotate x="1" angle="30"/>
  <translate x="-1.85" y="{y}" z="-1.9"/></transform>
  <bsdf type="twosided"><bsdf type="diffuse"><rgb name="reflectance" value="0.05"/></bsdf></bsdf></shape>"""
WALL = """<shape type="rectangle"><transform name="to_world">{where}</transform>{what}</shape>"""
PLASTER = (
    """<bsdf type="twosided"><bsdf type="diffuse"><rgb name="reflectance" value="0.5, 0.48, 0.45"/></bsdf></bsdf>"""
)
MIRROR = """<bsdf type="conductor"><string name="material" value="Ag"/></bsdf>"""
SKY = """<emitter type="area"><rgb name="radiance" value="14, 16, 20"/></emitter>"""
WALLS = {
    '<scale value="3"/><rotate x="1" angle="-90"/>': PLASTER,
    '<scale value="3"/><rotate x="1" angle="90"/><translate y="2.5"/>': PLASTER,
    '<scale x="3" y="1.25"/><rotate y="1" angle="90"/><translate x="-2.5" y="1.25"/>': PLASTER,
    '<scale x="3" y="1.25"/><translate y="1.25" z="3"/>': PLASTER,
    '<scale x="3" y="0.25"/><translate y="0.25" z="-2.02"/>': PLASTER,
    '<scale x="3" y="1.25"/><rotate y="1" angle="-90"/><translate x="1.6" y="1.25"/>': MIRROR,
    '<scale x="3" y="2"/><translate y="1.25" z="-3"/>': SKY,
}
SCENE = """<scene version="3.0.0"><integrator type="path"><integer name="max_depth" value="6"/></integrator>
  <sensor type="perspective"><float name="fov" value="52"/><string name="fov_axis" value="y"/>
  <transform name="to_world"><lookat origin="-0.6, 1.2, 2.6" target="0.35, 1, -2" up="0, 1, 0"/></transform>
  <film type="hdrfilm"><integer name="width" value="64"/><integer name="height" value="64"/></film></sensor>
  {shapes}</scene>"""


def room(folder: Path) -> Path:
    """A room whose window has bars and blinds before it, and a mirror beside it."""
    bars = [BAR.format(x=-1 + 0.25 * i) for i in range(9)] + [SLAT.format(y=0.3 + 0.16 * i) for i in range(12)]
    walls = [WALL.format(where=where, what=what) for where, what in WALLS.items()]
    file = folder / "bars.xml"
    file.write_text(SCENE.format(shapes="\n".join(walls + bars)))
    return file


def test_bars_are_no_brighter_than_open_image_denoise_shows_them(backend: Backend, tmp_path: Path) -> None:
    scene = open_scene(str(room(tmp_path)), backend.variant)
    path, tracer = default_path(scene), PathTracer(scene, SIZE, SIZE, 8, seed=0)
    with OnlineDenoiser(TrainingSettings(), "cpu", "lockstep", guided=True) as denoiser:
        for index in range(FRAMES):
            pair = tracer.render_pair(path.camera(index, SIZE, SIZE), index)
            prepared = denoiser.prepare(pair)
            denoiser.submit(prepared)
        shown = denoiser.denoise(prepared)
    cache = ReferenceCache(tmp_path / "references", scene, SIZE, SIZE)
    reference = torch.from_numpy(cache.get(pair.camera, REFERENCE_SPP).mean)
    images = [pair.mean(part).cpu() for part in ("color", "albedo", "normal")]
    # Dark pixels that are brighter than twice their radiance, after T.
    dark = reference.mean(dim=-1) < 0.25 * reference.mean()
    for library in (open_image_denoise(*images), best_open_image_denoise(*images)):
        assert psnr(shown, reference) > psnr(library, reference)
        assert relative_mse(shown, reference) < 1.5 * relative_mse(library, reference)
        ours, theirs = (
            (tone_map(image) - tone_map(reference))[dark].clamp(min=0.0).mean() for image in (shown, library)
        )
        assert ours < 1.2 * theirs
