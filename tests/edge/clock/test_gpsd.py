"""gpsd's messages are understood; no fix, silence and rubbish are no time."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator

import pytest
from tickseal_edge.clock.gpsd import GPSD
from waiting import PATIENCE_S, eventually

from tickseal.core.errors import ClockError

FIX = {"class": "TPV", "device": "/dev/ttyAMA0", "mode": 3, "time": "2026-11-24T09:00:00.000Z"}
TOFF = {"class": "TOFF", "real_sec": 1795510800, "real_nsec": 0,
        "clock_sec": 1795510807, "clock_nsec": 123000000}  # fmt: skip
PPS = {"class": "PPS", "real_sec": 1795510800, "real_nsec": 0, "clock_sec": 1795510807,
       "clock_nsec": 4000, "precision": -20}  # fmt: skip


class Server:
    """gpsd as far as it is needed: says what the test gives it."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ready = threading.Event()
        self.peer: socket.socket | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        try:
            self.peer, _ = self.listener.accept()
            self.asked = self.peer.recv(1000)
        except OSError:
            return
        self.ready.set()

    def say(self, *messages: object) -> None:
        assert self.ready.wait(PATIENCE_S)
        assert self.peer is not None
        for message in messages:
            text = message if isinstance(message, str) else json.dumps(message)
            self.peer.sendall(text.encode() + b"\r\n")

    def close(self) -> None:
        self.listener.close()
        if self.peer:
            self.peer.close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def told(gpsd: GPSD) -> object:
    """Ask until something is told: it may be under way."""

    def look() -> object:
        with contextlib.suppress(ClockError):
            return gpsd.time()
        return None

    return eventually(look, "what the time is")


def test_a_pulse_beats_a_message(server: Server) -> None:
    gpsd = GPSD(port=server.port)
    with pytest.raises(ClockError, match="no fix"):
        gpsd.time()
    server.say({"class": "VERSION"}, "rubbish", FIX, TOFF, PPS, TOFF, {"class": "TOFF"})
    time = told(gpsd)
    assert time.is_pulse  # type: ignore[attr-defined]
    assert time.clock_ahead_ns == 7 * 10**9 + 4000  # type: ignore[attr-defined]
    assert b'"pps":true' in server.asked
    gpsd.close()


def test_without_a_fix_there_is_no_time(server: Server) -> None:
    gpsd = GPSD(port=server.port)
    with pytest.raises(ClockError):
        gpsd.time()
    server.say(FIX, TOFF)
    told(gpsd)
    gpsd.feed(FIX | {"mode": 1})
    with pytest.raises(ClockError, match="no fix"):
        gpsd.time()
    gpsd.close()


def test_a_gpsd_that_is_gone_is_named_and_tried_again(server: Server) -> None:
    gpsd = GPSD(port=server.port)
    with pytest.raises(ClockError):
        gpsd.time()
    assert server.ready.wait(PATIENCE_S)
    server.close()

    def said() -> str:
        with pytest.raises(ClockError) as caught:
            gpsd.time()
        return str(caught.value)

    eventually(lambda: "gpsd does not answer" in said(), "the loss")
