"""The page of `--browser` in Chromium, and a bare client that can send any message of viser's protocol."""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import viser
import zstandard
from PIL import Image
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from websockets.sync.client import connect

from tests.browser import open_chromium
from tests.desktop import wait_for


class Page:
    """A Chromium with a fresh profile at the page. downloads: the folder of its files."""

    def __init__(self, address: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="noisewalk-chromium-", ignore_cleanup_errors=True)
        self.downloads = Path(self._folder.name) / "downloads"
        self.driver = open_chromium(Path(self._folder.name) / "profile")
        self.driver.set_window_size(900, 700)  # drawn by the processor: the fewer pixels the better
        allowed = {"behavior": "allow", "downloadPath": str(self.downloads)}
        self.driver.execute_cdp_cmd("Browser.setDownloadBehavior", allowed)
        self.driver.get(address)

    def close(self) -> None:
        """Closes the browser."""
        self.driver.quit()
        self._folder.cleanup()

    def kill(self) -> None:
        """Kills the browser. The server gets no message."""
        for process in psutil.Process(self.driver.service.process.pid).children(recursive=True):
            process.kill()
        self.driver.service.stop()
        self._folder.cleanup()

    @property
    def text(self) -> str:
        """All text of the page."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    def press(self, label: str) -> None:
        """Clicks the button that has this text."""
        button = self.driver.find_element(By.XPATH, f"//button[contains(., '{label}')]")
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'}); arguments[0].click()", button)

    def tick(self, label: str) -> None:
        """Changes the checkbox that belongs to this text."""
        box = self.driver.find_element(By.XPATH, f"//label[text()='{label}']/following::input[@type='checkbox'][1]")
        self.driver.execute_script("arguments[0].click()", box)

    def upload(self, label: str, file: Path) -> None:
        """Gives the file to the upload button with this text."""
        field = self.driver.find_element(
            By.XPATH, f"//button[contains(., '{label}')]/preceding-sibling::input[@type='file']"
        )
        field.send_keys(str(file))

    def drag(self, right: int, down: int) -> None:
        """Drags with the left button from the middle of the picture."""
        canvas = self.driver.find_element(By.TAG_NAME, "canvas")
        hands = ActionChains(self.driver, duration=50).move_to_element_with_offset(canvas, -200, 0).click_and_hold()
        for _ in range(5):
            hands.move_by_offset(right // 5, down // 5)
        hands.release().perform()

    def picture(self) -> np.ndarray:
        """(H, W, 3): the left half of the page, without the panel and below notifications."""
        shot = np.asarray(wait_for(self._screenshot, "a screenshot")).astype(int)
        return shot[shot.shape[0] // 3 :, : shot.shape[1] // 2]

    def blocks(self) -> np.ndarray:
        """The means of squares of 32 pixels: what is left of a picture without its noise."""
        shot = self.picture()
        rows, columns = (side // 32 * 32 for side in shot.shape[:2])
        return shot[:rows, :columns].reshape(rows // 32, 32, columns // 32, 32, 3).mean(axis=(1, 3))

    def _screenshot(self) -> Image.Image | None:
        """None if the browser is too busy, which Chromium's driver does not wait for."""
        with contextlib.suppress(TimeoutException):
            png = self.driver.get_screenshot_as_png()
            return Image.open(io.BytesIO(png)).convert("RGB")
        return None


class BareClient:
    """Connects like a page, and reads all messages. It answers nothing by itself."""

    def __init__(self, port: int, **settings: Any) -> None:
        protocol = f"viser-v{viser.__version__}"
        self._socket = connect(
            f"ws://127.0.0.1:{port}", subprotocols=[protocol], max_size=None, compression=None, **settings
        )
        camera = {"wxyz": (1.0, 0.0, 0.0, 0.0), "position": (0.0, 0.0, 0.0), "look_at": (0.0, 0.0, 1.0)}
        size = {"fov": 1.0, "near": 0.1, "far": 10.0, "image_height": 48, "image_width": 64}
        self.send("ViewerCameraMessage", **camera, **size, up_direction=(0.0, 1.0, 0.0))
        self.seen: list[dict[str, Any]] = []

    def send(self, kind: str, **fields: Any) -> None:
        """Sends one message."""
        self._socket.send(msgspec.msgpack.encode({"type": kind, **fields}))

    def read(self, seconds: float) -> Counter[str]:
        """Reads for some time. Returns how many messages of each kind have come so far."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                data = self._socket.recv(timeout=left)
            except TimeoutError:
                break
            size = int.from_bytes(data[8:16], "little")
            self.seen += msgspec.msgpack.decode(zstandard.decompress(data[16 : 16 + size]))["messages"]
        return Counter(message["type"] for message in self.seen)

    def answer(self) -> None:
        """Tells the server that all pictures so far have been seen."""
        for message in self.seen:
            if message["type"] == "LocalStorageGetItemRequestMessage":
                self.send(
                    "LocalStorageGetItemResponseMessage", value=None, error=None, request_uuid=message["request_uuid"]
                )

    def close(self) -> None:
        """Closes the connection."""
        self._socket.close()
