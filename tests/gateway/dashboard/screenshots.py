"""Takes the pictures of the page in docs/images: real processes on this machine, by hand.

PYTHONPATH=tests python tests/gateway/dashboard/screenshots.py docs/images
"""

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from chromium import Browser
from PIL import Image

TICKSEAL = Path(sys.executable).with_name("tickseal")
_EDGE = """
name = "{name}"
state = "{folder}/{name}"
[[streams]]
id = "{name}/telemetry"
kind = "host"
rate_hz = 10
"""
_CAMERA = """
[[streams]]
id = "{name}/camera"
kind = "pattern"
width = 640
height = 480
rate_hz = 15
"""


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[None]:
    process = subprocess.Popen(
        [TICKSEAL, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def tickseal(*arguments: str) -> str:
    return subprocess.run([TICKSEAL, *arguments], check=True, capture_output=True, text=True).stdout


def edge(folder: Path, name: str, *, camera: bool) -> str:
    """Enrol a device; return its configuration file."""
    config = folder / f"{name}.toml"
    text = _EDGE + (_CAMERA if camera else "")
    config.write_text(text.format(name=name, folder=folder))
    made = tickseal(
        "gateway", "invite", "--json", "--name", name, "--config", f"{folder}/gateway.toml"
    )
    tickseal("edge", "enrol", json.loads(made)["token"], "--config", str(config))
    return str(config)


def shoot(
    browser: Browser, path: Path, size: tuple[int, int], *, scheme: str = "light", scale: float = 1
) -> None:
    width, height = size
    cdp = browser.driver.execute_cdp_cmd
    cdp(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 500},
    )
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    cdp("Emulation.setEmulatedMedia", {"features": media})
    time.sleep(1.5)  # some pictures and points at this size
    browser.driver.save_screenshot(str(path))
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


def main(out: Path) -> None:
    out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        config = folder / "gateway.toml"
        config.write_text(
            f'[gateway]\nname = "greenhouse gateway"\nstate = "{folder}/gateway"\n'
            'host = "127.0.0.1"\nport = 0\n[page]\nport = 0\n[recordings]\nrecord = true\n'
        )
        stack.enter_context(running("gateway", "run", "--config", str(config)))
        link = folder / "gateway/page/link"
        while not link.exists():
            time.sleep(0.1)
        for device, camera in (("greenhouse", True), ("workshop", False)):
            file = edge(folder, device, camera=camera)
            stack.enter_context(running("edge", "run", "--config", file))
            tickseal("gateway", "tag", device, "+south", "--config", str(config))
        time.sleep(float(sys.argv[2]) if len(sys.argv) > 2 else 100)  # a plot's worth
        browser = Browser()
        stack.callback(browser.close)
        browser.open(link.read_text().strip())
        browser.until_text("live", '[data-device="greenhouse"]')
        time.sleep(2)
        shoot(browser, out / "page-light.png", (1200, 980))
        shoot(browser, out / "page-dark.png", (1200, 980), scheme="dark")
        shoot(browser, out / "page-phone.png", (390, 844), scale=1.5)
        browser.button("Recordings").click()
        browser.until_text("frames opened", "dialog")
        shoot(browser, out / "page-recordings-phone.png", (390, 844), scale=1.5)
        shoot(browser, out / "page-recordings.png", (1200, 900))
        browser.find("dialog .close").click()
        browser.button("Invite a device").click()
        browser.find("dialog input[name=name]").send_keys("orchard")
        browser.button("Make the invite", "dialog").click()
        browser.until_text("Waiting for the device", "dialog")
        shoot(browser, out / "page-invite.png", (1200, 980))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
