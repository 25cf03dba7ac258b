"""The examples in docstrings and documents run as they are written."""

import doctest
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest

import noisewalk.denoiser
from noisewalk import renderer

MODULES = sorted(
    found.name
    for package in (noisewalk.denoiser, renderer)
    for found in walk_packages(package.__path__, package.__name__ + ".")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(import_module(name)).failed == 0


def test_examples_for_renderers_of_ones_own() -> None:
    document = Path(__file__).parents[1] / "docs" / "library.md"
    result = doctest.testfile(str(document), module_relative=False)
    assert result.failed == 0 < result.attempted
