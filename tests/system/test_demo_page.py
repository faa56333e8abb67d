"""The demo's page, as a person sees it: what flows, a device by its QR code, one cut off."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import PATIENCE_S, eventually

from tickseal.host.control_socket import ask

from .processes import Device, tickseal

chromium = pytest.importorskip("chromium", reason="needs selenium and zxing-cpp")
pytestmark = pytest.mark.skipif(
    not chromium.is_here(), reason="needs Debian's packages chromium and chromium-driver"
)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Path]:
    """The state of a demo that runs."""
    folder = tmp_path / "demo"
    with (tmp_path / "demo.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tickseal.cli", "demo", "--state", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        eventually((folder / "gateway/page/link").exists, what="the page of the demo")
        yield folder / "gateway"
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.fixture
def browser() -> Iterator[Any]:
    made = chromium.Browser()
    yield made
    made.close()


def stream(state: Path, stream_id: str) -> Any:
    streams = ask(state, {"do": "status"}, service="gateway")["streams"]
    return next((each for each in streams if each["id"] == stream_id), {})


def others_go_on(state: Path) -> None:
    before = stream(state, "demo/telemetry")["frames"]
    eventually(lambda: stream(state, "demo/telemetry")["frames"] > before + 15, "the others go on")


def test_a_third_device_comes_by_its_code_and_one_is_cut_off(
    demo: Path, browser: Any, tmp_path: Path
) -> None:
    browser.open((demo / "page/link").read_text().strip())
    browser.until_text("demo/telemetry")
    browser.until_text("demo/camera")
    card = browser.find(".device")
    browser.until(lambda: "live" in card.text, "two streams live")
    moving = "return document.querySelector('.picture canvas')?.dataset.sequence"
    first = browser.until(lambda: browser.run(moving), "a picture")
    browser.until(lambda: int(browser.run(moving)) > int(first) + 5, "pictures in motion")

    browser.button("Invite a device").click()
    browser.find("dialog input[name=name]").send_keys("third")
    browser.button("Make the invite", "dialog").click()
    browser.until(lambda: browser.all("dialog .qr"), "the code")
    browser.until(lambda: browser.run("return document.querySelector('.qr').naturalWidth") > 0)
    third = Device(tmp_path / "third")
    done = third.enrol(browser.read_code("dialog .qr"))
    assert done.returncode == 0, done.stderr
    browser.until_text("third is enrolled", "dialog")
    browser.find("dialog .close").click()
    third.start()
    try:
        browser.until_text("live", '[data-device="third"] .state')
        browser.until_text(Device.TELEMETRY, '[data-device="third"]')

        browser.find('[data-device="third"] .menu summary').click()
        browser.button("Revoke", '[data-device="third"] .menu').click()
        browser.button("Revoke it", "dialog").click()
        browser.until_text("1 revoked", "#devices")
        others_go_on(demo)  # so that what is told is no older than the revocation
        after = stream(demo, Device.TELEMETRY)["frames"]
        others_go_on(demo)
        assert stream(demo, Device.TELEMETRY)["frames"] == after, "it goes on trying, in vain"
        assert not browser.all('.cards [data-device="third"] .stream')
    finally:
        third.kill()
    listed = tickseal("gateway", "devices", "--state", str(demo))
    assert "third" in listed.stdout
    assert [fault for fault in browser.faults() if "/api/" not in fault] == []
