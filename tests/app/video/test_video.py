"""`noisewalk video` as people call it, and its pictures looked at as numbers."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from noisewalk.app.video.film import write_film
from noisewalk.renderer.backend import Backend
from tests.conftest import Run, Start, last_json
from tests.desktop import wait_for

SIZE = ("--width", "48", "--height", "32", "--spp", "2", "--iterations", "1", "--crop", "32")


@pytest.fixture
def path_json(tmp_path: Path) -> Path:
    """Eight frames, for which the camera moves to the side."""
    matrix = np.eye(4)
    matrix[:3, 3] = 0.3, 1.0, 4.0
    moved = matrix.copy()
    moved[0, 3] = 0.6
    keyframes = [{"matrix": m.ravel().tolist(), "fov": 50.0} for m in (matrix, moved)]
    document = {"camera_type": "perspective", "fps": 8, "seconds": 1, "keyframes": keyframes, "camera_path": []}
    file = tmp_path / "path.json"
    file.write_text(json.dumps(document))
    return file


def frames_of(film: Path) -> list[np.ndarray]:
    with av.open(str(film)) as container:
        return [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]


def test_a_film_has_the_pictures_that_it_is_made_of(tmp_path: Path) -> None:
    files = []
    for index in range(5):
        ramp = np.zeros((33, 49, 3), np.uint8)
        ramp[..., :] = np.linspace(0, 200, 49)[None, :, None] + 10 * index
        files.append(tmp_path / f"{index}.png")
        Image.fromarray(ramp).save(files[-1])
    film = tmp_path / "film.mp4"
    write_film(film, files, 24.0)
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        assert (stream.average_rate, stream.frames, stream.codec_context.name) == (24, 5, "h264")
    shown = frames_of(film)
    assert [frame.shape for frame in shown] == [(32, 48, 3)] * 5  # the format has no odd rows
    for frame, file in zip(shown, files, strict=True):
        assert np.abs(frame - np.asarray(Image.open(file)).astype(int)[:32, :48]).mean() < 3


def test_a_stopped_flight_goes_on_and_ends_as_one_that_was_not(
    tiny_xml: Path, path_json: Path, noisewalk: Run, start: Start, tmp_path: Path
) -> None:
    words = ("video", tiny_xml, "--path", path_json, *SIZE, "--split", "noisy", "--json")
    whole = noisewalk(*words, "-o", "whole.mp4")
    assert whole.returncode == 0, whole.stderr
    assert last_json(whole) == {"file": "whole.mp4", "frames": 8, "fps": 8.0}
    child = start(*words, "-o", "stopped.mp4")
    part = tmp_path / "stopped.mp4.part"
    wait_for(lambda: len(list(part.glob("*.png"))) >= 2 or child.poll() is not None, "two frames")
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=120)
    assert child.returncode == 130 and "goes on from here" in errors, errors
    assert not (tmp_path / "stopped.mp4").exists()
    again = noisewalk(*words, "-o", "stopped.mp4")
    assert again.returncode == 0 and "going on at frame" in again.stderr, again.stderr
    assert not part.exists() and not list(tmp_path.glob("*.lock"))
    for one, two in zip(frames_of(tmp_path / "whole.mp4"), frames_of(tmp_path / "stopped.mp4"), strict=True):
        assert (one == two).all()


def test_a_run_is_filmed_with_what_it_has_learned(
    noisewalk: Run, backend: Backend, path_json: Path, tmp_path: Path
) -> None:
    import mitsuba as mi

    size = ("--width", "32", "--height", "32", "--spp", "1", "--reference-spp", "8", "--crop", "32")
    run = noisewalk("cornell", "--headless", "--frames", "3", "--iterations", "2", *size, "--out", "run")
    assert run.returncode == 0, run.stderr
    inside = path_json.read_text().replace("0.3, ", "0.0, ").replace("4.0, ", "2.5, ")
    path_json.write_text(inside)
    pictures = noisewalk("video", "run", "--path", path_json, "-o", "shot.exr")
    assert pictures.returncode == 0, pictures.stderr
    files = sorted(tmp_path.glob("shot-*.exr"))
    assert len(files) == 8 and not (tmp_path / "shot.exr.part").exists()
    layers = {name: np.array(layer) for name, layer in mi.Bitmap(str(files[-1])).split()}
    assert layers["<root>"].shape == layers["noisy"].shape == (32, 32, 3)

    def roughness(image: np.ndarray) -> float:
        return float(np.abs(np.diff(np.minimum(image, 1.0), axis=0)).mean())

    assert 0 < roughness(layers["<root>"]) < 0.7 * roughness(layers["noisy"])


def test_a_film_that_cannot_be_is_one_line(noisewalk: Run, tiny_xml: Path, tmp_path: Path) -> None:
    (tmp_path / "there.mp4").write_bytes(b"mine")
    for words, cause in (
        (("-o", "film.avi"), "does not end in"),
        (("-o", "there.mp4"), "exists already, and is not overwritten"),
    ):
        failed = noisewalk("video", tiny_xml, *words)
        assert failed.returncode == 2 and cause in failed.stderr and "Traceback" not in failed.stderr
