"""What is installed: one import name with all its files, from a clone in a folder of any name."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("noisewalk", "app", "denoiser", "renderer", "scenes")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools leaves its own files beside the sources."""
    clone = tmp_path_factory.mktemp("clone") / "häuschen no. 1"
    for file in sources() | {"pyproject.toml", "README.md", "LICENSE"}:
        (clone / file).parent.mkdir(parents=True, exist_ok=True)
        (clone / file).write_bytes((ROOT / file).read_bytes())
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", clone.parent, clone)
    return next(clone.parent.glob("*.whl"))


def test_the_wheel_has_our_import_name_only_and_every_file_of_it(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        found = {Path(name) for name in archive.namelist() if ".dist-info/" not in name}
    assert {file.parts[0] for file in found} == {"noisewalk"}
    expected = {Path(file) for file in sources() if not file.endswith("generate.py")}
    assert found == {file if file.parts[0] == "noisewalk" else "noisewalk" / file for file in expected}


def test_an_installed_wheel_runs_without_the_clone(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip("install", "--no-deps", "--target", site, wheel)
    run = "import noisewalk.app.__main__ as m; print(m.__file__); m.main(['scenes'])"
    done = child(run, cwd=tmp_path, path=site)
    assert done[0].startswith(str(site))
    assert [line.split()[0] for line in done[1:]] == ["cornell", "courtyard", "gallery"]
    weights = "from noisewalk.denoiser.pretrained import pretrained_weights as p; print(len(p('kernel')) > 0)"
    assert child(weights, cwd=tmp_path, path=site) == ["True"]


def test_the_public_names_come_without_renderer_and_window(tmp_path: Path) -> None:
    asked = "import sys, noisewalk as n; print([getattr(n, name) is not None for name in n.__all__]);"
    heavy = "print([m for m in ('mitsuba', 'drjit', 'glfw', 'moderngl', 'imgui_bundle') if m in sys.modules])"
    assert child(asked + heavy, cwd=tmp_path) == [str([True] * 6), "[]"]
    assert child("import sys, noisewalk; print('torch' in sys.modules)", cwd=tmp_path) == ["False"]


def sources() -> set[str]:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *FOLDERS], cwd=ROOT, capture_output=True)
    return {line for line in listed.stdout.decode().splitlines() if not line.endswith("README.md") or "/" in line}


def child(code: str, cwd: Path, path: Path | str = "") -> list[str]:
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(path)!r}); {code}"]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def pip(*words: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
