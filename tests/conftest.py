"""Shared fixtures: one proven backend, tiny scenes, and the command line in a child process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from noisewalk.renderer.backend import Backend, BackendError, choose_backend
from noisewalk.renderer.scene import Scene, open_scene
from tests.children import Child, Parent

ROOT = Path(__file__).resolve().parent.parent  # of the clone, where child processes find `tests`

TINY_XML = """\
<scene version="3.0.0">
  <integrator type="path"><integer name="max_depth" value="4"/></integrator>
  <sensor type="perspective">
    <float name="fov" value="50"/><string name="fov_axis" value="y"/>
    <transform name="to_world"><lookat origin="0.3, 1, 4" target="0, 0.6, 0" up="0, 1, 0"/></transform>
    <film type="hdrfilm"><integer name="width" value="48"/><integer name="height" value="32"/></film>
  </sensor>
  <shape type="rectangle" id="floor">
    <transform name="to_world"><rotate x="1" angle="-90"/><scale value="4"/></transform>
    <bsdf type="diffuse"><rgb name="reflectance" value="0.6, 0.3, 0.2"/></bsdf>
  </shape>
  <shape type="sphere" id="ball">
    <point name="center" x="0" y="0.7" z="0"/><float name="radius" value="0.7"/>
    <bsdf type="roughconductor"><float name="alpha" value="0.2"/></bsdf>
  </shape>
  <shape type="sphere" id="lamp">
    <point name="center" x="1.5" y="2.5" z="1"/><float name="radius" value="0.3"/>
    <emitter type="area"><rgb name="radiance" value="12"/></emitter>
  </shape>
</scene>
"""


# How far two runs of the same seed may be apart, in dB: GPUs add up in any order.
SAME_RUN = 0.2 if torch.cuda.is_available() else 1e-3


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update-golden` writes the golden images again. Look at them before you commit them."""
    parser.addoption("--update-golden", action="store_true", help="write the golden pictures again")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """GPU tests run wherever CUDA is found."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="no CUDA GPU"))


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache directory for this test session and its child processes."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def chosen_backend(cache_dir: Path) -> Backend:
    """What this machine renders with."""
    return choose_backend("auto", cache_dir)


@pytest.fixture
def backend(chosen_backend: Backend) -> Backend:
    """What this machine renders with. It is current in the test's thread, even if another test has changed that."""
    chosen_backend.activate()
    return chosen_backend


def needed(missing: bool, what: str) -> None:
    """Skips if a system package is missing. In CI all are installed: there, the test goes on and fails."""
    if missing and not os.environ.get("CI"):
        pytest.skip(f"no {what} on this machine")


@pytest.fixture
def llvm_backend(cache_dir: Path) -> Backend:
    """An LLVM that works. Without one the test skips; in CI it fails."""
    try:
        chosen = choose_backend("llvm_ad_rgb", cache_dir)
    except BackendError:
        needed(True, "LLVM that works")
        raise
    chosen.activate()
    return chosen


@pytest.fixture
def cuda_backend(cache_dir: Path) -> Backend:
    """Mitsuba's CUDA variant, for tests with the mark `gpu`. It needs OptiX: on a GPU without it they skip."""
    try:
        chosen = choose_backend("cuda_ad_rgb", cache_dir)
    except BackendError as error:
        pytest.skip(str(error))
    chosen.activate()
    return chosen


@pytest.fixture
def tiny_xml(tmp_path: Path) -> Path:
    """The path of a small scene: floor, metal ball, lamp."""
    file = tmp_path / "tiny.xml"
    file.write_text(TINY_XML)
    return file


@pytest.fixture
def tiny_scene(tiny_xml: Path, backend: Backend) -> Scene:
    """The small scene, loaded."""
    return open_scene(str(tiny_xml), backend.variant)


@pytest.fixture
def gl() -> Iterator[Any]:
    """An off-screen OpenGL 3.3 context."""
    import imgui_bundle  # noqa: F401 (before anything that loads GLFW)
    import moderngl

    try:
        context = moderngl.create_standalone_context(require=330, backend="egl")
    except Exception:
        needed(True, "EGL")
        raise
    yield context
    context.release()


@pytest.fixture(params=[96])
def desktop(request: pytest.FixtureRequest) -> Iterator[Any]:
    """An Xvfb display of 1280x720. The parameter is its density in dots per inch."""
    needed(shutil.which("Xvfb") is None, "Xvfb")
    from tests.desktop import Desktop

    started = Desktop(dpi=request.param)
    yield started
    started.close()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium, a selenium driver."""
    from tests.browser import chromium_is_missing, open_chromium

    needed(chromium_is_missing(), "Chromium")
    started = open_chromium(tmp_path_factory.mktemp("profile"))
    yield started
    started.quit()


Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Child]


@pytest.fixture(scope="session")
def parent(cache_dir: Path) -> Iterator[Parent]:
    """Where command lines are started from."""
    started = Parent(child_environment(cache_dir))
    yield started
    started.close()


@pytest.fixture
def start(parent: Parent, cache_dir: Path, tmp_path: Path) -> Start:
    """Starts the command line in a child process, in a folder of its own."""

    def begin(*words: str | Path, cwd: Path = tmp_path) -> Child:
        return parent.start(words, cwd, child_environment(cache_dir))

    return begin


@pytest.fixture
def noisewalk(start: Start, tmp_path: Path) -> Run:
    """Runs the command line in a child process, in a folder of its own."""

    def run(*words: str | Path, timeout: float = 300, cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        child = start(*words, cwd=cwd)
        out, err = child.communicate(timeout)
        return subprocess.CompletedProcess(words, child.wait(0), out, err)

    return run


def child_environment(cache_dir: Path) -> dict[str, str]:
    """The environment of child processes: they use the cache of the test session."""
    return os.environ | {"XDG_CACHE_HOME": str(cache_dir), "COLUMNS": "200"}


def last_json(completed: subprocess.CompletedProcess[str]) -> dict:
    """The result that `--json` printed."""
    return json.loads(completed.stdout.strip().splitlines()[-1])


def assert_same_parameters(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    """Compares bit by bit on a CPU. A GPU adds in any order, and Adam turns some rounding errors into steps."""
    for name, value in expected.items():
        if value.is_cuda:
            assert (found[name] - value).abs().mean() < 1e-4, name
        else:
            assert torch.equal(found[name], value), name
