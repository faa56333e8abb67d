"""A person's steps, in Chromium, over a real gateway and real devices on loopback."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Browser, is_here
from running_page import RunningPage, Streaming, running_page
from selenium.webdriver.common.keys import Keys
from tickseal_gateway.ingest import streams

pytestmark = pytest.mark.skipif(
    not is_here(), reason="needs Debian's packages chromium and chromium-driver"
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
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


def test_a_device_is_invited_appears_and_is_approved(browser: Browser, tmp_path: Path) -> None:
    with running_page(tmp_path, more="[policy]\napprove = true") as site:
        browser.open(site.link)
        browser.button("Invite a device").click()
        browser.find("dialog input[name=name]").send_keys("greenhouse")
        browser.button("Make the invite", "dialog").click()
        browser.until(lambda: browser.all("dialog .qr"), "the code")
        browser.until(lambda: browser.run("return document.querySelector('.qr').naturalWidth") > 0)
        command = browser.text("dialog code")
        assert command.startswith("tickseal edge enrol tks1_")
        browser.until_text("Waiting for the device", "dialog")
        token = browser.read_code("dialog .qr")
        assert command.endswith(f" {token}"), "text and code say the same"
        device = Streaming(site, token, prefix="greenhouse")
        try:
            browser.until_text("waits for your approval", "dialog")
            browser.button("Approve", "dialog").click()
            browser.until_text("greenhouse is enrolled", "dialog")
            browser.find("dialog .close").click()
            browser.until_text("20 °C", '[data-device="greenhouse"]')
        finally:
            device.stop()


def test_a_device_is_renamed_rekeyed_and_revoked(
    browser: Browser, site: RunningPage, garden: Streaming
) -> None:
    browser.open(site.link)
    browser.until_text("20 °C", CARD)
    choose(browser, CARD, "Rename")
    field = browser.find("dialog input")
    field.clear()
    field.send_keys("yard", Keys.ENTER)
    yard = '[data-device="yard"]'
    browser.until_text("live", yard)

    before = generations(site)
    choose(browser, yard, "New keys now")
    browser.button("Make new keys", "dialog").click()
    browser.until(lambda: not browser.all("dialog"))
    browser.until(lambda: set(generations(site)).isdisjoint(before), "new generations")

    choose(browser, yard, "Revoke")
    browser.until_text("refused for good", "dialog")
    browser.find("dialog .close").click()
    assert site.view.snapshot()["devices"][0]["state"] == "approved"  # type: ignore[index]
    choose(browser, yard, "Revoke")
    browser.button("Revoke it", "dialog").click()
    browser.until_text("1 revoked", "#devices")
    assert site.view.snapshot()["devices"][0]["state"] == "revoked"  # type: ignore[index]


def test_an_invite_is_withdrawn(browser: Browser, site: RunningPage) -> None:
    site.invite("orchard")
    browser.open(site.link)
    browser.until_text("orchard good for", "#more")
    browser.button("Withdraw", "#more").click()
    browser.until(lambda: "orchard" not in browser.text("#more"), "the invite to be gone")
    assert site.view.snapshot()["invites"] == []


def test_devices_are_tagged_filtered_and_limited(
    browser: Browser, site: RunningPage, garden: Streaming
) -> None:
    cellar = Streaming(site, site.invite("cellar"), prefix="cellar", picture=False)
    try:
        browser.open(site.link)
        browser.until_text("20 °C", CARD)
        browser.until_text("20 °C", '[data-device="cellar"]')
        choose(browser, CARD, "Tags")
        browser.find("dialog input[name=tags]").send_keys("South greenhouse", Keys.ENTER)
        browser.until(lambda: not browser.all("dialog"))
        browser.until_text("greenhouse south", f"{CARD} .tags")
        browser.button("south", ".filter").click()
        browser.until(lambda: not browser.all('[data-device="cellar"]'), "the filter")
        browser.button("south", ".filter").click()
        browser.until_text("20 °C", '[data-device="cellar"]')
        choose(browser, CARD, "Limits")
        browser.find("dialog input[name=frames_per_s]").send_keys("1")
        browser.find("dialog input[name=bytes_per_s]").send_keys("100kB", Keys.ENTER)
        browser.until(lambda: not browser.all("dialog"))
        browser.until_text("A device sends more than it may: garden", "#alarms")
        browser.until_text("1 frames/s, 100 kB/s", CARD)
        choose(browser, CARD, "Limits")
        field = browser.find("dialog input[name=frames_per_s]")
        assert field.get_attribute("value") == "1"
        field.clear()
        field.send_keys("fast", Keys.ENTER)
        browser.until_text("'fast' is no limit", "dialog .error")
        field.clear()
        field.send_keys(Keys.ENTER)
        browser.until(lambda: "frames/s, 100" not in browser.text(CARD), "the limit to go")
        browser.until(lambda: "more than it may" not in browser.text("#alarms"), "the alarm to go")
    finally:
        cellar.stop()


def test_a_name_that_is_taken_is_refused_in_words(
    browser: Browser, site: RunningPage, garden: Streaming
) -> None:
    browser.open(site.link)
    browser.until_text("20 °C", CARD)
    browser.button("Invite a device").click()
    browser.find("dialog input[name=name]").send_keys("garden", Keys.ENTER)
    browser.until_text("belongs to another device", "dialog .error")
    browser.find("dialog").send_keys(Keys.ESCAPE)
    browser.until(lambda: not browser.all("dialog"))


def test_a_password_is_made_and_then_asked_for(
    browser: Browser, site: RunningPage, garden: Streaming
) -> None:
    browser.open(site.link)
    browser.button("Make a password").click()
    browser.find("dialog input[name=password]").send_keys("correct horse battery")
    browser.find("dialog input[name=again]").send_keys("correct horse batter")
    browser.button("Make it", "dialog").click()
    browser.until_text("The two are not the same", "dialog .error")
    browser.find("dialog input[name=again]").send_keys("y")
    browser.button("Make it", "dialog").click()
    browser.button("Log out").click()
    browser.until_text("Log in", "#door")
    assert "garden" not in browser.text()
    browser.find("#door input").send_keys("a wrong password", Keys.ENTER)
    browser.until_text("That is not the password.", "#door .error")
    browser.find("#door input").clear()
    browser.find("#door input").send_keys("correct horse battery", Keys.ENTER)
    browser.until_text("20 °C", CARD)


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


def choose(browser: Browser, card: str, text: str) -> None:
    """Choose from a device's menu."""
    browser.find(f"{card} .menu summary").click()
    browser.button(text, f"{card} .menu").click()


def generations(site: RunningPage) -> list[str]:
    streams = site.view.snapshot()["streams"]
    return [stream["generation"] for stream in streams]  # type: ignore[attr-defined]


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
