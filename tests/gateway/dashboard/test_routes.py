"""What the page's addresses give, to whom, and what they refuse."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_view import FakeView
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from tickseal_gateway import dashboard
from tickseal_gateway.commands.qr import qr_svg
from tickseal_gateway.dashboard.accounts import Accounts
from tickseal_gateway.dashboard.pictures import mjpeg

GOOD = "correct horse battery"
LIVE = "ws://127.0.0.1:4780/api/live"
Browser = Callable[[], TestClient]


def entered(browser: Browser, accounts: Accounts) -> TestClient:
    """A browser that came by the link of this start."""
    client = browser()
    assert client.post("/api/login", json={"token": accounts.token}).status_code == 200
    client.headers["x-csrf-token"] = client.get("/api/session").json()["csrf"]
    return client


def test_without_a_password_one_may_look_and_not_command(browser: Browser, view: FakeView) -> None:
    client = browser()
    assert client.get("/").status_code == 200
    assert client.get("/api/status").json()["gateway"]["name"] == "fake"
    session = client.get("/api/session").json()
    assert (session["may_read"], session["may_command"]) == (True, False)
    for command in ("invite", "approve", "rename", "revoke", "rekey", "password"):
        answer = client.post(f"/api/{command}", json={"name": "x"})
        assert answer.status_code == 401
        assert "link" in answer.json()["error"]
    assert view.done == []


def test_tags_and_limits_are_set_as_people_write_them(
    browser: Browser, accounts: Accounts, view: FakeView
) -> None:
    client = entered(browser, accounts)

    def post(command: str, **given: object) -> int:
        return client.post(f"/api/{command}", json={"name": "garden", **given}).status_code

    assert post("tag", add=["south"], remove=["old"]) == 200
    limits = {"bytes_per_s": "100kB", "frames_per_s": "20", "streams": 4, "storage_bytes": None}
    assert post("limit", limits=limits) == 200
    assert view.done == [
        ("tag", ("garden", ("south",), ("old",))),
        ("limit", ("garden", {"bytes_per_s": 100_000, "frames_per_s": 20, "streams": 4,
                              "storage_bytes": None})),
    ]  # fmt: skip
    assert post("limit", limits={"bytes_per_s": "much"}) == 400
    assert post("limit", limits=[1]) == 400
    assert post("tag", add="south") == 400


@pytest.mark.parametrize("key", ["password", "token"])
def test_text_that_is_none_is_refused_before_anybody_is_known(browser: Browser, key: str) -> None:
    headers = {"content-type": "application/json"}
    given = browser().post("/api/login", content=f'{{"{key}": "\\ud800"}}', headers=headers)
    assert given.status_code == 400


def test_with_a_password_nothing_is_shown_without_it(browser: Browser, accounts: Accounts) -> None:
    owner = entered(browser, accounts)
    assert owner.post("/api/password", json={"password": GOOD}).status_code == 200
    stranger = browser()
    paths = ("status", "history", "streams/a/b/picture.jpg", "streams/a/b/live.mjpeg")
    for path in paths:
        assert stranger.get(f"/api/{path}").status_code == 401
    with pytest.raises(WebSocketDisconnect), stranger.websocket_connect(LIVE):
        pass
    assert stranger.post("/api/login", json={"password": "guess"}).status_code == 403
    assert stranger.post("/api/login", json={"token": accounts.token}).status_code == 403
    assert stranger.post("/api/login", json={"password": GOOD}).status_code == 200
    assert stranger.get("/api/status").status_code == 200


def test_the_session_cookie_is_for_this_page_alone(browser: Browser, accounts: Accounts) -> None:
    cookie = browser().post("/api/login", json={"token": accounts.token}).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie, "it is served without TLS here"


def test_a_command_needs_more_than_the_cookie(
    browser: Browser, accounts: Accounts, view: FakeView
) -> None:
    client = entered(browser, accounts)
    token = client.headers.pop("x-csrf-token")
    assert client.post("/api/revoke", json={"name": "garden"}).status_code == 403
    client.headers["x-csrf-token"] = token[:-1] + "?"
    assert client.post("/api/revoke", json={"name": "garden"}).status_code == 403
    assert view.done == []


def test_the_commands_reach_the_gateway(
    browser: Browser, accounts: Accounts, view: FakeView
) -> None:
    client = entered(browser, accounts)
    made = client.post("/api/invite", json={"name": "garden", "minutes": 10, "hybrid": False})
    assert made.json()["result"]["qr"].startswith("<?xml")
    client.post("/api/withdraw", json={"id": "0123"})
    client.post("/api/approve", json={"name": "garden"})
    client.post("/api/rename", json={"name": "garden", "new_name": "yard"})
    assert client.post("/api/rekey", json={"name": "yard"}).json() == {"result": 2}
    client.post("/api/revoke", json={"name": "yard"})
    assert view.done == [
        ("invite", ("garden", 600 * 10**9, False)),
        ("withdraw", "0123"),
        ("approve", "garden"),
        ("rename", ("garden", "yard")),
        ("rekey", "yard"),
        ("revoke", "yard"),
    ]


def test_a_refusal_of_the_gateway_is_told_in_its_words(
    browser: Browser, accounts: Accounts
) -> None:
    answer = entered(browser, accounts).post(
        "/api/rename", json={"name": "nobody", "new_name": "somebody"}
    )
    assert answer.status_code == 400
    assert answer.json() == {"error": "there is no device 'nobody'"}


@pytest.mark.parametrize(
    ("path", "body", "kind", "status"),
    [
        ("approve", b"{}", "application/json", 400),
        ("approve", b"[]", "application/json", 400),
        ("approve", b"nonsense", "application/json", 400),
        ("approve", b"[" * 5000, "application/json", 400),
        ("approve", b'{"name": 3}', "application/json", 400),
        ("approve", b'{"name": "x"}', "text/plain", 415),
        ("approve", b" " * 9000, "application/json", 413),
        ("invite", b'{"minutes": 0}', "application/json", 400),
        ("invite", b'{"minutes": "60"}', "application/json", 400),
        ("unknown", b"{}", "application/json", 404),
    ],
)
def test_arguments_that_are_none_are_refused(  # noqa: PLR0917 - cases
    browser: Browser, accounts: Accounts, path: str, body: bytes, kind: str, status: int
) -> None:
    client = entered(browser, accounts)
    answer = client.post(f"/api/{path}", content=body, headers={"content-type": kind})
    assert answer.status_code == status
    assert answer.json()["error"]


def test_logging_out_ends_the_session(browser: Browser, accounts: Accounts) -> None:
    client = entered(browser, accounts)
    stolen = client.cookies["tickseal"]
    assert client.post("/api/logout", json={}).status_code == 200
    thief = browser()
    thief.cookies.set("tickseal", stolen)
    assert thief.get("/api/session").json()["may_command"] is False


def test_the_first_password_is_told_once(
    browser: Browser, accounts: Accounts, first_passwords: list[str]
) -> None:
    client = entered(browser, accounts)
    client.post("/api/password", json={"password": GOOD})
    client.headers["x-csrf-token"] = client.get("/api/session").json()["csrf"]
    client.post("/api/password", json={"password": GOOD + "2", "current": GOOD})
    assert first_passwords == ["made"]


# --- Other sites ---


@pytest.mark.parametrize("host", ["evil.example", "evil.example:4780", "", "127.0.0.1.evil.com"])
def test_a_name_that_is_not_ours_is_refused(browser: Browser, host: str) -> None:
    for path in ("/", "/api/status", "/static/app.js"):
        assert browser().get(path, headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:4780", "192.168.1.7", "[::1]:4780", "page.example"]
)
def test_addresses_and_names_that_are_ours_are_not(browser: Browser, host: str) -> None:
    assert browser().get("/api/status", headers={"host": host}).status_code == 200


def test_pages_of_other_sites_reach_nothing(browser: Browser, accounts: Accounts) -> None:
    client = entered(browser, accounts)
    for site in ("cross-site", "same-site"):
        headers = {"sec-fetch-site": site}
        assert client.get("/api/status", headers=headers).status_code == 403
        assert client.post("/api/rekey", json={}, headers=headers).status_code == 403
    origin = {"origin": "http://evil.example"}
    assert client.post("/api/rekey", json={}, headers=origin).status_code == 403
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect(LIVE, headers=origin),
    ):
        pass


def test_a_link_from_elsewhere_may_open_the_page(browser: Browser) -> None:
    assert browser().get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200


def test_every_answer_forbids_what_the_page_does_not_need(browser: Browser) -> None:
    client = browser()
    for path in ("/", "/static/app.js", "/static/style.css", "/api/status", "/api/none"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
    assert client.get("/api/status").headers["cache-control"] == "no-store"


def test_the_page_asks_nothing_of_the_network(browser: Browser) -> None:
    folder = Path(str(dashboard.__file__)).parent / "static"
    for file in folder.iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"(https?|wss?)://(?!\$)", text), file
        assert not re.search(r"\bon(click|load|error)=|<style|style=|innerHTML", text), file
    assert "<script>" not in browser().get("/").text


# --- Pictures ---


def test_the_newest_picture_is_given_as_it_came(browser: Browser, view: FakeView) -> None:
    client = browser()
    assert client.get("/api/streams/yard/camera/picture.jpg").status_code == 404
    view.show("yard/camera", b"first", 1)
    view.show("yard/camera", b"second", 2)
    answer = client.get("/api/streams/yard/camera/picture.jpg")
    assert (answer.content, answer.headers["content-type"]) == (b"second", "image/jpeg")
    assert answer.headers["x-sequence"] == "2"
    view.show("yard/camera", b"\0\0\0\1", 3, codec="h264")
    assert client.get("/api/streams/yard/camera/picture.jpg").status_code == 404


def test_a_watcher_that_is_slow_skips_pictures(view: FakeView) -> None:
    async def main() -> list[bytes]:
        stopping = asyncio.Event()
        view.show("yard/camera", b"<1>", 1)
        parts = mjpeg(view, "yard/camera", stopping)
        got = [await anext(parts)]
        for number in range(2, 100):
            view.show("yard/camera", b"<%d>" % number, number)
        got.append(await anext(parts))
        stopping.set()
        got += [part async for part in parts]
        return got

    parts = asyncio.run(main())
    assert [re.findall(rb"<\d+>", part) for part in parts] == [[b"<1>"], [b"<99>"]]


def test_an_open_page_gets_snapshots_and_the_pictures_it_shows(
    browser: Browser, view: FakeView
) -> None:
    view.show("yard/camera", b"one", 1)
    view.show("hall/camera", b"not shown", 1)
    with browser().websocket_connect(LIVE) as live:
        assert live.receive_json()["totals"] == {"frames": 0, "streams": 0, "ticks": 0}
        live.send_json({"watch": ["yard/camera"], "devices": []})
        assert next_picture(live) == ("yard/camera", 1, b"one")
        for number in range(2, 50):
            view.show("yard/camera", b"%d" % number, number)
        live.send_json({"drawn": "yard/camera"})
        assert next_picture(live) == ("yard/camera", 49, b"49"), "the newest, none between"


def test_a_page_that_does_not_draw_gets_no_more_pictures(browser: Browser, view: FakeView) -> None:
    view.show("yard/camera", b"1", 1)
    with browser().websocket_connect(LIVE) as live:
        live.send_json({"watch": ["yard/camera"], "devices": []})
        assert next_picture(live)[1] == 1
        view.show("yard/camera", b"2", 2)
        for _ in range(5):
            assert "text" in live.receive(), "snapshots go on"


@pytest.mark.parametrize("said", ["nonsense", "[]", '{"watch": 3}', '{"drawn": 1}', "{}"])
def test_a_page_that_talks_nonsense_is_let_go(browser: Browser, said: str) -> None:
    with browser().websocket_connect(LIVE) as live:
        live.send_text(said)
        with pytest.raises(WebSocketDisconnect):
            for _ in range(10):
                live.receive_json()


def next_picture(live: object) -> tuple[str, int, bytes]:
    while True:
        message = live.receive()  # type: ignore[attr-defined]
        if message.get("bytes") is not None:
            size = int.from_bytes(message["bytes"][:2], "big")
            head = json.loads(message["bytes"][2 : 2 + size])
            return head["stream"], head["sequence"], message["bytes"][2 + size :]


# --- The code ---


def test_the_code_says_the_token(tmp_path: Path) -> None:
    if not (shutil.which("zbarimg") and shutil.which("rsvg-convert")):
        pytest.skip("zbarimg and rsvg-convert (Debian: zbar-tools, librsvg2-bin) read the code")
    token = "tks1_" + "aZ09-_" * 60
    (tmp_path / "code.svg").write_text(qr_svg(token))
    subprocess.run(
        ["rsvg-convert", "-z", "4", "-o", tmp_path / "code.png", tmp_path / "code.svg"], check=True
    )
    read = subprocess.run(
        ["zbarimg", "--raw", "-q", tmp_path / "code.png"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert read.stdout.strip() == token
