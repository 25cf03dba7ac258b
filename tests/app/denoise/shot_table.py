"""A table of what `noisewalk denoise` makes of a short shot that brings motion vectors and no positions.

    python -m tests.app.denoise.shot_table SCENE [--frames 12] [--step 4] [--size 96] [--spp 4]

PSNR and tPSNR against references, the means over all frames. It takes minutes, so it is no test.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import torch

from noisewalk.app.__main__ import main as noisewalk
from noisewalk.denoiser.guide import best_open_image_denoise
from noisewalk.denoiser.metrics import psnr, temporal_psnr
from noisewalk.renderer.backend import choose_backend
from noisewalk.renderer.frame import NoisyPair
from noisewalk.renderer.path_tracer import PathTracer
from noisewalk.renderer.scene import open_scene
from tests.app.denoise.conftest import RenderedShot, color, with_motion, write_motion

OURS = {
    "one pass, no motion": ("--passes", "1", "--layers", "motion=none"),
    "one pass, motion": ("--passes", "1"),
    "two passes, no motion": ("--passes", "2", "--layers", "motion=none"),
    "two passes, motion": ("--passes", "2"),
}


def main() -> None:
    """Prints the table, a row as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene")
    for name, default in (("frames", 12), ("step", 4), ("size", 96), ("spp", 4), ("reference-spp", 512)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    backend = choose_backend("auto", Path.home() / ".cache" / "noisewalk")
    backend.activate()
    scene = open_scene(given.scene, backend.variant)
    assert scene.path is not None
    cameras = [scene.path.camera(given.step * index, given.size, given.size) for index in range(given.frames)]

    def rendered(spp: int, seed: int) -> list[NoisyPair]:
        tracer = PathTracer(scene, given.size, given.size, spp, seed=seed)
        pairs = (tracer.render_pair(camera, index) for index, camera in enumerate(cameras))
        return [with_motion(pair, before) for pair, before in zip(pairs, [cameras[0], *cameras], strict=False)]

    pairs = rendered(given.spp, seed=0)
    references = [pair.mean("color") for pair in rendered(given.reference_spp, seed=1)]
    print(f"| {given.scene}, {given.frames} frames, 2 x {given.spp} spp | PSNR | tPSNR |\n|---|---|---|", flush=True)
    _row("input", [pair.mean("color") for pair in pairs], references)
    _row("Open Image Denoise", [_by_open_image_denoise(pair) for pair in pairs], references)
    with TemporaryDirectory() as folder:
        words = write_motion(Path(folder) / "in", RenderedShot(pairs, references[0]))
        for name, options in OURS.items():
            output = Path(folder) / name
            assert noisewalk(["denoise", *words, "-o", str(output), "--quiet", *options]) == 0
            _row(f"ours, {name}", [color(file) for file in sorted(output.glob("*.exr"))], references)


def _by_open_image_denoise(pair: NoisyPair) -> torch.Tensor:
    return best_open_image_denoise(pair.mean("color"), pair.mean("albedo"), pair.mean("normal"))


def _row(name: str, pictures: list[torch.Tensor], references: list[torch.Tensor]) -> None:
    quality = fmean(psnr(*both) for both in zip(pictures, references, strict=True))
    flicker = fmean(
        temporal_psnr(pictures[i], pictures[i - 1], references[i], references[i - 1]) for i in range(1, len(pictures))
    )
    print(f"| {name} | {quality:.2f} | {flicker:.2f} |", flush=True)


if __name__ == "__main__":
    main()
