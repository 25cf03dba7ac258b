"""Pretraining: it goes on where it stopped, knows what decides it, and takes no broken pixel for black."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from noisewalk.app import clips
from noisewalk.app.console import Talk
from noisewalk.app.errors import EXIT_INTERRUPTED, Interrupted
from noisewalk.app.options import Output, PretrainOptions
from noisewalk.app.pretrain import pretrain
from noisewalk.app.recipe import CLIP_CODE, TRAINING_CODE, pretrained_state, recipe, skeleton
from noisewalk.denoiser.planes import COLOR, part
from noisewalk.denoiser.pretrained import pretrained_about
from noisewalk.denoiser.trainer import Trainer
from noisewalk.denoiser.weights import load_weights
from noisewalk.renderer.backend import Backend
from noisewalk.renderer.path_tracer import PathTracer

TALK = Talk(Output(quiet=True))


def test_pretraining_goes_on_where_it_stopped_and_keeps_its_clips(
    backend: Backend,
    cache_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    options = PretrainOptions(tmp_path / "w", tmp_path, rooms=1, size=32, steps=4, device="cpu")
    small = replace(options, variant=backend.variant, cache_dir=cache_dir)
    assert pretrain(small, TALK) == 0
    expected, about = load_weights(small.output)
    assert about["steps"] == 4 and about["code"] == recipe(TRAINING_CODE)
    (clip,) = tmp_path.glob("room-*.safetensors")
    assert recipe(CLIP_CODE) in clip.name

    monkeypatch.setattr(PathTracer, "render_pair", lambda *_: pytest.fail("the clip is there"))
    resumed, step, calls = replace(small, output=tmp_path / "r"), Trainer.step, iter(range(100))

    def stopping(trainer: Trainer, image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if next(calls, 0) == 2:
            raise Interrupted
        return step(trainer, image, target)

    monkeypatch.setattr(Trainer, "step", stopping)
    assert pretrain(resumed, TALK) == EXIT_INTERRUPTED
    assert load_weights(resumed.output)[1]["steps"] == 2
    assert pretrain(resumed, TALK) == 0
    found = load_weights(resumed.output)[0]
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
    assert not list(tmp_path.glob("*.checkpoint"))

    # With other settings it begins again, and says so.
    calls = iter((0, 2))
    assert pretrain(resumed, TALK) == EXIT_INTERRUPTED
    assert "warning" not in capfd.readouterr().err
    assert pretrain(replace(resumed, steps=3), TALK) == 0
    assert "training begins again" in capfd.readouterr().err and load_weights(resumed.output)[1]["steps"] == 3


def test_comments_do_not_decide_and_code_does() -> None:
    code = 'LIMIT = 2.0  # of it\n\ndef f(x: int) -> int:\n    """Doubles."""\n    return 2 * x\n'
    same = 'LIMIT = 2.0\ndef f(x: int) -> int:\n    """Twice\n\n    as much."""\n    # so\n    return 2 * x\n'
    assert skeleton(code) == skeleton(same)
    assert len({skeleton(code), skeleton(code.replace("2.0", "3.0")), skeleton(code.replace("2 *", "3 *"))}) == 3
    assert recipe(CLIP_CODE) != recipe(TRAINING_CODE)


def test_the_program_says_whether_its_own_weights_are_what_its_code_would_learn() -> None:
    about = pretrained_about("kernel")
    assert about is not None
    assert pretrained_state("kernel").startswith("stale") == (about.get("code") != recipe(TRAINING_CODE))
    assert pretrained_state("paper").startswith("none")


def test_a_broken_pixel_is_no_target_and_not_black() -> None:
    planes = torch.rand(2, 16, 4, 4)
    planes[0, COLOR, 1, 2] = torch.tensor([float("inf"), 1.0, 2.0])
    planes[1, COLOR, 3, 3] = torch.tensor([1e9, 1.0, 2.0])
    kept = clips.compact(planes)
    assert part(kept, COLOR)[0, :, 1, 2].isnan().tolist() == [True, False, False]
    assert kept[1, COLOR, 3, 3].tolist() == [clips.LARGEST, 1.0, 2.0] and kept.isnan().sum() == 1
