"""The real page in Chromium and bare clients, on a tiny scene: `noisewalk SCENE --browser` in a child process."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from websockets.exceptions import ConnectionClosed

from noisewalk.app.browser.guard import MAX_UPLOAD_BYTES
from noisewalk.denoiser.weights import load_weights
from tests.browser import chromium_is_missing
from tests.children import Parent
from tests.conftest import TINY_XML, child_environment, needed
from tests.desktop import wait_for
from tests.pages import BareClient, Page


class Served:
    """The program, serving the tiny scene."""

    def __init__(self, parent: Parent, folder: Path, cache: Path, *words: str) -> None:
        self.cache = cache
        (folder / "tiny.xml").write_text(TINY_XML)
        command = ["tiny.xml", "--browser", "--port", "0", "--cache-dir", str(cache)]
        size = ["--width", "48", "--height", "32", "--spp", "2", "--iterations", "1", "--crop", "32", *words]
        self.process = parent.start(command + size, folder, child_environment(cache))
        self.said = [self.process.stderr.readline() for _ in range(2)]
        found = re.search(r"open (http://127\.0\.0\.1:(\d+))", self.said[0])
        assert found, self.said
        self.address, self.port = found[1], int(found[2])

    def end(self) -> tuple[int, str]:
        """Ctrl-C; the exit code, and what else was said."""
        self.process.send_signal(signal.SIGINT)
        _, errors = self.process.communicate(timeout=120)
        return self.process.wait(0), errors


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, parent: Parent, cache_dir: Path) -> Iterator[Served]:
    """One for all tests of this file."""
    started = Served(parent, tmp_path_factory.mktemp("served"), cache_dir)
    yield started
    code, errors = started.end()
    assert code == 130 and "Traceback" not in errors, errors


@pytest.fixture(scope="module")
def page(served: Served) -> Iterator[Page]:
    """The first visitor, who flies."""
    needed(chromium_is_missing(), "Chromium")
    opened = Page(served.address)
    wait_for(lambda: "You fly" in opened.text and "training steps" in opened.text, "the page")
    yield opened
    opened.close()


def steps(page: Page) -> int:
    found = re.search(r"(\d+) training steps", page.text)
    return int(found[1]) if found else 0


def test_the_start_says_how_to_get_there(served: Served) -> None:
    assert f"ssh -L {served.port}:localhost:{served.port} " in served.said[1]


def test_the_picture_follows_the_camera(page: Page) -> None:
    wait_for(lambda: page.picture().std() > 20, "a picture")
    before = page.blocks()

    def difference() -> float:
        return float(np.abs(page.blocks() - before).mean())

    page.drag(300, 0)
    wait_for(lambda: difference() > 15, "another picture")
    page.press("reset camera")
    wait_for(lambda: difference() < 8, "the first picture")


def test_what_is_measured_is_drawn_and_training_goes_on(page: Page) -> None:
    trained = wait_for(lambda: steps(page), "training")
    wait_for(lambda: re.search(r"denoised \d+\.\d+ dB", page.text), "PSNR")
    wait_for(lambda: steps(page) > trained, "more training")

    def drawn() -> int:
        """How much of the graph is coloured."""
        script = """
            const graph = document.querySelector('.uplot canvas'), context = graph.getContext('2d');
            const pixels = context.getImageData(0, 0, graph.width, graph.height).data;
            let count = 0;
            for (let i = 0; i < pixels.length; i += 4) {
                const [red, green, blue] = pixels.slice(i, i + 3);
                if (pixels[i + 3] > 200 && Math.max(red, green, blue) - Math.min(red, green, blue) > 60) count++;
            }
            return count;"""
        return int(page.driver.execute_script(script))

    wait_for(lambda: drawn() > 100, "a graph")


def test_the_weights_come_down_and_garbage_does_not_go_up(page: Page, served: Served, tmp_path: Path) -> None:
    page.tick("training")
    held = wait_for(lambda: steps(page) if page_rests(page) else None, "training to pause")
    page.press("download weights")
    file = page.downloads / "tiny.safetensors"
    wait_for(file.exists, "the weights")
    downloaded, about = load_weights(file)[:2]
    assert about["steps"] == held > 0
    garbage = tmp_path / "garbage.safetensors"
    garbage.write_bytes(os.urandom(5000))
    page.upload("upload weights", garbage)
    wait_for(lambda: "uploaded.safetensors: not" in page.text, "the refusal")
    assert "/tmp" not in page.text  # the machine's own folders are not named
    page.upload("upload weights", file)
    wait_for(lambda: f"uploaded.safetensors: loaded, {held} steps" in page.text, "the weights to be taken")
    huge = tmp_path / "huge.safetensors"
    with open(huge, "wb") as stream:
        stream.truncate(MAX_UPLOAD_BYTES + 1)
    page.upload("upload weights", huge)
    wait_for(lambda: "the most is 64" in page.text, "the bound")
    # They are the trained ones: those that the program itself keeps of this network.
    page.tick("training")
    wait_for(lambda: steps(page) > 0, "training to go on")
    assert all(torch.isfinite(value).all() for value in downloaded.values())


def page_rests(page: Page) -> bool:
    before = steps(page)
    time.sleep(1.0)
    return steps(page) == before


def test_a_second_visitor_watches_asks_and_is_killed(page: Page, served: Served) -> None:
    other = Page(served.address)
    wait_for(lambda: "flies, you watch" in other.text and other.picture().std() > 20, "the second page")
    assert "start afresh" not in other.text
    page.press("reset camera")
    other.press("ask for the wheel")

    def given() -> bool:
        """By the pilot, who is asked; on a slow machine, where the pilot seems to do nothing, by itself."""
        if "hand the wheel over to visitor" in page.text:
            page.press("hand the wheel over")
        return "You fly" in other.text and "you watch" in page.text

    wait_for(given, "the wheel to change hands")
    before = steps(page)
    other.kill()
    wait_for(lambda: "You fly" in page.text, "the wheel to come back")
    wait_for(lambda: steps(page) > before, "training to go on")


def test_who_does_not_answer_gets_one_picture_and_no_queue(served: Served) -> None:
    client = BareClient(served.port)

    def pictures(seconds: float) -> int:
        client.read(seconds)
        return sum(m["type"] == "BackgroundImageMessage" and m["rgb_data"] is not None for m in client.seen)

    wait_for(lambda: pictures(0.5), "a picture")
    assert pictures(3.0) == 1
    client.answer()
    wait_for(lambda: pictures(0.5) > 1, "the next picture")
    client.close()


def test_other_sites_pages_and_lying_uploads_are_refused(served: Served) -> None:
    with pytest.raises(ConnectionClosed, match="another site's page"):
        BareClient(served.port, origin="https://example.org").read(30.0)
    client = BareClient(served.port)
    client.send("ShareUrlRequest")  # no tunnel from the internet is opened: viser would say where it is
    wait_for(lambda: client.read(0.5)["GuiUploadButtonMessage"] == 2, "the page's parts")
    button = next(message["uuid"] for message in client.seen if message["type"] == "GuiUploadButtonMessage")
    transfer = {"source_component_uuid": button, "transfer_uuid": "x"}
    client.send(
        "FileTransferStartUpload", **transfer, filename="../../x", mime_type="", part_count=100, size_bytes=1000
    )
    for index in range(3):
        client.send("FileTransferPart", **transfer, part_index=index, content=bytes(800))
    wait_for(lambda: client.read(0.5)["FileTransferPartAck"], "an answer")
    client.read(1.0)
    acknowledged = [m["transferred_bytes"] for m in client.seen if m["type"] == "FileTransferPartAck"]
    assert acknowledged == [800]  # what goes beyond the size that it announced is dropped, with all before it
    assert not client.read(0.0)["ShareUrlUpdated"]
    client.close()
