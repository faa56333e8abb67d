"""What a person sees of devices on the page, in Chromium."""

from pathlib import Path

import pytest
from chromium import Browser
from running_page import RunningPage, Streaming, running_page
from selenium.webdriver.common.keys import Keys
from tickseal_gateway.ingest import streams

CARD = '[data-device="garden"]'


def test_readings_pictures_and_health_are_seen_live(
    browser: Browser, site: RunningPage, garden: Streaming
) -> None:
    browser.open(site.link)
    browser.until_text("20 °C", CARD)
    assert "#" not in browser.driver.current_url, "the token does not stay in the address"
    for text in ("live", "garden/temperature", "Air", "AES-256-GCM, renewed", "Lost", "Refused"):
        browser.until_text(text, CARD)
    garden.value = 23.5
    browser.until_text("23.5 °C", CARD)
    first = browser.until(lambda: browser.run(SEQUENCE), "a picture")
    browser.until(lambda: int(browser.run(SEQUENCE)) > int(first) + 5, "the picture to move")
    blue = browser.run(
        "const c = document.querySelector('.picture canvas');"
        "return [...c.getContext('2d').getImageData(5, 5, 1, 1).data]"
    )
    assert blue == pytest.approx([0x20, 0x40, 0x80, 255], abs=8)
    drawn = browser.run(
        "const c = document.querySelector('.reading canvas');"
        "return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v > 0)"
    )
    assert drawn, "the plot has a line"
    browser.until_text("Nothing was refused", "#totals")


SEQUENCE = "return document.querySelector('.picture canvas')?.dataset.sequence"


def test_a_video_is_seen_live_by_who_comes_late(browser: Browser, site: RunningPage) -> None:
    pytest.importorskip("av", reason="needs PyAV, which makes the video")
    from test_video import h264  # noqa: PLC0415 - it needs PyAV

    # One key picture, and then none for longer than this test takes.
    device = Streaming(site, site.invite("garden"), video=h264(1000, key_every=1000))
    try:
        browser.open("about:blank")
        browser.until(lambda: newest_sequence(site) > 15, "pictures without a key among them")
        browser.open(site.link)
        browser.until_text("20 °C", CARD)
        if browser.run("return typeof VideoDecoder") == "undefined":
            pytest.skip("this Chromium has no WebCodecs")
        first = browser.until(lambda: browser.run(SEQUENCE), "a picture")
        browser.until(lambda: int(browser.run(SEQUENCE)) > int(first) + 10, "the picture to move")
        red, sequence = browser.run(
            "const c = document.querySelector('.picture canvas');"
            "return [c.getContext('2d').getImageData(5, 5, 1, 1).data[0], c.dataset.sequence]"
        )
        assert red == pytest.approx(int(sequence) * 8 % 256, abs=16)
        assert "H.264" not in browser.text(CARD), "nothing to explain"
    finally:
        device.stop()


def newest_sequence(site: RunningPage) -> int:
    streams = site.view.snapshot()["streams"]
    shown = [each["picture"]["sequence"] for each in streams if each["picture"]]  # type: ignore[attr-defined]
    return max(shown, default=-1)


def test_where_a_video_cannot_be_decoded_that_is_said(browser: Browser, site: RunningPage) -> None:
    device = Streaming(site, site.invite("garden"), video=[(b"\0\0\0\1", True)])
    browser.driver.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument", {"source": "delete window.VideoDecoder"}
    )
    try:
        browser.open(site.link)
        browser.until_text("this browser has no decoder for H.264", CARD)
    finally:
        device.stop()
        browser.driver.execute_cdp_cmd(
            "Page.removeScriptToEvaluateOnNewDocument", {"identifier": "1"}
        )


def test_what_is_old_does_not_look_live(
    browser: Browser, site: RunningPage, garden: Streaming, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_STALE_GAPS", 1.0)
    monkeypatch.setattr(streams, "_STALE_S", 1.0)
    browser.open(site.link)
    browser.until_text("20 °C", CARD)
    garden.is_silent = True
    browser.until_text("stale: last frame", CARD)
    browser.until_text("connected, but silent", CARD)
    assert browser.find(f"{CARD} .reading").get_attribute("data-stale") == "true"
    garden.stop()
    browser.until_text("offline, last seen", CARD)


def test_a_gateway_that_is_gone_is_said(browser: Browser, tmp_path: Path) -> None:
    with running_page(tmp_path) as site:
        browser.open(site.link)
        browser.until_text("No device yet")
        browser.until_text("live", "#link")
    browser.until_text("what you see is old", "#link")
    assert browser.run("return document.body.classList.contains('lost')")
    browser.run("window.stop()")


def test_without_the_link_one_looks_on(
    browser: Browser, site: RunningPage, garden: Streaming
) -> None:
    browser.open(site.url)
    browser.until_text("20 °C", CARD)
    browser.until_text("open the link that `tickseal gateway page` prints", "#notice")
    shown = [each.text for each in browser.all("button") if each.is_displayed()]
    assert "Invite a device" not in shown
    assert not browser.find(f"{CARD} .menu").is_displayed()


def test_a_series_is_seen_large_over_hours(
    browser: Browser, site: RunningPage, garden: Streaming
) -> None:
    browser.open(site.link)
    browser.until_text("20 °C", CARD)
    browser.find(f"{CARD} .reading").click()
    browser.until_text("20 °C", "dialog")
    browser.button("1 h", "dialog").click()
    browser.until(
        lambda: browser.all('dialog [data-seconds="3600"][aria-pressed="true"]'), "the hour"
    )
    browser.until(
        lambda: browser.run(
            "const c = document.querySelector('canvas.large');"
            "const d = c.getContext('2d').getImageData(c.width - 120, 0, 120, c.height).data;"
            "return d.some((v) => v > 0)"
        ),
        "a line from the store",
    )
    browser.find("dialog").send_keys(Keys.ESCAPE)


def test_everything_can_be_reached_by_keyboard(
    browser: Browser, site: RunningPage, garden: Streaming
) -> None:
    browser.open(site.link)
    browser.until_text("20 °C", CARD)
    reached = set()
    for _ in range(12):
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
        active = browser.driver.switch_to.active_element
        if active.tag_name == "body":  # once round
            break
        reached.add(active.get_attribute("id") or active.get_attribute("aria-label") or active.text)
        outline = active.value_of_css_property("outline-style")
        assert outline != "none", f"{active.get_attribute('outerHTML')[:80]} shows no focus"
    assert {"invite", "account", "garden", "What to do with this device"} <= reached


def test_a_phone_shows_it_without_scrolling_sideways(
    browser: Browser, site: RunningPage, garden: Streaming
) -> None:
    browser.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True},
    )
    try:
        browser.open(site.link)
        browser.until_text("20 °C", CARD)
        assert browser.run("return document.documentElement.scrollWidth") <= 360
        small = browser.run(
            "return [...document.querySelectorAll('button, summary')]"
            ".filter((e) => e.offsetParent && e.getBoundingClientRect().height < 24)"
            ".map((e) => e.outerHTML.slice(0, 80))"
        )
        assert small == [], "a finger needs room"
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(
    browser: Browser, site: RunningPage, garden: Streaming, scheme: str
) -> None:
    browser.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )
    browser.open(site.link)
    browser.until_text("20 °C", CARD)
    faint = browser.run(CONTRAST)
    assert faint == [], "WCAG 2.2 AA asks for 4.5 to 1"


# The ratio of luminances (WCAG 2.2, 1.4.3) of every text that is shown and its ground.
CONTRAST = """
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const rgba = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
const light = ([r, g, b]) => [r, g, b].map((v) => { v /= 255;
  return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; })
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const ground = (e) => { for (; e; e = e.parentElement) {
  const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] > 200) return c; }
  return [255, 255, 255]; };
const faint = [];
for (const e of document.querySelectorAll('body *')) {
  if (!e.offsetParent || !e.checkVisibility() || e.disabled) continue;
  if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
  const [a, b] = [light(rgba(getComputedStyle(e).color)), light(ground(e))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) faint.push(`${e.textContent.slice(0, 30)} ${ratio.toFixed(1)}`);
}
return faint;
"""


def test_a_second_page_costs_no_second_of_the_first(
    browser: Browser, site: RunningPage, garden: Streaming
) -> None:
    browser.open(site.link)
    browser.until_text("20 °C", CARD)
    browser.run("window.open(location.href)")
    try:
        first, second = browser.driver.window_handles
        browser.driver.switch_to.window(second)
        browser.until_text("20 °C", CARD)
        garden.value = 30.5
        browser.until_text("30.5 °C", CARD)
        browser.driver.close()
        browser.driver.switch_to.window(first)
        browser.until_text("30.5 °C", CARD)
    finally:
        browser.driver.switch_to.window(browser.driver.window_handles[0])
