"""Recordings on the page: who may look, what is answered, and a person's steps in Chromium."""

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import Browser, is_here
from fake_view import FakeView
from recorded import KEY, START, Recorded, encoded, jpeg, seconds
from running_gateway import tickseal
from running_page import running_page
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from starlette.testclient import TestClient
from tickseal_gateway.dashboard import recordings as module
from tickseal_gateway.dashboard.accounts import Accounts
from tickseal_gateway.dashboard.app import Application
from tickseal_gateway.dashboard.history import History
from tickseal_gateway.dashboard.recordings import Recordings

AIR, CAMERA = "shed/air", "shed/camera"
MS = START // 10**6


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    made = Recorded(tmp_path / "recordings")
    made.record(AIR, seconds(0, 20), leave_out=[5, 6])
    made.record(AIR, seconds(40, 60))
    made.record(CAMERA, [*seconds(0, 20), *seconds(40, 60)], jpeg)
    return made


@pytest.fixture
def browsers(recorded: Recorded, accounts: Accounts) -> Callable[[], TestClient]:
    application = Application(
        FakeView(),
        accounts,
        History(None),
        is_tls=False,
        stopping=asyncio.Event(),
        on_first_password=lambda: None,
        recordings=Recordings(recorded.library),
    ).asgi(())
    return lambda: TestClient(application, base_url="http://127.0.0.1:4780")


@pytest.fixture
def client(browsers: Callable[[], TestClient], accounts: Accounts) -> TestClient:
    made = browsers()
    assert made.post("/api/login", json={"token": accounts.token}).status_code == 200
    return made


def asked(client: TestClient, path: str, first_s: int, until_s: int, **more: object) -> Any:
    query = {"stream": AIR, "from": MS + first_s * 1000, "until": MS + until_s * 1000, **more}
    return client.get(f"/api/recordings{path}", params=query)  # type: ignore[arg-type]


def test_what_was_recorded_is_for_those_who_may_command(
    browsers: Callable[[], TestClient], client: TestClient
) -> None:
    stranger = browsers()
    assert stranger.get("/api/status").status_code == 200, "without a password one may look"
    for path in ("", "/bar", "/readings", "/pictures", "/download"):
        assert asked(stranger, path, 0, 10).status_code == 401
    assert client.get("/api/session").json()["has_recordings"] is True
    assert [row["stream"] for row in client.get("/api/recordings").json()] == [AIR, CAMERA]


def test_bar_readings_and_what_is_missing(client: TestClient) -> None:
    bar = asked(client, "/bar", -10, 100).json()
    assert [[(at - MS) / 1000 for at in span] for span in bar["spans"]] == [[0, 20], [40, 60]]
    assert (bar["content"], bar["device"]) == ("readings", "shed")
    assert (bar["from_ms"], bar["until_ms"]) == (MS, MS + 60_000)
    found = asked(client, "/readings", 0, 10).json()
    assert found["names"]["air"]["points"][0][1:] == [0.0, 0.0, 0.0]
    assert (found["report"]["frames"], found["report"]["missing"]) == (98, 2)


def test_questions_that_make_no_sense_are_refused_in_words(client: TestClient) -> None:
    assert asked(client, "/bar", 10, 0).status_code == 400
    assert asked(client, "/readings", 0, 10 * 86_400).status_code == 400
    assert asked(client, "/bar", 0, 10, **{"from": "x"}).status_code == 400
    answer = asked(client, "/bar", 0, 10, stream="other")
    assert (answer.status_code, answer.json()["error"]) == (
        400,
        "nothing is recorded of 'other'",
    )
    answer = asked(client, "/download", 0, 10, **{"as": "exe"})
    assert "as: one of jsonl" in answer.json()["error"]
    assert "nothing of" in asked(client, "/download", 25, 30, **{"as": "csv"}).json()["error"]
    assert "nothing of" in asked(client, "/download", 0, 9, **{"as": "mp4"}).json()["error"]


def test_too_many_questions_at_once_are_turned_away(recorded: Recorded) -> None:
    async def main() -> list[str]:
        recordings = Recordings(recorded.library)

        async def ask() -> str:
            try:
                await recordings._work(lambda: None)
            except module.BusyError:
                return "busy"
            return "done"

        return list(await asyncio.gather(*(ask() for _ in range(20))))

    outcomes = asyncio.run(main())
    assert (outcomes.count("done"), outcomes.count("busy")) == (8, 12)


def test_a_span_is_kept_as_text(client: TestClient) -> None:
    answer = asked(client, "/download", 1, 3, **{"as": "jsonl"})
    assert answer.headers["content-disposition"] == 'attachment; filename="shed-air.jsonl"'
    values = [json.loads(line)["value"] for line in answer.text.splitlines()]
    assert values == list(range(10, 30))
    rows = asked(client, "/download", 1, 3, **{"as": "csv"}).text.splitlines()
    assert rows[0].startswith("time,device,stream,name,value")
    assert len(rows) == 21


def test_a_span_is_handed_out_sealed_with_its_keys(
    client: TestClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    file = tmp_path / "span.grant"
    file.write_bytes(asked(client, "/download", 1, 3, **{"as": "grant"}).content)
    assert f"{AIR} of" in caplog.text
    assert "was handed out as grant" in caplog.text
    opened = tickseal("open", str(file))
    assert opened.returncode == 0, opened.stderr
    assert len(opened.stdout.splitlines()) == 20
    assert asked(client, "/download", 100, 130, **{"as": "grant"}).status_code == 400


def test_a_span_of_pictures_is_kept_as_video(client: TestClient) -> None:
    av = pytest.importorskip("av", reason="needs PyAV: pip install 'tickseal[video]'")
    content = asked(client, "/download", 1, 5, stream=CAMERA, **{"as": "mp4"}).content
    with av.open(io.BytesIO(content)) as video:
        frames = list(video.decode(video=0))
    assert len(frames) == 40
    assert float(frames[-1].time) == pytest.approx(3.9, abs=0.01)
    loose = asked(client, "/download", 1, 5, stream=CAMERA, **{"as": "mjpeg"}).content
    assert loose.count(b"\xff\xd8\xff") == 40


# --- In a browser ---


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def shown(chromium: Browser, tmp_path: Path) -> Iterator[tuple[Browser, Recorded]]:
    """The recordings of a gateway that has had them for a while, open in a browser."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "recordings.key").write_bytes(KEY)
    (state / "recordings.key").chmod(0o600)
    made = Recorded(state / "recordings")
    made.record(AIR, [*seconds(0, 20), *seconds(40, 60)])
    made.record(CAMERA, [*seconds(0, 20), *seconds(40, 60)], jpeg)
    with running_page(tmp_path, more='[recordings]\nrecord = true\nretention = "0s"\n') as site:
        chromium.driver.set_window_size(1280, 900)
        chromium.open(site.link)
        chromium.until_text("live", "#link")
        yield chromium, made
        chromium.open("about:blank")
        expected = ("/api/", "willReadFrequently")  # refusals, and this test's looking at pixels
        faults = [each for each in chromium.faults() if not any(part in each for part in expected)]
        assert faults == []


needs_chromium = pytest.mark.skipif(
    not is_here(), reason="needs Debian's packages chromium and chromium-driver"
)


def choose_stream(browser: Browser, name: str) -> None:
    browser.button("Recordings").click()
    browser.until(lambda: len(browser.all("dialog option")) >= 2, "the streams")
    browser.run(
        "const s = document.querySelector('dialog select'); s.value = arguments[0];"
        "s.dispatchEvent(new Event('change'))",
        name,
    )


def click_bar(browser: Browser, part: float) -> None:
    bar = browser.find(".timebar")
    offset = round((part - 0.5) * bar.size["width"])
    ActionChains(browser.driver).move_to_element_with_offset(bar, offset, 0).click().perform()


def bar_is_filled(browser: Browser, part: float) -> bool:
    pixel = browser.run(
        "const c = document.querySelector('.timebar');"
        "const at = [Math.round(c.width * arguments[0]), Math.round(c.height * 0.35), 1, 1];"
        "return [...c.getContext('2d').getImageData(...at).data]",
        part,
    )
    return int(pixel[0]) < 200  # teal, not the ground


def number(browser: Browser) -> int:
    found = browser.run("return document.querySelector('.replay canvas').dataset.sequence")
    return int(found) if found else -1


@needs_chromium
def test_a_person_seeks_in_the_bar_and_sees_what_was_there(
    shown: tuple[Browser, Recorded],
) -> None:
    browser, _ = shown
    choose_stream(browser, CAMERA)
    # The bar shows the last minute: 20 s of pictures, 20 s of nothing, 20 s of pictures.
    expected = [True, False, True]
    browser.until(
        lambda: [bar_is_filled(browser, part) for part in (0.05, 0.5, 0.8)] == expected, "the bar"
    )
    browser.until(lambda: number(browser) >= 0, "a picture")
    click_bar(browser, 10 / 60)
    browser.until(lambda: 97 <= number(browser) <= 103, "the picture of 10 s")
    red = browser.run(
        "const c = document.querySelector('.replay canvas');"
        "return c.getContext('2d').getImageData(5, 5, 1, 1).data[0]"
    )
    assert red == pytest.approx(number(browser) * 16 % 256, abs=10)
    browser.until_text("frames opened, none known to be missing", "dialog")
    # Playing goes over the gap, and does not wait in it.
    click_bar(browser, 19 / 60)
    browser.until(lambda: 187 <= number(browser) <= 193, "the picture of 19 s")
    browser.button("Play", "dialog").click()
    browser.until(lambda: number(browser) > 210, "pictures from behind the gap")
    browser.button("Pause", "dialog").click()
    browser.find("dialog").send_keys(Keys.ESCAPE)


@needs_chromium
def test_a_span_of_readings_is_drawn_chosen_by_keys_and_kept(
    shown: tuple[Browser, Recorded],
) -> None:
    browser, _ = shown
    choose_stream(browser, AIR)
    browser.until_text("60 frames opened", "dialog")
    browser.until(lambda: browser.run(LINE), "a line")
    assert values_kept(browser) == list(range(340, 400))
    bar = browser.find(".timebar")
    assert bar.get_attribute("role") == "slider"
    bar.send_keys(Keys.PAGE_UP)
    browser.until(lambda: values_kept(browser) == list(range(280, 340)), "the span before")
    browser.until_text("60 frames opened", "dialog")
    click_bar(browser, 0.5)
    browser.until_text("Nothing was recorded here", "dialog")
    browser.find("dialog").send_keys(Keys.ESCAPE)


def values_kept(browser: Browser) -> list[float]:
    """Return the values of the span that the page offers to keep."""
    kept = browser.driver.execute_async_script(
        "const done = arguments[0]; fetch(document.querySelector('[data-kind=jsonl]').href)"
        ".then((answer) => answer.text()).then(done)"
    )
    return [json.loads(line)["value"] for line in kept.splitlines()]


LINE = (
    "const c = document.querySelector('canvas.large');"
    "const d = c.getContext('2d').getImageData(80, 0, c.width - 80, c.height).data;"
    "for (let i = 0; i < d.length; i += 4) if (d[i] < 60 && d[i + 1] > 90 && d[i + 3] > 200)"
    " return true; return false"
)


@needs_chromium
def test_recordings_fit_on_a_phone(shown: tuple[Browser, Recorded]) -> None:
    browser, _ = shown
    browser.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True},
    )
    try:
        choose_stream(browser, CAMERA)
        browser.until(lambda: number(browser) >= 0, "a picture")
        wide = browser.run("return document.querySelector('dialog .sheet').scrollWidth")
        assert wide <= 360
        small = browser.run(
            "return [...document.querySelectorAll('dialog button, dialog a, dialog select')]"
            ".filter((e) => e.offsetParent && e.getBoundingClientRect().height < 24)"
            ".map((e) => e.outerHTML.slice(0, 80))"
        )
        assert small == [], "a finger needs room"
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@needs_chromium
def test_a_video_is_decoded_by_the_browser(chromium: Browser, tmp_path: Path) -> None:
    pytest.importorskip("av", reason="needs PyAV, which makes the video")
    from test_video import h264  # noqa: PLC0415 - it needs PyAV

    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "recordings.key").write_bytes(KEY)
    (state / "recordings.key").chmod(0o600)
    packets = h264(100, key_every=25)
    Recorded(state / "recordings").record(
        CAMERA,
        seconds(0, 10),
        lambda n, at: encoded("h264", n, at, packets[n][0], is_key=packets[n][1]),
    )
    with running_page(tmp_path, more='[recordings]\nrecord = true\nretention = "0s"\n') as site:
        chromium.open(site.link)
        chromium.until_text("live", "#link")
        if chromium.run("return typeof VideoDecoder") == "undefined":
            pytest.skip("this Chromium has no WebCodecs")
        chromium.button("Recordings").click()
        # Chosen is the last tenth of a minute: from 4 s on.
        chromium.until(lambda: number(chromium) in (39, 40), "the picture of 4 s")
        red = chromium.run(
            "const c = document.querySelector('.replay canvas');"
            "return c.getContext('2d').getImageData(5, 5, 1, 1).data[0]"
        )
        assert red == pytest.approx(number(chromium) * 8 % 256, abs=12)
        chromium.button("Play", "dialog").click()
        chromium.until(lambda: number(chromium) > 60, "it to play")
        chromium.open("about:blank")
