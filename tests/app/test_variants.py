"""Figures 6 and 8 of the paper: what the losses converge to, clean targets, and `noisewalk variants`."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from noisewalk.app.__main__ import main
from noisewalk.app.compare.variants import PAPER_PSNR
from noisewalk.denoiser.features import inverse_tone_map, network_input, tone_map
from noisewalk.denoiser.inputs import InputMaker, PreparedPair
from noisewalk.denoiser.models import build_model
from noisewalk.denoiser.online import OnlineDenoiser
from noisewalk.denoiser.paper import PAPER, VARIANTS, PaperModel, Variant
from noisewalk.denoiser.planes import CHANNELS, COLOR, frame_planes, part
from noisewalk.denoiser.trainer import Trainer, TrainingSettings
from noisewalk.renderer.frame import Camera, Frame, NoisyPair
from tests.app.test_command_line import refused
from tests.conftest import Run, last_json

CPU = torch.device("cpu")
NAMES = [variant.name for variant in VARIANTS]
SMALL = ("--width", "32", "--height", "24", "--spp", "2", "--iterations", "2", "--reference-spp", "8", "--frames", "3")
CAMERA = Camera(np.eye(4), 45.0, 32, 32)


def prepared(pair: NoisyPair) -> PreparedPair:
    """What a trainer takes."""
    return InputMaker(CPU, guided=False, context=False).prepare(pair)


def constant_pair(index: int, clean: torch.Tensor | None = None) -> NoisyPair:
    """Radiance 1 everywhere, with exponential noise."""

    def half(seed: int) -> Frame:
        color = torch.empty(32, 32, 3).exponential_(generator=torch.Generator().manual_seed(seed))
        return Frame(color, torch.full_like(color, 0.5), torch.zeros_like(color))

    return NoisyPair(half(2 * index), half(2 * index + 1), CAMERA, 8, index, clean)


def trained_brightness(model: str, clean: torch.Tensor | None = None) -> float:
    """Mean radiance that a model shows for constant pairs, after it was trained on a dozen of them."""
    settings = TrainingSettings(model, crop=32, learning_rate=1e-3)
    with OnlineDenoiser(settings, "cpu", "lockstep") as denoiser:
        for index in range(12):
            denoiser.submit(denoiser.prepare(constant_pair(index, clean)))
            denoiser.weights()
        return denoiser.denoise(denoiser.prepare(constant_pair(1000))).mean().item()


@pytest.mark.parametrize("variant", VARIANTS, ids=NAMES)
def test_each_loss_is_stationary_at_what_it_converges_to(variant: Variant) -> None:
    noise = torch.Generator().manual_seed(0)
    noisy = torch.empty(1, 3, 96, 96).exponential_(generator=noise)
    mean = tone_map(noisy).mean() if variant.tone_mapped_target else noisy.mean()
    model = PaperModel(variant)
    torch.nn.init.zeros_(model.dec_conv1c.weight)
    torch.nn.init.constant_(model.dec_conv1c.bias, mean.item())
    model.loss(frame_planes(Frame(*(noisy[0].permute(1, 2, 0) for _ in range(3)))), noisy).backward()
    gradient = model.dec_conv1c.bias.grad
    assert gradient is not None and abs(gradient.sum().item()) < 1e-3
    if variant.tone_mapped_target:
        assert inverse_tone_map(mean) < 0.6 * noisy.mean()


def test_loss_with_tone_mapped_target_matches_a_hand_computed_value() -> None:
    model = build_model("l2-t-both", CPU)
    planes = torch.zeros(1, CHANNELS, 1, 1)
    with torch.no_grad():
        model.dec_conv1c.weight.zero_()
        model.dec_conv1c.bias.copy_(torch.tensor([0.5, 0.0, 1.0]))
    target = torch.tensor([1.0, 0.0, 3.0], dtype=torch.float64).reshape(1, 3, 1, 1)
    expected = ((0.5 - 0.5 ** (1 / 2.2)) ** 2 + 0 + (1.0 - 0.75 ** (1 / 2.2)) ** 2) / 3
    assert model.loss(planes, target).item() == pytest.approx(expected, rel=1e-6)
    shown = inverse_tone_map(torch.tensor([0.5, 0.0, 1.0])).reshape(1, 3, 1, 1)
    torch.testing.assert_close(model(planes), shown)


@pytest.mark.parametrize("name", ["l2", "paper"])
def test_honest_losses_keep_the_brightness(name: str) -> None:
    assert 0.9 < trained_brightness(name) < 1.2


def test_a_tone_mapped_target_makes_the_picture_too_dark() -> None:
    samples = torch.empty(10**6).exponential_(generator=torch.Generator().manual_seed(0))
    expected = inverse_tone_map(tone_map(samples).mean()).item()
    assert expected == pytest.approx(0.563, abs=0.003)
    assert trained_brightness("l2-t-both") == pytest.approx(expected, rel=0.15)


def test_without_a_tone_map_the_network_sees_radiance() -> None:
    color = torch.tensor([[[7.0, 0.25, 1e4], [-1.0, float("inf"), 2.0]]])
    planes = network_input(frame_planes(Frame(color, torch.ones_like(color), torch.ones_like(color))), False)
    assert planes[0, :3, 0, 0].tolist() == [6.5, -0.25, 9999.5]
    assert planes[0, :3, 0, 1].tolist() == [-0.5, -0.5, -0.5]  # a broken pixel is black
    assert planes[0, 3:, 0, 0].tolist() == [0.5] * 6


def test_variants_are_the_papers_network_and_the_last_is_the_papers_model() -> None:
    assert VARIANTS[-1] is PAPER and list(PAPER_PSNR) == ["noisy", *NAMES]
    counts = {sum(p.numel() for p in build_model(name, CPU).parameters()) for name in NAMES}
    assert counts == {997_251}


def test_training_on_clean_targets_reaches_them_whatever_the_noise_says() -> None:
    assert trained_brightness("paper", clean=torch.full((32, 32, 3), 0.3)) == pytest.approx(0.3, rel=0.15)


@pytest.mark.parametrize("model", ["paper", "kernel"])
def test_a_twin_differs_in_its_targets_and_in_nothing_else(model: str) -> None:
    def weights(targets: str) -> torch.Tensor:
        # Even iterations go from a to b. Odd ones of the kernel model go from b to a, to the same clean target.
        trainer = Trainer(TrainingSettings(model, iterations=1, crop=20), CPU)
        for index in range(3):
            pair = constant_pair(index)
            clean = {"noisy": None, "other half": pair.b.color, "clean": torch.ones(32, 32, 3)}[targets]
            trainer.train(prepared(replace(pair, clean=clean)))
        assert trainer.steps == 3
        return torch.cat([p.flatten() for p in trainer.network.state_dict().values()])

    noisy = weights("noisy")
    assert torch.equal(noisy, weights("other half")) and not torch.equal(noisy, weights("clean"))


def test_both_directions_of_a_clean_pair_have_the_clean_target() -> None:
    seen = []

    class Watched(Trainer):
        def step(self, image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            seen.append((part(image, COLOR).clone(), target.clone()))
            return super().step(image, target)

    pair = constant_pair(0, clean=torch.rand(32, 32, 3))
    Watched(TrainingSettings("kernel", iterations=2, crop=32), CPU).train(prepared(pair))
    for (image, target), half in zip(seen, (pair.a, pair.b), strict=True):
        assert torch.equal(image[0].permute(1, 2, 0), half.color)
        assert pair.clean is not None and torch.equal(target[0].permute(1, 2, 0), pair.clean)


def test_the_variants_command_leaves_its_folder(noisewalk: Run, tiny_xml: Path, tmp_path: Path) -> None:
    done = noisewalk("variants", tiny_xml, *SMALL, "--reference-every", "2", "--json")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "variants" / "001"
    assert last_json(done)["paper_psnr"] == PAPER_PSNR
    for variant in NAMES:
        assert f"  {variant} " in done.stderr
    assert f"{15.50:.2f}" in done.stderr and "brightness = mean T(shown)" in done.stderr
    with open(folder / "rows.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["frame"], row["method"]) for row in rows] == [(f, m) for f in "123" for m in ("noisy", *NAMES)]
    assert all(float(row["brightness"]) > 0 for row in rows)
    document = json.loads((folder / "result.json").read_text())
    assert document["state"] == "complete" and document["paper_psnr"]["l2-t-both"] == 15.50
    assert Image.open(folder / "curves.png").width > 500
    assert Image.open(folder / "strip.png").width > 7 * 32
    assert "noisewalk variants" in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("tiny.xml", "--out", "."), ".: not empty"),
        (("nosuch.xml",), "nosuch.xml: no such scene"),
        (("tiny.xml", "--model", "paper"), "--model"),
        (("tiny.xml", "--targets", "clean"), "--targets"),
    ],
)
def test_bad_words_are_one_line_and_code_2(
    words: tuple[str, ...],
    part: str,
    tiny_xml: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tiny_xml.parent)
    refused(main(["variants", *words]), *capsys.readouterr(), part)
    assert not Path("variants").exists()
