"""What the options leave open, and how it is resolved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from noisewalk.app.options import Machine, ResolvedOptions, WalkOptions, frame_size, resolve
from noisewalk.app.session import Session
from noisewalk.renderer.backend import Backend
from tests.conftest import TINY_XML, Run

CPU, GPU = Machine(gpu=False, guide=True), Machine(gpu=True, guide=False)
SQUARE, WIDE = (512, 512), (1280, 720)


def test_the_machine_decides_what_is_left_open() -> None:
    on_cpu, on_gpu = (resolve(WalkOptions(), machine, SQUARE) for machine in (CPU, GPU))
    assert (on_cpu.width, on_cpu.height, on_cpu.reference_spp, on_cpu.guide) == (256, 256, 512, "oidn")
    assert (on_gpu.width, on_gpu.height, on_gpu.reference_spp, on_gpu.guide) == (512, 512, 2048, "none")
    asked = WalkOptions(width=40, height=30, reference_spp=6, guide="none", path=Path("p.json"), seed=3)
    resolved = resolve(asked, CPU, WIDE)
    assert isinstance(resolved, ResolvedOptions) and vars(resolved) == vars(asked)
    assert resolve(replace(asked, model="paper", guide="oidn"), CPU, WIDE).guide == "none"


@pytest.mark.parametrize("film", [(1280, 720), (720, 1280), (1920, 800), (48, 32), (999, 1000)])
def test_frames_have_the_films_aspect_and_about_as_many_pixels_as_the_square(film: tuple[int, int]) -> None:
    width, height = frame_size(None, None, film, 256**2)
    assert width % 8 == height % 8 == 0
    assert width / height == pytest.approx(film[0] / film[1], rel=0.03)
    assert width * height == pytest.approx(256**2, rel=0.05)


def test_one_side_alone_keeps_the_films_aspect() -> None:
    assert frame_size(640, None, WIDE, 0) == (640, 360) and frame_size(None, 45, WIDE, 0) == (80, 45)
    assert frame_size(640, 640, WIDE, 0) == (640, 640) and frame_size(100, None, SQUARE, 0) == (100, 100)
    assert frame_size(1, None, WIDE, 0) == (1, 1) and frame_size(None, None, (9000, 1), 1) == (96, 8)


def test_a_session_takes_the_aspect_of_what_the_film_shows(tmp_path: Path, backend: Backend, cache_dir: Path) -> None:
    crop = '<integer name="crop_width" value="16"/><integer name="crop_height" value="32"/></film>'
    (tmp_path / "cropped.xml").write_text(TINY_XML.replace("</film>", crop))
    options = WalkOptions(scene=str(tmp_path / "cropped.xml"), width=10, variant=backend.variant, cache_dir=cache_dir)
    session = Session(options, "lockstep")
    session.close()
    assert (session.options.width, session.options.height) == (10, 20)


def test_the_command_line_takes_one_side(noisewalk: Run, tiny_xml: Path, tmp_path: Path) -> None:
    small = ("--headless", "--frames", "1", "--spp", "1", "--reference-spp", "2", "--iterations", "0", "--out", "run")
    assert noisewalk(tiny_xml, "--width", "24", *small).returncode == 0
    assert '"height": 16' in (tmp_path / "run" / "run.json").read_text()
