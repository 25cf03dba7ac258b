"""Who imports whom, read from the sources: the arrows of CONTRIBUTING, rooms that keep apart, and no circles."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("app", "denoiser", "renderer", "scenes")
SOURCES = {
    "noisewalk." + ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for folder in FOLDERS
    for file in (ROOT / folder).rglob("*.py")
    if file.name != "generate.py"
}
COMMANDS = "noisewalk.app.__main__"  # leads into every room
SHARED = "noisewalk.app.flying"  # by the window and the browser


class Import(NamedTuple):
    """name: of a module. for_types: at run time nobody needs it. late: inside a function."""

    name: str
    for_types: bool
    late: bool


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def within(tree: ast.AST, chosen: Callable[[ast.AST], bool]) -> set[ast.AST]:
    """All nodes that lie in a chosen one."""
    return {inner for node in ast.walk(tree) if chosen(node) for inner in ast.walk(node)}


def imports(module: str) -> Iterator[Import]:
    """What a module imports, and how."""
    tree = ast.parse(SOURCES[module].read_text(encoding="utf-8"))
    for_types, late = within(tree, is_for_types), within(tree, is_function)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports by a relative name"
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in SOURCES else str(node.module) for name in inside]
        else:
            continue
        yield from (Import(name, node in for_types, node in late) for name in names)


def own(module: str) -> set[str]:
    """The modules of ours that it imports."""
    return {found.name for found in imports(module) if found.name.startswith("noisewalk")}


def room(module: str) -> str | None:
    """The command's room that a module of app is in; None for what all commands share."""
    package = ".".join(module.split(".")[:3])
    inside = module.startswith("noisewalk.app.") and SOURCES.get(package, Path()).name == "__init__.py"
    return package if inside and package != SHARED else None


def test_there_is_something_to_look_at() -> None:
    assert len(SOURCES) > 80 and "noisewalk.renderer.frame" in own("noisewalk.app.session")
    assert {room(module) for module in SOURCES} >= {"noisewalk.app.walk", "noisewalk.app.viewer", None}


@pytest.mark.parametrize("module", SOURCES)
def test_arrows_lead_from_app_to_denoiser_and_renderer_and_never_back(module: str) -> None:
    allowed = {
        "app": ("noisewalk",),
        "denoiser": ("noisewalk.denoiser", "noisewalk.renderer.frame"),
        "renderer": ("noisewalk.renderer", "noisewalk.scenes"),
        "scenes": ("noisewalk.scenes", "noisewalk.renderer"),
    }[module.split(".")[1]]
    assert all(name.startswith(allowed) for name in own(module)), own(module)
    assert "noisewalk" not in own(module)  # which is for users


@pytest.mark.parametrize("module", [module for module in SOURCES if module != COMMANDS])
def test_no_room_knows_another_and_what_is_shared_knows_none(module: str) -> None:
    strangers = {name for name in own(module) if room(name) not in (None, room(module))}
    assert not strangers


@pytest.mark.parametrize("module", SOURCES)
def test_mitsuba_is_imported_by_the_renderer_alone_and_inside_functions(module: str) -> None:
    heavy = [found for found in imports(module) if found.name.split(".")[0] in ("mitsuba", "drjit")]
    assert all(found.late and module.startswith("noisewalk.renderer") for found in heavy), heavy


def test_there_are_no_circles() -> None:
    needed = {
        module: {found.name for found in imports(module) if found.name in SOURCES and not found.for_types}
        for module in SOURCES
    }
    TopologicalSorter(needed).prepare()  # raises CycleError, which names them
