"""The real window on a real X display (Xvfb), driven by real keys, mouse, drops and the close button."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisewalk.denoiser.weights import load_weights
from noisewalk.renderer.camera_path import load_path
from tests.children import Child, Parent
from tests.conftest import ROOT, TINY_XML, child_environment
from tests.desktop import WAIT_SECONDS, Desktop, wait_for

ARTEFACTS = Path(os.environ.get("NOISEWALK_TEST_ARTEFACTS", "/tmp/noisewalk-tests"))
SMALL = ("--width", "48", "--height", "32", "--spp", "2", "--iterations", "1", "--crop", "32")
Launch = Callable[..., Child]


@pytest.fixture
def launch(desktop: Desktop, parent: Parent, cache_dir: Path, tmp_path: Path) -> Iterator[Launch]:
    """Starts the viewer on the tiny scene. Configuration and cache belong to the test."""
    (tmp_path / "tiny.xml").write_text(TINY_XML)
    children: list[Child] = []

    def start(*words: str, **environment: str) -> Child:
        env = child_environment(cache_dir) | {"DISPLAY": desktop.name, "XDG_CONFIG_HOME": str(tmp_path / "config")}
        # There are no native file dialogs: the test uses the path field.
        env["PATH"] = str(Path(sys.executable).parent)
        env |= {"NOISEWALK_TEST": "1"} | environment
        children.append(parent.start([*(words or ("tiny.xml", *SMALL)), "--json"], tmp_path, env))
        return children[-1]

    yield start
    for child in children:
        if child.poll() is None:
            child.kill()


def finish(child: Child) -> tuple[int, dict, str]:
    """Exit code, the `--json` report, and the lines on standard error."""
    out, err = child.communicate(timeout=60)
    return child.returncode, json.loads(out) if out else {}, err


def shot(desktop: Desktop, name: str) -> np.ndarray:
    """A screenshot, kept in the artefacts."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    return np.asarray(desktop.screenshot(ARTEFACTS / f"{name}.png"))


def picture_area(image: np.ndarray) -> np.ndarray:
    """The picture between menu, controls and graphs of a 1280x720 window, without its captions."""
    return image[80:500, 20:940].astype(int)


def differing(one: np.ndarray, other: np.ndarray) -> float:
    """Share of pixels whose difference is visible."""
    return float((np.abs(one - other).max(axis=-1) > 24).mean())


def test_a_person_flies_splits_records_exports_and_leaves(desktop: Desktop, launch: Launch, tmp_path: Path) -> None:
    child = launch()
    assert desktop.window("noisewalk")
    window = desktop.window("tiny - noisewalk")
    desktop.key("5")  # albedo has no noise, so that only a new view changes the picture

    def steady() -> np.ndarray | None:
        """The picture, if it stands still. Edges are sampled again in every frame and change, the rest stays."""
        one = picture_area(shot(desktop, "walk"))
        time.sleep(0.4)
        other = picture_area(shot(desktop, "walk"))
        return one if np.ptp(one) > 100 and differing(one, other) < 0.04 else None

    def wait_array(what: Callable[[], np.ndarray | None], seconds: float = WAIT_SECONDS) -> np.ndarray:
        return wait_for(lambda: [s] if (s := what()) is not None else None, "a picture", seconds)[0]

    def albedo_of_the_floor() -> np.ndarray | None:
        """Not the start-up card, which stands still too."""
        one = steady()
        return one if one is not None and (np.abs(one - (203, 148, 122)).max(axis=-1) < 12).mean() > 0.2 else None

    start = wait_array(albedo_of_the_floor)

    def moved_from(before: np.ndarray, seconds: float = WAIT_SECONDS) -> np.ndarray:
        return wait_array(lambda: s if (s := steady()) is not None and differing(s, before) > 0.08 else None, seconds)

    def walked(times: int = 4) -> np.ndarray:
        desktop.key("w", hold=0.5)
        try:
            return moved_from(start, 15.0)
        except AssertionError:  # a busy machine drew few frames meanwhile, and moved little in each
            return walked(times - 1) if times else moved_from(start)

    forward = walked()
    desktop.drag((400, 300), (520, 330))
    turned = moved_from(forward)
    desktop.drag((480, 300), (430, 280), 1, "Alt_L")
    moved_from(turned)
    desktop.key("Home")
    # Until the new view is rendered, the last picture is shown from there. It stands still too. At the start, edges had
    # one sample per pixel, and now they have many.
    home = wait_array(lambda: s if (s := steady()) is not None and differing(s, start) < 0.08 else None)

    desktop.key("x")  # split: albedo | noisy average
    split = moved_from(home)
    middle = split.shape[1] // 2
    assert differing(split[:, : middle - 40], home[:, : middle - 40]) < 0.04

    def split_moved() -> bool:
        desktop.drag((484, 271), (200, 271))  # a busy machine may draw no frame while the mouse is over the handle
        time.sleep(2.0)
        return differing(picture_area(shot(desktop, "split"))[:, 250:400], home[:, 250:400]) > 0.5

    wait_for(split_moved, "the split")
    desktop.key("x")

    desktop.key("r")
    desktop.key("d", hold=1.6)
    desktop.key("s", hold=1.6)
    desktop.key("r")
    desktop.key("Control_L", "s")
    desktop.key("Control_L", "a")
    desktop.type("flown.json")
    desktop.key("Return")
    wait_for((tmp_path / "flown.json").exists, "the path")
    assert 3 <= len(load_path(tmp_path / "flown.json").keyframes) <= 12
    desktop.key("space")
    desktop.key("Control_L", "e")
    desktop.key("Control_L", "a")
    desktop.type("w.safetensors")
    desktop.key("Return")
    wait_for((tmp_path / "w.safetensors").exists, "the weights")
    assert load_weights(tmp_path / "w.safetensors")[1]["scene"] == "tiny"
    desktop.key("space", hold=0.5)
    time.sleep(1.0)  # then the camera rests, and the screenshot is of a full frame
    desktop.key("F2")
    wait_for((tmp_path / "tiny-0001.exr").exists, "the screenshot")
    assert Image.open(tmp_path / "tiny-0001.png").size == (48, 32)

    window.configure(width=1, height=1)
    desktop.display.sync()
    time.sleep(0.5)
    window.unmap()  # what a window manager does to minimise
    desktop.display.sync()
    time.sleep(0.5)
    window.map()
    window.configure(width=1280, height=720)
    desktop.display.sync()
    assert desktop.window("tiny")
    wait_array(lambda: s if (s := picture_area(shot(desktop, "after-resize"))).std() > 5 else None)
    desktop.close_window(window)
    code, report, err = finish(child)
    assert (code, err) == (0, "")
    assert report["drawn_frames"] > 20 and report["seconds_to"]["window"] < report["seconds_to"]["picture"]
    kept = json.loads((tmp_path / "config" / "noisewalk" / "viewer.json").read_text())
    assert kept["recent"] == [str(tmp_path / "tiny.xml")] and "[Docking]" in kept["layout"]


def test_scenes_paths_and_weights_are_dropped_and_bad_ones_are_explained(
    desktop: Desktop, launch: Launch, tmp_path: Path
) -> None:
    child = launch()
    window = desktop.window("tiny - noisewalk")
    (tmp_path / "second.xml").write_text(TINY_XML.replace('value="12"', 'value="20"'))
    desktop.drop(window, tmp_path / "second.xml")
    assert desktop.window("second - noisewalk")
    (tmp_path / "broken.xml").write_text("<scene")
    before = picture_area(shot(desktop, "before"))
    desktop.drop(window, tmp_path / "broken.xml")

    # The dialog's dimming and its text come over the picture.
    def dimmed() -> bool:
        corner = picture_area(shot(desktop, "broken"))[-60:, :60]
        return corner.mean() < 0.75 * before[-60:, :60].mean() or corner.mean() < 16

    wait_for(dimmed, "a dialog")
    assert desktop.window("second - noisewalk")
    desktop.key("Return")
    (tmp_path / "path.json").write_text("{}")
    desktop.drop(window, tmp_path / "path.json")
    time.sleep(0.5)
    desktop.key("Return")
    desktop.key("Control_L", "q")
    code, _, _ = finish(child)
    assert code == 0


def wait_until_trained(desktop: Desktop, folder: Path) -> None:
    """Takes screenshots until one has the layer `estimated_error`. An untrained network (`--cold`) has none."""

    def trained() -> bool:
        desktop.key("F2")
        return any(b"estimated_error" in image.read_bytes() for image in folder.glob("*.exr"))

    wait_for(trained, "a step of training")


def test_ctrl_c_in_the_terminal_ends_cleanly_and_keeps_the_weights(
    desktop: Desktop, launch: Launch, cache_dir: Path, tmp_path: Path
) -> None:
    child = launch("tiny.xml", *SMALL, "--cold", "--cache-dir", "kept")
    desktop.window("tiny - noisewalk")
    wait_until_trained(desktop, tmp_path)
    child.send_signal(signal.SIGINT)
    code, _, err = finish(child)
    assert code == 130 and "Traceback" not in err
    (saved,) = (tmp_path / "kept" / "weights").glob("tiny-*.safetensors")
    assert load_weights(saved)[1]["scene"] == "tiny"


def test_losing_the_display_keeps_the_weights(desktop: Desktop, launch: Launch, tmp_path: Path) -> None:
    child = launch("tiny.xml", *SMALL, "--cold", "--cache-dir", "kept")
    desktop.window("tiny - noisewalk")
    wait_until_trained(desktop, tmp_path)
    desktop.server.kill()
    code, _, err = finish(child)
    assert code == 2 and err.count("\n") == 1 and "the display is gone" in err
    assert list((tmp_path / "kept" / "weights").glob("tiny-*.safetensors"))


def test_no_display_and_no_gl_are_one_line_that_names_headless(desktop: Desktop, launch: Launch) -> None:
    for environment in ({"DISPLAY": ":63999"}, {"MESA_GL_VERSION_OVERRIDE": "2.1"}):
        code, _, err = finish(launch(**environment))
        assert code == 2 and err.count("\n") == 1 and "--headless" in err, err


def test_a_missing_scene_never_opens_a_window(launch: Launch) -> None:
    code, _, err = finish(launch("nosuch.xml"))
    assert code == 2 and err.count("\n") == 1 and "nosuch.xml" in err


@pytest.mark.parametrize("desktop", [192], indirect=True)
def test_a_dense_display_gets_larger_text(desktop: Desktop, launch: Launch) -> None:
    child = launch()
    window = desktop.window("tiny - noisewalk")
    column = shot(desktop, "dense")[:, 2].astype(int)
    bar = int((np.abs(column - column[5]).max(axis=-1) > 2).argmax())
    assert 38 <= bar <= 46, bar  # the menu bar, 21 rows high at 96 dots per inch
    geometry = window.get_geometry()
    assert geometry.width <= 1280 and geometry.height <= 720  # no larger than the display
    desktop.close_window(window)
    assert finish(child)[0] == 0


def test_the_loop_goes_on_while_the_renderer_blocks(desktop: Desktop, cache_dir: Path, tmp_path: Path) -> None:
    # In another process: this one has used EGL contexts, and Mesa does not mix them with those of a window.
    (tmp_path / "tiny.xml").write_text(TINY_XML)
    child = subprocess.run(
        [sys.executable, "-m", "tests.blocked_renderer", "tiny.xml", str(cache_dir)],
        cwd=tmp_path,
        env=child_environment(cache_dir)
        | {"DISPLAY": desktop.name, "XDG_CONFIG_HOME": str(tmp_path / "config"), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert child.returncode == 0, child.stderr


def test_the_desktops_own_dialog_is_used_where_there_is_one(desktop: Desktop, launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "second.xml").write_text(TINY_XML)
    (tmp_path / "bin").mkdir()
    zenity = tmp_path / "bin" / "zenity"  # answers like a person who chose that file
    zenity.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\necho {tmp_path}/second.xml\n')
    zenity.chmod(0o755)
    child = launch(PATH=f"{tmp_path}/bin:{os.environ['PATH']}")
    window = desktop.window("tiny - noisewalk")
    desktop.key("Control_L", "o")
    assert desktop.window("second - noisewalk")
    assert "Open scene" in (tmp_path / "asked").read_text() and "*.xml" in (tmp_path / "asked").read_text()
    desktop.close_window(window)
    assert finish(child)[0] == 0
