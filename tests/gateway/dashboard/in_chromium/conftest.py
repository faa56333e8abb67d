"""Chromium, started once, and a page of a real gateway with a real device, on loopback."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Browser, is_here
from running_page import RunningPage, Streaming, running_page


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if not is_here():
        pytest.skip("needs Debian's packages chromium and chromium-driver")
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    chromium.driver.delete_all_cookies()
    chromium.driver.set_window_size(1280, 900)
    yield chromium
    chromium.open("about:blank")
    assert [fault for fault in chromium.faults() if "/api/" not in fault] == []


@pytest.fixture
def site(tmp_path: Path) -> Iterator[RunningPage]:
    with running_page(tmp_path) as page:
        yield page


@pytest.fixture
def garden(site: RunningPage) -> Iterator[Streaming]:
    device = Streaming(site, site.invite("garden"))
    yield device
    device.stop()
