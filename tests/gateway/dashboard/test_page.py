"""The page as it is served: where, under which certificate, and what it leaves behind."""

import asyncio
import datetime
import http.client
import json
import logging
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from ports import free_port
from running_page import Streaming, running_page
from tickseal_gateway.addresses import own_addresses
from tickseal_gateway.config import PageConfig
from tickseal_gateway.dashboard import page
from tickseal_gateway.dashboard.tls import given_certificate, own_certificate
from waiting import PATIENCE_S, eventually

from tickseal.core.errors import ConfigError
from tickseal.host.state import StateDirectory

GOOD = "correct horse battery"
NOW = datetime.datetime(2026, 5, 1, tzinfo=datetime.UTC)


class Client:
    """Asks like a browser, with cookies and the token against forged commands."""

    def __init__(self, url: str) -> None:
        scheme, _, rest = url.partition("://")
        where = rest.strip("/")
        if scheme == "https":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self._open = lambda: http.client.HTTPSConnection(
                where, timeout=PATIENCE_S, context=context
            )
        else:
            self._open = lambda: http.client.HTTPConnection(where, timeout=PATIENCE_S)
        self.headers: dict[str, str] = {}

    def ask(self, path: str, values: Any = None, *, raw: bool = False) -> tuple[int, Any]:
        connection = self._open()
        try:
            if values is None:
                connection.request("GET", path, headers=self.headers)
            else:
                headers = {**self.headers, "content-type": "application/json"}
                connection.request("POST", path, json.dumps(values), headers)
            answer = connection.getresponse()
            cookie = answer.getheader("set-cookie")
            if cookie:
                self.headers["cookie"] = cookie.partition(";")[0]
            body = answer.read()
        finally:
            connection.close()
        return answer.status, body if raw else json.loads(body)

    def enter(self, token: str) -> None:
        assert self.ask("/api/login", {"token": token})[0] == 200
        self.headers["x-csrf-token"] = self.ask("/api/session")[1]["csrf"]


def test_it_is_up_with_the_gateway_and_says_where(tmp_path: Path) -> None:
    with running_page(tmp_path) as site:
        status, snapshot = Client(site.url).ask("/api/status")
        assert (status, snapshot["gateway"]["name"]) == (200, "test gateway")
        assert snapshot["gateway"]["page"] == site.url
        link = site.state / "page" / "link"
        assert link.stat().st_mode & 0o777 == 0o600
    assert not link.exists(), "a link that is of no use any more"


def test_the_token_is_in_the_link_and_nowhere_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), running_page(tmp_path) as site:
        token = site.link.partition("#token=")[2]
        assert len(token) == 24
        client = Client(site.url)
        client.enter(token)
        assert token not in json.dumps(client.ask("/api/status")[1])
        client.ask("/api/login", {"token": "a guess at it"})
    assert token not in caplog.text


def test_it_is_on_loopback_alone_until_there_is_a_password(tmp_path: Path) -> None:
    address = own_addresses()[0]
    if address.startswith("127."):
        pytest.skip("this machine has no address besides loopback")
    port = free_port()
    with running_page(tmp_path, f'host = "*"\nport = {port}') as site:
        assert site.url == f"http://127.0.0.1:{port}/"
        with pytest.raises(ConnectionRefusedError), socket.create_connection((address, port), 2):
            pass
        client = Client(site.url)
        client.enter(site.link.partition("#token=")[2])
        assert client.ask("/api/password", {"password": GOOD})[0] == 200
        eventually(lambda: site.url.startswith("https"), "TLS")
        assert "token" not in site.link
        far = Client(f"https://{address}:{port}/")
        assert far.ask("/api/status")[0] == 401
        assert far.ask("/api/login", {"password": GOOD})[0] == 200
        assert far.ask("/api/status")[0] == 200


def test_a_page_that_cannot_be_had_is_an_alarm_and_not_the_end(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with running_page(tmp_path, f"port = {taken.getsockname()[1]}") as site:
            (alarm,) = site.view.snapshot()["alarms"]  # type: ignore[misc]
    assert alarm["kind"] == "page"
    assert "choose another" in alarm["detail"]


def test_it_stops_with_pages_open(tmp_path: Path) -> None:
    with running_page(tmp_path) as site:
        host, port = site.url.removeprefix("http://").strip("/").split(":")
        open_page = socket.create_connection((host, int(port)), 5)
        open_page.sendall(
            b"GET /api/live HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Version: 13\r\n\r\n"
        )
        assert b"101" in open_page.recv(100)
    open_page.close()


def test_pictures_in_motion_are_served_to_other_programs(tmp_path: Path) -> None:
    with running_page(tmp_path) as site:
        device = Streaming(site, site.invite("garden"))
        path = "/api/streams/garden/camera/live.mjpeg"
        still = "/api/streams/garden/camera/picture.jpg"
        eventually(lambda: Client(site.url).ask(still, raw=True)[0] == 200, "a picture")
        host, port = site.url.removeprefix("http://").strip("/").split(":")
        with socket.create_connection((host, int(port)), 10) as player:
            player.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            stream = player.makefile("rb")
            times = [next_jpeg(stream)[0] for _ in range(5)]
            assert times == sorted(set(times)), "each picture once, in order"
            assert next_jpeg(stream)[1].startswith(b"\xff\xd8")
        device.stop()


def next_jpeg(stream: Any) -> tuple[int, bytes]:
    """Read one part of a multipart answer: when it was captured, and the picture."""
    size = captured = 0
    while True:
        line = stream.readline().strip().lower()
        if line.startswith(b"content-length:"):
            size = int(line.partition(b":")[2])
        elif line.startswith(b"x-captured-ns:"):
            captured = int(line.partition(b":")[2])
        elif not line and captured:
            return captured, stream.read(size)


def test_one_that_never_says_what_it_wants_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "_HEAD_S", 0.5)
    with running_page(tmp_path) as site:
        host, port = site.url.removeprefix("http://").strip("/").split(":")
        where = (host, int(port))
        get = b"GET /api/session HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        with (
            socket.create_connection(where, 10) as silent,
            socket.create_connection(where, 10) as slow,
            socket.create_connection(where, 10) as second,
        ):
            slow.sendall(b"GET / HTTP/1.1\r\nHost: ")
            second.sendall(get + b"GET / HT")
            assert second.recv(4096).startswith(b"HTTP/1.1 200")
            assert silent.recv(4096) == b""
            assert b"200" not in slow.recv(4096)
            while second.recv(4096):
                pass
        assert Client(site.url).ask("/api/status")[0] == 200


def test_a_flood_of_connections_leaves_the_gateway_alone(tmp_path: Path) -> None:
    with running_page(tmp_path) as site:
        host, port = site.url.removeprefix("http://").strip("/").split(":")
        idle = [socket.create_connection((host, int(port)), 5) for _ in range(300)]
        try:
            assert site.do(asyncio.sleep(0, "alive")) == "alive"
        finally:
            for each in idle:
                each.close()
        assert Client(site.url).ask("/api/status")[0] == 200


# --- Certificates ---


def test_its_own_certificate_is_kept_and_names_this_machine(state: StateDirectory) -> None:
    made = own_certificate(state, ("page.example",), NOW)
    assert made.is_self_signed
    assert made.key.stat().st_mode & 0o777 == 0o600
    found = x509.load_pem_x509_certificate(made.certificate.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"localhost", "page.example"} <= set(names.get_values_for_type(x509.DNSName))
    assert made.fingerprint.replace(":", "").lower() == found.fingerprint(hashes.SHA256()).hex()
    assert own_certificate(state, (), NOW).fingerprint == made.fingerprint


def test_its_own_certificate_is_renewed_in_time(state: StateDirectory) -> None:
    made = own_certificate(state, (), NOW)
    later = NOW + datetime.timedelta(days=800)
    assert own_certificate(state, (), later).fingerprint != made.fingerprint


def test_a_damaged_certificate_is_made_anew(state: StateDirectory) -> None:
    made = own_certificate(state, (), NOW)
    state.write("page/tls.crt", b"damaged")
    assert own_certificate(state, (), NOW).fingerprint != made.fingerprint


def test_a_certificate_of_another_key_is_refused(tmp_path: Path, state: StateDirectory) -> None:
    made = own_certificate(state, (), NOW)
    assert not given_certificate(made.certificate, made.key).is_self_signed
    with StateDirectory.open(tmp_path / "other") as other:
        foreign = own_certificate(other, (), NOW)
    with pytest.raises(ConfigError, match="is not the key of"):
        given_certificate(made.certificate, foreign.key)
    with pytest.raises(ConfigError, match="cannot read"):
        given_certificate(made.certificate, tmp_path / "none")
    with pytest.raises(ConfigError, match="both PEM"):
        given_certificate(made.key, made.certificate)


def test_a_certificate_without_its_key_is_no_configuration() -> None:
    with pytest.raises(ConfigError, match="go together"):
        PageConfig(certificate="page.pem")
