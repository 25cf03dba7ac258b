"""The page of a comparison, in a real browser."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from noisewalk.app.compare.report import Page, write_report

WIDTH, HEIGHT = 96, 64
METHODS = {"noisy": (0.2, 20.0, 30.0, 0.3), "oidn": (0.4, 30.0, 25.0, 0.1), "kernel": (0.5, 31.0, 24.0, 0.2)}


@pytest.fixture
def report(tmp_path: Path, chromium: Chrome) -> Chrome:
    """The page of three grey pictures and a reference with a white corner."""
    images = {name: np.full((HEIGHT, WIDTH, 3), grey) for name, (grey, *_) in METHODS.items()}
    images["reference"] = np.full((HEIGHT, WIDTH, 3), 0.5)
    images["reference"][:8, :8] = 1.0
    rows = [
        {
            "scene": "<b>&scene",
            "frame": 1,
            "method": name,
            "psnr": psnr,
            "psnr_corrected": psnr,
            "psnr_is_bound": name == "noisy",
            "tpsnr": tpsnr,
            "tpsnr_corrected": tpsnr,
            "tpsnr_is_bound": False,
            "flip": flip,
            "relmse": flip,
            "brightness": 1.0,
        }
        for name, (_, psnr, tpsnr, flip) in METHODS.items()
    ]
    file = tmp_path / "report.html"
    write_report(file, rows, [Page("<b>&scene", 1, images)], {"title": "a comparison", "formulas": ["x < y"]})
    chromium.get(file.as_uri())
    return chromium


def test_any_two_pictures_meet_at_the_slider(report: Chrome) -> None:
    left, right = greys(report)
    assert (left, right) == (128, 102)  # kernel and Open Image Denoise, unless told
    Select(report.find_element(By.CSS_SELECTOR, "select.of-left")).select_by_visible_text("noisy")
    wait(report, lambda: greys(report) == (51, 102))
    slider = report.find_element(By.CLASS_NAME, "cut")
    slider.send_keys(Keys.HOME)
    wait(report, lambda: greys(report) == (102, 102))  # all of it is the right one


def test_the_error_is_that_against_the_reference(report: Chrome) -> None:
    report.find_element(By.CLASS_NAME, "errors").click()
    wait(report, lambda: greys(report)[0] == 0)  # the kernel's grey is the reference's
    assert greys(report)[1] == 255  # off by 0.1: red
    assert sample(report, 0.02, 0.02) == [255, 255, 255]  # off by 0.5: more than the scale has
    assert not report.get_log("browser")


def test_zoom_stays_in_step(report: Chrome) -> None:
    frames = report.find_elements(By.CSS_SELECTOR, ".frame")
    wheel = "arguments[0].dispatchEvent(new WheelEvent('wheel', {deltaY: -400, clientX: 0, clientY: 0, bubbles: true}))"
    report.execute_script(wheel, frames[0])
    shown = "return [...document.querySelectorAll('.frame img')].map((i) => getComputedStyle(i).transform)"
    transforms = set(report.execute_script(shown))
    assert len(frames) == 5 and len({t.split(",")[0] for t in transforms}) == 1 and "matrix(1," not in transforms.pop()
    ActionChains(report).double_click(frames[0]).perform()
    assert {t.split(",")[0] for t in report.execute_script(shown)} == {"matrix(1"}


def test_flicker_does_not_say_which_picture_is_best(report: Chrome) -> None:
    best = {}
    for table in report.find_elements(By.TAG_NAME, "table"):
        marked = table.find_elements(By.XPATH, ".//tr[td[@class='best']]/td[1]")
        best[table.find_element(By.TAG_NAME, "th").text] = [cell.text for cell in marked]
    assert best["PSNR, dB"] == ["kernel"] and best["FLIP"] == ["oidn"] and best["tPSNR, dB"] == []


def test_what_the_reference_cannot_tell_is_a_bound(report: Chrome) -> None:
    cells = [cell.text for cell in report.find_elements(By.XPATH, "//tr[td[1]='noisy']/td[2]")]
    assert cells[:4] == ["20.00", "\u2265 20.00", "30.00", "30.00"]


def test_names_are_text_and_not_markup(report: Chrome) -> None:
    assert report.find_element(By.TAG_NAME, "h2").text == "<b>&scene"


def greys(page: Chrome) -> tuple[int, int]:
    """The red of the split picture, a quarter from the left and from the right."""
    return sample(page, 0.25, 0.5)[0], sample(page, 0.75, 0.5)[0]


def sample(page: Chrome, u: float, v: float) -> list[int]:
    """A pixel of the split picture as the browser shows it."""
    shot = page.find_element(By.CLASS_NAME, "split").screenshot_as_png
    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    return list(picture.getpixel((int(u * picture.width), int(v * picture.height))))


def wait(page: Chrome, until: Callable[[], bool]) -> None:
    WebDriverWait(page, 20).until(lambda _: until())
