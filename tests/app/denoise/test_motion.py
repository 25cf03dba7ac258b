"""Motion vectors: what they mean is found out, and they lead to what was seen before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from noisewalk.app.denoise.frames import Frames
from noisewalk.app.denoise.motion import CONVENTIONS, Convention, Step, find_convention
from noisewalk.app.denoise.sequence import find_shot
from noisewalk.denoiser.inputs import InputMaker
from noisewalk.denoiser.planes import AGE, HISTORY, from_planes, part
from noisewalk.renderer.frame import Frame
from tests.app.denoise.conftest import RenderedShot, Run, color, layers, write_motion

HEIGHT, WIDTH = 40, 60


def picture(x: torch.Tensor, y: torch.Tensor) -> Frame:
    """What is painted at these places."""
    waves = torch.stack([torch.sin(0.31 * x + k) * torch.cos(0.23 * y - k) for k in range(3)], dim=-1)
    return Frame(torch.zeros_like(waves), 0.5 + 0.5 * waves, waves.roll(1, dims=-1))


def step(convention: Convention, right: float = 2.5, down: float = 1.7) -> Step:
    """Everything moves by so many pixels; the vectors are as this convention has them, and there is some noise."""
    y, x = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
    one = convention.pixels(torch.ones(HEIGHT, WIDTH, 2))
    motion = torch.tensor([-right, -down]).expand(HEIGHT, WIDTH, 2)
    now = picture(x - right, y - down)
    noise = 0.1 * torch.randn(HEIGHT, WIDTH, 3, generator=torch.Generator().manual_seed(0))
    return Step(picture(x, y), replace(now, albedo=now.albedo + noise), motion / one)


@pytest.mark.parametrize("convention", CONVENTIONS, ids=str)
def test_the_convention_is_found(convention: Convention) -> None:
    assert find_convention([step(convention, 2.5, 1.7), step(convention, -1.0, 3.0)]) == (convention, 2)


def test_vectors_that_lead_elsewhere_are_left_out() -> None:
    moved, still = (step(CONVENTIONS[0], *by) for by in ((2.5, 1.7), (0.0, 0.0)))
    random = torch.randn(HEIGHT, WIDTH, 2, generator=torch.Generator().manual_seed(1))
    for vectors in (moved.vectors, 5 * random):
        assert find_convention([replace(still, vectors=vectors)]) == (None, 1)


def test_where_nothing_moves_nothing_is_told() -> None:
    other = CONVENTIONS[1]
    still = step(other, 0.0, 0.0)
    unknown = replace(still, vectors=torch.full_like(still.vectors, torch.nan))
    assert find_convention([still, unknown]) == (CONVENTIONS[0], 0)
    assert find_convention([still, unknown, step(other)]) == (other, 1)


def test_motion_alone_brings_a_history(shot: RenderedShot, tmp_path: Path) -> None:
    frames = Frames(find_shot(write_motion(tmp_path / "in", shot), None), {}, [])
    assert "in pixels, to where things were, y down" in frames.find_conventions()[0]
    maker = InputMaker(torch.device("cpu"), guided=False, context=True)
    maker.prepare(frames.read(0).pair())
    second = maker.prepare(frames.read(1).pair())
    for half in (second.a, second.b):
        seen = part(half, AGE)[0, 0] > 0
        assert seen.float().mean() > 0.5
        # It is the mean of the first frame, moved: nearer to what it was without noise than one half is.
        history, noisy = from_planes(part(half, HISTORY))[0][seen], shot.pairs[0].a.color[seen]
        assert (history - shot.reference[seen]).abs().mean() < (noisy - shot.reference[seen]).abs().mean()


def test_after_a_gap_vectors_lead_nowhere(shot: RenderedShot, tmp_path: Path) -> None:
    frames = Frames(find_shot(write_motion(tmp_path / "in", shot, numbers=(3, 7)), None), {}, [])
    assert "nothing moves" in frames.find_conventions()[0]
    loaded = frames.read(1)
    pair = loaded.pair()
    assert pair.a.motion is not None and not pair.a.motion.isfinite().any()
    # But positions still lead to the frame before the missing ones.
    planes = {"position": tuple(layers(shot.pairs[1].a)["position"].transpose(2, 0, 1))}
    half = replace(loaded.a, features={**loaded.a.features, **planes})
    pair = replace(loaded, a=half, b=half).pair()
    assert pair.a.motion is None and pair.a.position is not None and pair.camera is not None


def test_a_person_may_name_the_layer(denoise: Run, shot: RenderedShot, tmp_path: Path) -> None:
    words = [*write_motion(tmp_path / "in", shot, layer="flow"), "--iterations", "1", "--guide", "none"]
    assert "things" not in denoise(*words, "-o", tmp_path / "without")[2]
    code, _, printed = denoise(*words, "-o", tmp_path / "with", "--layers", "motion=flow")
    assert code == 0 and "motion: flow\n" in printed and printed.count("to where things were") == 1
    first, second = (f"m_h0_{index:04d}.exr" for index in (0, 1))
    assert same(tmp_path / "with" / first, tmp_path / "without" / first)
    assert not same(tmp_path / "with" / second, tmp_path / "without" / second)
    code, _, printed = denoise(*words, "-o", tmp_path / "wrong", "--layers", "motion=nothing")
    assert code == 2 and "no layer is called 'nothing'; there are RGB, albedo, flow, normal" in printed


def same(one: Path, other: Path) -> bool:
    return bool(np.allclose(color(one), color(other), rtol=1e-3, atol=1e-3))
