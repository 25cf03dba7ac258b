"""Sizes, models and depths to choose from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from noisewalk.app.flying.setup import DEPTHS, MODELS, SIDE_RANGE, can_be_guided, resized, sizes, with_setup
from noisewalk.app.options import CONTENDERS, WalkOptions
from tests.app.viewer.test_drawing import facts

FILM = (1280, 720)


def test_sizes_keep_the_aspect_and_end_with_the_films_own() -> None:
    scene = replace(facts(), film=FILM)
    offered = sizes(scene, film_aspect=True)
    assert offered[-1] == FILM and all(width / height == pytest.approx(16 / 9, rel=0.05) for width, height in offered)
    assert [width * height for width, height in offered[:3]] == pytest.approx([96**2, 128**2, 192**2], rel=0.06)
    squares = sizes(scene, film_aspect=False)
    assert all(width == height for width, height in squares)


@pytest.mark.parametrize(
    ("width", "height", "film_aspect", "expected"),
    [
        (640, 32, True, (640, 360)),
        (48, 90, True, (160, 90)),
        (640, 32, False, (640, 32)),
        (1, 9999999, False, SIDE_RANGE),
        (-5, 32, True, (16, 16)),
    ],
)
def test_one_side_follows_the_other(width: int, height: int, film_aspect: bool, expected: tuple[int, int]) -> None:
    scene = replace(facts(), film=FILM)
    setup = resized(scene, width, height, film_aspect)
    assert (setup.width, setup.height) == expected
    assert replace(setup, width=48, height=32) == scene.setup


def test_a_setup_becomes_options_and_weights_stay_with_the_first_walk() -> None:
    setup = replace(facts().setup, model="paper", guide=False, max_depth=3)
    options = with_setup(WalkOptions(scene="gallery", seed=5, weights=Path("a.safetensors")), setup)
    expected = WalkOptions(scene="gallery", seed=5, width=48, height=32, model="paper", guide="none", max_depth=3)
    assert options == expected


def test_models_are_those_that_are_compared_and_the_guide_needs_one_that_listens() -> None:
    assert set(MODELS) == {contender["model"] for contender in CONTENDERS.values()} and None in DEPTHS
    scene = facts()
    assert can_be_guided(scene, "kernel") and not can_be_guided(scene, "paper")
    assert not can_be_guided(replace(scene, oidn=False), "kernel")
