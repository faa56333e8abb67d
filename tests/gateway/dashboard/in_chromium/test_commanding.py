"""What a person does with devices on the page, in Chromium, step by step."""

from pathlib import Path

from chromium import Browser
from running_page import RunningPage, Streaming, running_page
from selenium.webdriver.common.keys import Keys

CARD = '[data-device="garden"]'


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


def choose(browser: Browser, card: str, text: str) -> None:
    """Choose from a device's menu."""
    browser.find(f"{card} .menu summary").click()
    browser.button(text, f"{card} .menu").click()


def generations(site: RunningPage) -> list[str]:
    streams = site.view.snapshot()["streams"]
    return [stream["generation"] for stream in streams]  # type: ignore[attr-defined]


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
