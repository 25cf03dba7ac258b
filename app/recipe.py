"""A hash of all code that decides pretraining: what makes the clips, and what learns from them."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path

from noisewalk.denoiser.pretrained import pretrained_about

_INPUTS = ("planes", "features", "inputs", "history", "guide")
_TRAINING = ("kernel_prediction", "unet", "losses", "trainer", "precision")
CLIP_CODE = (
    "noisewalk.app:clips.py",
    "noisewalk.scenes:rooms",
    "noisewalk.renderer:frame.py",
    "noisewalk.renderer:path_tracer.py",
    *(f"noisewalk.denoiser:{name}.py" for name in _INPUTS),
)
TRAINING_CODE = (*CLIP_CODE, "noisewalk.app:pretrain.py", *(f"noisewalk.denoiser:{name}.py" for name in _TRAINING))


@cache
def recipe(code: tuple[str, ...]) -> str:
    """16 hexadecimal digits of the code and of the guide's version.

    code: as in CLIP_CODE, packages and a file or folder in each. Comments, docstrings and layout do not count.
    """
    parts = [skeleton(file.read_text(encoding="utf-8")) for place in code for file in _sources(place)]
    return hashlib.sha256("\n".join([*parts, _guide_version()]).encode()).hexdigest()[:16]


def skeleton(source: str) -> str:
    """The syntax tree of a module's source as text, without docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            del node.body[0]
    return ast.dump(tree)


def pretrained_state(model: str) -> str:
    """Says in a few words whether the weights that come with the program were made by its present code."""
    about = pretrained_about(model)
    if about is None:
        return "none: it starts untrained"
    if "code" not in about:
        return "stale: made by unknown code; `noisewalk pretrain` makes them again"
    same = about["code"] == recipe(TRAINING_CODE)
    return "made by this code" if same else "stale: made by other code; `noisewalk pretrain` makes them again"


def _sources(place: str) -> list[Path]:
    package, name = place.split(":")
    path = Path(str(files(package))) / name
    return sorted(path.glob("*.py")) if path.is_dir() else [path]


def _guide_version() -> str:
    try:
        return version("pyoidn")
    except PackageNotFoundError:
        return "none"
