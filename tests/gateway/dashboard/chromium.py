"""A real browser for tests, as Debian packages it."""

import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zxingcpp
from PIL import Image, ImageFilter
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait
from waiting import PATIENCE_S

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")


def is_here() -> bool:
    """Tell whether the browser is installed."""
    return CHROMIUM.exists() and DRIVER.exists()


class Browser:
    """One browser with an empty profile, and what a person does with it."""

    def __init__(self, width: int = 1280, height: int = 900) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        for argument in (
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", f"--user-data-dir={self._profile.name}",
            f"--window-size={width},{height}",
        ):  # fmt: skip
            options.add_argument(argument)
        options.accept_insecure_certs = True
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        # It writes into its home: that is the profile's folder too, and not a person's.
        strays = ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")
        kept = {name: value for name, value in os.environ.items() if name not in strays}
        service = Service(str(DRIVER), env={**kept, "HOME": self._profile.name})
        self.driver = webdriver.Chrome(options=options, service=service)

    def close(self) -> None:
        self.driver.quit()
        self._profile.cleanup()

    def open(self, url: str) -> None:
        self.driver.get(url)

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str = "body") -> str:
        found = self.run("return document.querySelector(arguments[0])?.innerText", selector)
        return " ".join((found or "").split())

    def run(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def button(self, text: str, within: str = "body") -> WebElement:
        """Return the button that reads so and is shown."""
        found = self.until(
            lambda: next(
                (
                    each
                    for each in self.all(f"{within} button")
                    if each.text.strip() == text and each.is_displayed()
                ),
                None,
            ),
            f"a button {text!r}",
        )
        assert isinstance(found, WebElement)
        return found

    def until(self, condition: Callable[[], Any], what: str = "it") -> Any:
        waiting = WebDriverWait(
            self.driver,
            PATIENCE_S,
            poll_frequency=0.05,
            ignored_exceptions=[StaleElementReferenceException],
        )
        return waiting.until(lambda _: condition(), f"{what} did not come true")

    def until_text(self, text: str, selector: str = "body") -> None:
        self.until(lambda: text in self.text(selector), f"{text!r} in {selector}")

    def read_code(self, selector: str) -> str:
        """Return what a QR code on the screen says, as a camera sees it: askew, and not sharp."""
        seen = Image.open(io.BytesIO(self.find(selector).screenshot_as_png)).convert("L")
        seen = seen.rotate(4, expand=True, fillcolor=255).filter(ImageFilter.GaussianBlur(0.6))
        (found,) = zxingcpp.read_barcodes(seen)
        assert found.format == zxingcpp.BarcodeFormat.QRCode
        return str(found.text)

    def faults(self) -> list[str]:
        """Return what the browser complained of."""
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if entry["level"] in ("SEVERE", "WARNING")
        ]
