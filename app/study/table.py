"""The table of the studies. Each row says how pictures are corrupted, and which variants learn from them.

The papers' numbers are from Lehtinen et al. 2018 (Noise2Noise), for Kodak unless it says otherwise; for the blind spot
from Laine et al. 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from noisewalk.app.options import CAPTURES
from noisewalk.app.study import rooms
from noisewalk.app.study.classic import anscombe_bm3d, bm3d
from noisewalk.app.study.draws import Corruption, Draw, captured, clean, itself, noisy
from noisewalk.app.study.pictures import Load, photographs
from noisewalk.app.study.slices import brains
from noisewalk.denoiser import corruptions
from noisewalk.denoiser.blindspot import BlindSpotModel
from noisewalk.denoiser.corruptions import between
from noisewalk.denoiser.losses import AnnealedL0, l1_loss, l2_loss
from noisewalk.denoiser.paper import PaperModel
from noisewalk.denoiser.restoration import KnownFrequenciesModel, RestorationModel

SIGMA = 25.0  # steps of 1/255
KEPT = 0.1  # of the frequencies
PAPER_SHARE = 0.7  # of the pixels have random colors
PAPER_CAPTURES = 2000
IMAGENET_STEPS = 300_000  # of the authors' published program


Build = Callable[..., Any]


@dataclass(frozen=True)
class Variant:
    """One network of a study. build: makes it with its loss, from `features`. draw: gives what it learns from."""

    name: str
    build: Build
    draw: Draw


@dataclass(frozen=True)
class Study:
    """A row of the table.

    test:    the corruption that all variants are tested on.
    paper:   the paper's dB of `input`, variants and classic methods.
    expected: the expected order of the results, in words.
    classic: other methods, from the corrupted (1, C, H, W) to the picture.
    truth, shown: the clean part of the pictures, and how pictures are shown and measured, in [0, 1].
    learning_rate: of the paper's network; a narrow one has a higher one.
    steps, batch, crop: the defaults. scale: of the paper, the same three; more: its other options.
    """

    name: str
    about: str
    variants: tuple[Variant, ...]
    test: Corruption
    paper: Mapping[str, float]
    expected: str
    pictures: Load = photographs
    channels: int = 3
    classic: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = field(default_factory=dict)
    truth: Callable[[torch.Tensor], torch.Tensor] = lambda picture: picture
    shown: Callable[[torch.Tensor], torch.Tensor] = lambda picture: picture
    learning_rate: float = 1e-3
    steps: int = 2000
    batch: int = 4
    crop: int = 32
    scale: tuple[int, int, int] = (IMAGENET_STEPS, 4, 256)
    more: str = ""


def varied(corruption: Callable[..., torch.Tensor], low: float, high: float, *more: float) -> Corruption:
    """The corruption with another strength for each picture, uniform between the two."""
    return lambda picture, generator: corruption(picture, between(low, high, len(picture), generator), *more, generator)


def fixed(corruption: Callable[..., torch.Tensor], *strength: float) -> Corruption:
    """The corruption with one strength."""
    return lambda picture, generator: corruption(picture, *strength, generator)


def undersampled(picture: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """`corruptions.undersampled`, which keeps KEPT of the frequencies."""
    return corruptions.undersampled(picture, corruptions.decay_for(KEPT, *picture.shape[-2:]), generator)


def _l0(features: int) -> RestorationModel:
    return RestorationModel(AnnealedL0(), features=features)


_L1, _L2 = partial(RestorationModel, l1_loss), partial(RestorationModel, l2_loss)
_KNOWN = partial(KnownFrequenciesModel, l2_loss)


def _noisy_and_clean(corruption: Corruption) -> tuple[Variant, Variant]:
    return Variant("noisy", _L2, noisy(corruption)), Variant("clean", _L2, clean(corruption))


def _by_loss(corruption: Corruption, best: Build, **builds: Build) -> tuple[Variant, ...]:
    """Noisy targets with each of the losses, and clean targets with the best one."""
    draw = noisy(corruption)
    by_name = [Variant(name, build, draw) for name, build in builds.items()]
    return *by_name, Variant("clean", best, clean(corruption))


def impulses(share: float) -> Study:
    """Section 3.2, and figure 5 for many shares: trained and tested with this share of the pixels replaced.

    The paper trains with 0 to 95 % unless it draws figure 5.
    """
    corruption = fixed(corruptions.impulse, share)
    return Study(
        name="impulse",
        about=f"random colors in {share:.0%} of the pixels",
        variants=_by_loss(corruption, _L2, L2=_L2, L1=_L1, L0=_l0),
        test=corruption,
        paper={"input": 8.89, "L2": 13.02, "L1": 16.36, "L0": 28.43, "clean": 28.86} if share == PAPER_SHARE else {},
        expected="L0 far ahead of L1, and L1 ahead of L2; L1 is as good as L0 up to 50 % (figure 5)",
        steps=1000,
    )


_GAUSSIAN = varied(corruptions.gaussian, 0.0, 50.0)
_POISSON = varied(corruptions.poisson, 1.0, 50.0)
_BERNOULLI = varied(corruptions.bernoulli, 0.0, 0.95)
_TEXT = varied(corruptions.text, 0.0, 0.5)
_WHITE = fixed(corruptions.gaussian, SIGMA)
_HALF_SEEN = rooms.seen


def budget(captures: int) -> Study:
    """Figure 1c: what is learned from a fixed number of noisy pictures, at least 40."""
    few, many = captures // 20, captures // 2
    return Study(
        name="budget",
        about=f"{captures} captures: {few} scenes x 20, first and mean of the others; all their pairs; {many} x 2",
        variants=(
            Variant(f"{few} x 20 fixed", _L2, captured(_WHITE, few, 20, fixed=True)),
            Variant(f"{few} x 20 pairs", _L2, captured(_WHITE, few, 20)),
            Variant(f"{many} x 2", _L2, captured(_WHITE, many, 2)),
        ),
        test=_WHITE,
        paper={},
        expected="each better than the one before, by some tenths (figure 1c)",
        steps=800,
        more=f"--captures {PAPER_CAPTURES} ",
    )


ROWS = (
    Study(
        name="gaussian",
        about="white Gaussian noise, sigma 0 to 50; tested with 25",
        variants=_noisy_and_clean(_GAUSSIAN),
        test=_WHITE,
        paper={"noisy": 32.48, "clean": 32.50, "BM3D": 31.82},
        expected="noisy and clean targets within 0.1 dB of each other",
        classic={"BM3D": partial(bm3d, sigma=SIGMA)},
    ),
    Study(
        name="brown",
        about="targets under Gaussian noise blurred by 0, 1, 2 and 5 pixels, sigma 25; input white",
        variants=tuple(
            Variant(f"{width} pixels", _L2, noisy(_WHITE, fixed(corruptions.brown, SIGMA, float(width))))
            for width in (0, 1, 2, 5)
        ),
        test=_WHITE,
        paper={},
        expected="the wider, the slower; at the end within 0.1 dB (figure 1b)",
        steps=800,
    ),
    budget(CAPTURES),
    Study(
        name="poisson",
        about="photon noise, 1 to 50 photons at white; tested with 30",
        variants=_noisy_and_clean(_POISSON),
        test=fixed(corruptions.poisson, 30.0),
        paper={"noisy": 31.50, "clean": 31.52, "Anscombe": 29.15},
        expected="noisy and clean targets nearly the same",
        classic={"Anscombe": partial(anscombe_bm3d, photons=30.0)},
        steps=1000,
    ),
    Study(
        name="bernoulli",
        about="0 to 95 % of the pixels missing; tested with half of them",
        variants=_noisy_and_clean(_BERNOULLI),
        test=fixed(corruptions.bernoulli, 0.5),
        paper={"noisy": 33.17, "clean": 33.01},
        expected="noisy targets a little better",
        steps=1200,
    ),
    Study(
        name="text",
        about="random text over 0 to 50 % of the picture; tested with 25 %",
        variants=_by_loss(_TEXT, _L1, L2=_L2, L1=_L1),
        test=fixed(corruptions.text, 0.25),
        paper={"input": 17.12, "L2": 26.89, "L1": 35.75, "clean": 35.82},
        expected="L1 far ahead of L2",
        crop=64,  # a smaller one is nearly covered by a single string
        steps=500,
    ),
    impulses(PAPER_SHARE),
    Study(
        name="mri",
        about="one frequency in ten of a brain's slices",
        variants=(
            Variant("noisy", _KNOWN, noisy(undersampled, lambda x, g: undersampled(x, g)[:, :1])),
            Variant("clean", _KNOWN, clean(undersampled)),
        ),
        test=undersampled,
        paper={"input": 20.03, "noisy": 31.74, "clean": 31.77},
        expected="noisy and clean targets nearly the same (IXI)",
        pictures=brains,
        channels=1,
        steps=600,
        crop=64,
        scale=(300 * 5000 // 16, 16, 255),
    ),
    Study(
        name="offline",
        about="path-traced rooms of 64 spp; others to test on",
        variants=(
            Variant("noisy", PaperModel, noisy(_HALF_SEEN, rooms.other_half)),
            Variant("clean", PaperModel, clean(_HALF_SEEN, rooms.clean)),
        ),
        test=_HALF_SEEN,
        paper={"input": 22.31, "noisy": 31.33, "clean": 31.83},  # for noisy targets the paper says: 0.5 dB less
        expected="noisy targets 0.5 dB behind after as many steps",
        pictures=rooms.rendered_rooms,
        truth=rooms.clean,
        shown=rooms.displayed,
        learning_rate=6e-4,
        batch=1,
        crop=64,  # a whole room
        scale=(2000 * 860 // 4, 4, 256),
        steps=1500,
    ),
    Study(
        name="blindspot",
        about="white Gaussian noise of a known sigma, 25, learned from single noisy pictures",
        variants=(
            Variant("full", partial(BlindSpotModel, SIGMA, "full"), itself(_WHITE)),
            Variant("per component", partial(BlindSpotModel, SIGMA, "diagonal"), itself(_WHITE)),
            Variant("L2", partial(BlindSpotModel, SIGMA, "none"), itself(_WHITE)),
            *_noisy_and_clean(_WHITE),
        ),
        test=_WHITE,
        paper={"full": 32.39, "per component": 31.54, "L2": 30.58, "noisy": 32.39, "clean": 32.41},
        expected="full within 0.1 dB of noisy targets; per component, then L2 behind",
        steps=300,
        scale=(500_000, 4, 256),
    ),
)
STUDIES = {row.name: row for row in ROWS}
