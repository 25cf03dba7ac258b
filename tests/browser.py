"""A real browser without a screen: Debian's Chromium, driven by Selenium."""

import shutil
from pathlib import Path

from selenium import webdriver


def chromium_is_missing() -> bool:
    """Whether there is no Chromium to drive."""
    return shutil.which("chromium") is None or shutil.which("chromedriver") is None


def open_chromium(profile: Path) -> webdriver.Chrome:
    """A browser of 1280x900 with a fresh profile. It looks for nothing on the network by itself."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for word in (
        "headless=new",
        "no-sandbox",
        "window-size=1280,900",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "use-angle=swiftshader",
        "enable-unsafe-swiftshader",
        f"user-data-dir={profile}",
    ):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
