"""All samples of a view become one pair, whose halves know nothing of each other."""

from __future__ import annotations

from dataclasses import replace

import torch

from noisewalk.denoiser.gathering import Gathering
from noisewalk.denoiser.metrics import psnr
from noisewalk.denoiser.online import OnlineDenoiser
from noisewalk.denoiser.trainer import TrainingSettings
from noisewalk.renderer.frame import Frame, NoisyPair
from tests.denoiser.pairs import noisy_pair, truth

CLEAN = truth(32, 32)


def placed(pair: NoisyPair) -> NoisyPair:
    """With positions that the pair's camera sees, so that there is a history."""
    y, x = torch.meshgrid(*[(torch.arange(32) + 0.5) / 16 - 1] * 2, indexing="ij")
    reach = torch.tan(torch.deg2rad(torch.tensor(22.5)))
    position = 4 * torch.stack([-x * reach, -y * reach, torch.ones_like(x)], dim=-1)
    return replace(pair, a=replace(pair.a, position=position), b=replace(pair.b, position=position))


def test_each_half_is_the_mean_of_its_own_samples() -> None:
    gathering, pairs = Gathering(None), [noisy_pair(index, CLEAN) for index in range(3)]
    pairs[1] = replace(pairs[1], spp=16)
    for pair in pairs:
        gathered = gathering.add(pair)
    assert (gathered.spp, gathered.index, gathering.pairs) == (32, 2, 3)
    for half in ("a", "b"):
        colors = [getattr(pair, half).color for pair in pairs]
        expected = (colors[0] + 2 * colors[1] + colors[2]) / 4
        assert torch.allclose(getattr(gathered, half).color, expected, rtol=1e-5)


def test_broken_pixels_are_left_out_of_the_mean() -> None:
    gathering = Gathering(None)
    whole = noisy_pair(1, CLEAN)
    for pair in (noisy_pair(0, CLEAN, broken=True), whole, noisy_pair(2, CLEAN, broken=True)):
        gathered = gathering.add(pair)
    assert gathered.a.color.isfinite().all() and torch.equal(gathered.a.color[3, 5], whole.a.color[3, 5])


def test_a_half_does_not_depend_on_the_samples_of_the_other() -> None:
    seen = []
    for offset in (0, 100):  # the other half has other noise
        with OnlineDenoiser(TrainingSettings(), "cpu", "lockstep") as denoiser:
            for index in range(3):
                denoiser.prepare(placed(noisy_pair(index, CLEAN)))
            gathering = denoiser.gathering()
            for index in range(3, 6):
                other = noisy_pair(index + offset, CLEAN).b
                pair = placed(replace(noisy_pair(index, CLEAN), b=other))
                denoiser.prepare(pair)
                gathering.add(pair)
            seen.append(denoiser.prepare_gathered(gathering))
    assert seen[0].a[:, 12:15].abs().max() > 0  # there is a history
    assert torch.equal(seen[0].a, seen[1].a) and not torch.equal(seen[0].b, seen[1].b)


def test_the_picture_gets_as_good_as_the_samples_and_is_better_before() -> None:
    gathering, found = Gathering(None), {}
    with OnlineDenoiser(TrainingSettings(), "cpu", "lockstep") as denoiser:
        for index in range(256):
            gathered = gathering.add(noisy_pair(index, CLEAN))
            if index in (3, 255):
                shown = denoiser.denoise_gathered(denoiser.prepare_gathered(gathering)).shown
                found[index] = psnr(shown, CLEAN.color), psnr(gathered.mean("color"), CLEAN.color)
    assert found[3][0] > found[3][1] + 3 and found[255][0] > found[255][1] > found[3][1] + 10


def test_pictures_without_positions_are_gathered_too() -> None:
    gathering = Gathering(None)
    bare = Frame(CLEAN.color, CLEAN.albedo, CLEAN.normal)
    for index in range(2):
        gathered = gathering.add(NoisyPair(bare, bare, index=index))
    assert gathered.a.position is None and torch.allclose(gathered.a.color, CLEAN.color)
