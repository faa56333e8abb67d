"""A gateway that keeps everything in memory and lets the test see and spoil it; real sockets."""

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tickseal import primitives
from tickseal.clock import Clock
from tickseal.core import constants
from tickseal.core.errors import LinkError
from tickseal.host.clock_fake import FakeClock
from tickseal.host.kernel_clock import boottime_ns
from tickseal.invite import InviteToken
from tickseal.links.tcp import TCPLink, TCPServer
from tickseal.links.udp import UDPLink
from tickseal.sessions import control
from tickseal.sessions import events as ev
from tickseal.sessions.controller_session import ControllerSession
from tickseal.sessions.negotiation import (
    NegotiationError,
    NegotiationPolicy,
    clamp,
    pick_generation,
    pick_handle,
)
from tickseal.streams.generation import Generation
from tickseal.streams.metadata import StreamMetadata
from tickseal.streams.receiving import Frame, SegmentReceiver
from tickseal.streams.summary import Summary


@dataclass
class Offline:
    """What outlives the gateway's process of an offline generation."""

    stored_until: int = 0
    is_finished: bool = False


@dataclass
class Registry:
    """What outlives the gateway's process."""

    private: bytes = field(default_factory=lambda: os.urandom(32))
    invite_secret: bytes = b"i" * 32
    psk: bytes = b""
    device_key: bytes = b""
    handles: dict[str, int] = field(default_factory=dict)
    offline: dict[tuple[int, int], Offline] = field(default_factory=dict)
    frames: list[tuple[str, int, int, bytes]] = field(default_factory=list)
    """(stream, generation, number, payload) in the order of arrival."""


class FakeGateway:
    """One life of a gateway's process; the registry is handed from one to the next.

    Attributes:
        decide: returns a refusal, or "" to let a device in.
        refuse_stream: returns the reason to refuse a stream, or "".
        is_deaf: nothing is acknowledged, reported or answered on data.
        takes_udp: whether it says that it takes datagrams.
        loses_udp: datagrams are lost from now on.
        stores_one_chunk: of backfill; what comes after it is not even read.
        seen: every event, in order.
        flags: of the last frame of each stream.
        missing: frames known to be lost, by handle, of what was backfilled.
    """

    def __init__(self, registry: Registry, *, clock: Clock | None = None) -> None:
        self.registry = registry
        self.clock: Clock = clock or FakeClock()
        self.receiver = SegmentReceiver()
        self.sessions: list[tuple[ControllerSession, TCPLink]] = []
        self.decide: Callable[[ev.HandshakeRequested], str] = lambda _: ""
        self.refuse_stream: Callable[[StreamMetadata], str] = lambda _: ""
        self.alter: Callable[[Generation], Generation] = lambda generation: generation
        self.is_deaf = False
        self.takes_udp = True
        self.loses_udp = False
        self.acknowledges = True
        self.stores_one_chunk = False
        self.policy = NegotiationPolicy()
        self.seen: list[ev.Event] = []
        self.flags: dict[str, int] = {}
        self.missing: Counter[int] = Counter()
        self.refusals: Counter[str] = Counter()
        self._has_stored = False
        self._numbers: list[int] = []
        self._tasks: list[asyncio.Task[None]] = []

    # --- Life ---

    async def start(self, port: int = 0) -> "FakeGateway":
        """Listen on loopback, on a port of before or any free one."""
        self.server = await TCPServer.listen(self._serve, "127.0.0.1", port)
        self.port = self.server.address[1]
        self.udp = await UDPLink.listen("127.0.0.1", 0)
        self._tasks = [asyncio.create_task(self._datagrams())]
        return self

    async def stop(self, *, politely: bool = True) -> None:
        """End: with bye, or as a process that is killed."""
        for session, link in self.sessions:
            if politely:
                session.close("stopping")
                with contextlib.suppress(LinkError):  # the device was quicker
                    while data := session.data_to_send():
                        link.write(data)
                await link.close()
            else:
                link.abort()
        await self.server.close()
        self.udp.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def invite(self) -> InviteToken:
        """An invite that is good for ever."""
        return InviteToken(
            addresses=(f"127.0.0.1:{self.port}",),
            gateway_public=primitives.x25519_public(self.registry.private),
            hybrid=False,
            invite_id=b"invite#1",
            secret=self.registry.invite_secret,
        )

    @property
    def session(self) -> ControllerSession:
        """The newest session."""
        return self.sessions[-1][0]

    def flush(self) -> None:
        """Write what the sessions have to say."""
        for session, link in self.sessions:
            try:
                while data := session.data_to_send():
                    link.write(data)
            except LinkError:
                pass

    def events(self, kind: type[ev.Event]) -> list[ev.Event]:
        """Return what was seen of a kind."""
        return [event for event in self.seen if isinstance(event, kind)]

    def payloads(self, stream_id: str) -> list[bytes]:
        """Return what arrived of a stream over all lives, in order."""
        return [row[3] for row in self.registry.frames if row[0] == stream_id]

    def is_holdover(self, stream_id: str) -> bool:
        """Tell whether the last frame that arrived was sealed by a clock that is not trusted."""
        return bool(self.flags[stream_id] & constants.FLAG_HOLDOVER)

    def numbers(self, stream_id: str) -> list[int]:
        """Return what arrived of a stream whose payloads are numbers, in order."""
        return [int(payload) for payload in self.payloads(stream_id)]

    def summaries(self, stream_id: str) -> list[Summary]:
        """Return the last summary of each generation held of a stream."""
        held = self.receiver.generations(self.registry.handles[stream_id])
        return [received.summary for received in held if received.summary]

    def report(self) -> None:
        """Tell the device what was opened, as a gateway does every second."""
        rows = [
            control.ReportRow(
                handle,
                received.opener.generation.number,
                received.opener.highest_frame + 1,
                received.opener.opened,
                0,
            )
            for handle in self.registry.handles.values()
            for received in self.receiver.generations(handle)
        ]
        self.session.report(rows)
        self.flush()

    # --- Inside ---

    async def _datagrams(self) -> None:
        while True:
            try:
                batch = await self.udp.receive()
            except LinkError:
                return
            if not self.loses_udp:
                self._take([segment for segment, _ in batch])

    async def _serve(self, link: TCPLink) -> None:
        session = ControllerSession(
            private_key=self.registry.private,
            name="fake",
            udp_port=self.udp.address[1] if self.takes_udp else 0,
            random_bytes=os.urandom,
            monotonic_ns=boottime_ns(),
        )
        self.sessions.append((session, link))
        while not session.is_closed:
            deadline_ns = session.next_deadline_ns() or 0
            try:
                async with asyncio.timeout(max(0, deadline_ns - boottime_ns()) / 1e9):
                    data = await link.receive()
            except TimeoutError:
                found = session.on_deadline(self.clock.now(), boottime_ns())
            else:
                found = session.receive(data, self.clock.now(), boottime_ns())
            for event in found:
                self.seen.append(event)
                self._handle(session, event)
            if not self.is_deaf:
                while data := session.data_to_send():
                    link.write(data)

    def _handle(self, session: ControllerSession, event: ev.Event) -> None:
        match event:
            case ev.HandshakeRequested():
                self._decide(session, event)
            case ev.SessionStarted():
                if event.device_psk:
                    self.registry.psk = event.device_psk
                for other, link in self.sessions:
                    if other is not session and not other.is_closed:
                        other.close("displaced")
                        while data := other.data_to_send():
                            link.write(data)
            case ev.OpenRequested():
                self._open(session, event)
            case ev.OfflineGenerationOffered():
                self._offered(session, event)
            case ev.BackfillAnnounced():
                self._announced(session, event)
            case ev.BackfillFinished():
                self.registry.offline.setdefault(
                    (event.handle, event.generation), Offline()
                ).is_finished = True
                self.missing[event.handle] += sum(
                    received.missing_frames
                    for received in self.receiver.generations(event.handle)
                    if received.opener.generation.number == event.generation
                )
                self.receiver.erase(event.handle, event.generation)
            case ev.SegmentsReceived():
                self._take(event.segments, session)
            case _:
                pass

    def _decide(self, session: ControllerSession, event: ev.HandshakeRequested) -> None:
        if reason := self.decide(event):
            session.refuse(reason)
        elif event.invite_id:
            self.registry.device_key = event.static_public
            session.accept(self.registry.invite_secret, enrolling="device-1")
        elif event.static_public != self.registry.device_key:
            session.refuse("unknown")
        else:
            session.accept(self.registry.psk)

    def _open(self, session: ControllerSession, event: ev.OpenRequested) -> None:
        stream_id = event.metadata.id
        if reason := self.refuse_stream(event.metadata):
            session.refuse_stream(stream_id, reason, "the test says so")
            return
        handles = self.registry.handles
        handle = handles.setdefault(stream_id, pick_handle(os.urandom, handles.values()))
        held = [one.opener.generation.number for one in self.receiver.generations(handle)]
        number = pick_generation(os.urandom, [*held, *self._numbers])
        self._numbers.append(number)
        try:
            granted = clamp(event.wish, self.policy, now=self.clock.now(), generation=number)
        except NegotiationError as error:
            session.refuse_stream(stream_id, error.reason, error.detail)
            return
        generation = session.grant_stream(stream_id, granted, handle=handle, salt=os.urandom(32))
        self.receiver.install(generation)

    def _offered(self, session: ControllerSession, event: ev.OfflineGenerationOffered) -> None:
        key = (event.handle, event.generation.number)
        state = self.registry.offline.setdefault(key, Offline())
        if event.handle not in self.registry.handles.values():
            session.answer_offer(*key, accepted=False, reason="handle")
            return
        if state.is_finished:
            session.answer_offer(*key, accepted=False, reason="finished")
            return
        if self.receiver.find(*key) is None:
            self.receiver.install(
                event.generation, is_live=False, highest_frame=state.stored_until - 1
            )
        session.answer_offer(*key, accepted=True)
        if state.stored_until:
            session.send_stored_until(*key, state.stored_until)

    def _announced(self, session: ControllerSession, event: ev.BackfillAnnounced) -> None:
        key = (event.handle, event.generation)
        received = self.receiver.find(*key)
        if received is None:
            session.send_stored_until(*key, event.frames[1])
            return
        received.opener.announce(*event.ticks)
        state = self.registry.offline.setdefault(key, Offline())
        if state.stored_until > event.frames[0]:
            session.send_stored_until(*key, state.stored_until)

    def _take(self, segments: object, session: ControllerSession | None = None) -> None:
        if self.stores_one_chunk and self._has_stored:
            return
        frames: list[Frame] = self.receiver.receive(segments, self.clock.now())  # type: ignore[arg-type]
        for frame in frames:
            source = frame.source
            self.flags[source.stream_id] = frame.flags
            self.registry.frames.append(
                (source.stream_id, source.number, frame.number, frame.payload)
            )
        if session is None or not self.acknowledges:
            return
        for (handle, number), state in self.registry.offline.items():
            received = self.receiver.find(handle, number)
            if received is None or received.opener.is_live:
                continue
            until = received.opener.highest_frame + 1
            if until > state.stored_until:
                state.stored_until = until
                self._has_stored = True
                session.send_stored_until(handle, number, until)
