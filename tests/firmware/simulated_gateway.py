"""A gateway in simulated time for boards of `simulated`, and a ledger of all that it opened."""

import asyncio
import random
from typing import Any

import pytest
from device import primitives
from device.streams import Stream

from tickseal import primitives as host_primitives
from tickseal.clock import ClockDiscipline, ClockInterval
from tickseal.invite import InviteToken
from tickseal.links.serial_link import SerialLink
from tickseal.sessions import events as ev
from tickseal.sessions.controller_session import ControllerSession
from tickseal.sessions.negotiation import NegotiationPolicy, Span, clamp
from tickseal.streams.parameters import Profile
from tickseal.streams.receiving import Frame, SegmentReceiver

SECOND = 1_000_000_000
TAI_NS = 1_800_000_000 * SECOND
HANDLE = 77
FLAG_BACKFILL = 4
_POLICY = NegotiationPolicy(profiles=(Profile.COMPACT,), past_ns=Span(0, 60 * SECOND))


def now_ns() -> int:
    """Return the simulated time."""
    return round(asyncio.get_running_loop().time() * SECOND)


def _clock() -> ClockInterval:
    return ClockInterval.around(TAI_NS + now_ns(), 1000, ClockDiscipline.NTP)


class Ledger:
    """All that any board sealed and any host opened.

    Attributes:
        frames: that were opened, in their order.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.frames: list[Frame] = []
        self._sealed: dict[tuple[int, int], bytes] = {}
        self._repeated = 0
        self._used: set[bytes] = set()
        seal, seal_frame = primitives.seal, Stream.seal

        def noting(suite: int, key: bytes, nonce: bytes, aad: bytes, payload: bytes) -> bytes:
            used = bytes(key) + bytes(nonce)
            self._repeated += used in self._used
            self._used.add(used)
            return seal(suite, key, nonce, aad, payload)

        def noting_frame(stream: Stream, payload: bytes, *arguments: Any) -> list[bytes]:
            self._sealed[stream.generation, stream.frame_number] = payload
            return seal_frame(stream, payload, *arguments)

        patch.setattr(primitives, "seal", noting)
        patch.setattr(Stream, "seal", noting_frame)

    def check(self) -> None:
        """Nothing was opened twice or wrongly, and the boards repeated no (key, nonce)."""
        places = [(one.source.number, one.number) for one in self.frames]
        assert len(places) == len(set(places)), "opened twice"
        for place, frame in zip(places, self.frames, strict=True):
            assert frame.payload == self._sealed[place], f"opened wrongly: {place}"
        assert self._used
        assert not self._repeated, "a (key, nonce) came again"

    @property
    def generations(self) -> set[int]:
        """Of which something was opened."""
        return {one.source.number for one in self.frames}

    @property
    def live(self) -> int:
        """How many were opened that are not of the past."""
        return sum(not one.flags & FLAG_BACKFILL for one in self.frames)


class Gateway:
    """What remembers, while the processes of a host come and go."""

    def __init__(self, ledger: Ledger, chance: random.Random) -> None:
        self.chance = chance
        self.ledger = ledger
        self.private, self.secret = chance.randbytes(32), chance.randbytes(32)
        self.psks: dict[bytes, bytes] = {}
        self.stored: dict[int, int] = {}
        self.sessions = 0
        self.news = asyncio.Event()

    def invite(self) -> str:
        """Return what a board needs to enrol."""
        return InviteToken(
            addresses=("localhost:1",),
            gateway_public=host_primitives.x25519_public(self.private),
            hybrid=False,
            invite_id=bytes(8),
            secret=self.secret,
        ).encode()

    async def serve(self, link: SerialLink) -> None:
        """Serve one connection of a board."""
        connection = _Connection(self)
        session, loop = connection.session, asyncio.get_running_loop()
        while not session.is_closed:
            due = (session.next_deadline_ns() or 0) / SECOND
            try:
                async with asyncio.timeout_at(max(due, loop.time())):
                    data = await link.receive()
            except TimeoutError:
                events = session.on_deadline(_clock(), now_ns())
            else:
                events = session.receive(data, _clock(), now_ns())
            for event in events:
                connection.handle(event)
            while link.is_writable and (said := session.data_to_send()):
                link.write(said)


class _Connection:
    def __init__(self, gateway: Gateway) -> None:
        self.session = ControllerSession(
            private_key=gateway.private, name="gateway", udp_port=0,
            random_bytes=gateway.chance.randbytes, monotonic_ns=now_ns(),
        )  # fmt: skip
        self._gateway = gateway
        self._receiver = SegmentReceiver(Profile.COMPACT)
        self._board = b""

    def handle(self, event: ev.Event) -> None:
        gateway, session = self._gateway, self.session
        match event:
            case ev.HandshakeRequested(static_public=board, invite_id=invite_id):
                self._board = board
                if invite_id is None:
                    session.accept(gateway.psks[board])
                else:
                    session.accept(gateway.secret, enrolling="device")
            case ev.SessionStarted(device_psk=psk):
                gateway.sessions += 1
                if psk is not None:
                    gateway.psks[self._board] = psk
            case ev.OpenRequested():
                parameters = clamp(event.wish, _POLICY, now=_clock(), generation=self._number())
                salt = gateway.chance.randbytes(32)
                self._receiver.install(
                    session.grant_stream(event.metadata.id, parameters, handle=HANDLE, salt=salt)
                )
            case ev.OfflineGenerationOffered(generation=generation):
                stored = gateway.stored.get(generation.number, 0)
                self._receiver.install(generation, is_live=False, highest_frame=stored - 1)
                session.answer_offer(HANDLE, generation.number, accepted=True)
            case ev.BackfillAnnounced(generation=number, ticks=ticks):
                held = self._receiver.find(HANDLE, number)
                assert held is not None
                held.opener.announce(*ticks)
            case ev.BackfillFinished(generation=number):
                self._receiver.erase(HANDLE, number)
            case ev.SegmentsReceived(segments=segments):
                for frame in self._receiver.receive(segments, _clock()):
                    self._take(frame)
            case _:
                pass

    def _number(self) -> int:
        held = [one.opener.generation.number & 15 for one in self._receiver.generations(HANDLE)]
        number = self._gateway.chance.getrandbits(64)
        while number & 15 in held:
            number = self._gateway.chance.getrandbits(64)
        return number

    def _take(self, frame: Frame) -> None:
        self._gateway.ledger.frames.append(frame)
        self._gateway.news.set()
        if frame.flags & FLAG_BACKFILL:
            number, until = frame.source.number, frame.number + 1
            self._gateway.stored[number] = until
            self.session.send_stored_until(HANDLE, number, until)
