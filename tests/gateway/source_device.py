"""A Data Source for these tests: the library's source session over real sockets on loopback."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from tickseal_gateway.health.view import View
from waiting import PATIENCE_S

from tickseal import StreamMetadata
from tickseal.clock import Clock, ClockDiscipline, ClockInterval
from tickseal.core.errors import LinkError
from tickseal.host.kernel_clock import KernelClock, boottime_ns
from tickseal.invite import InviteToken, split_address
from tickseal.links.tcp import TCPLink
from tickseal.links.udp import UDPLink
from tickseal.payloads.samples import CONTENT, Sample, encode_samples
from tickseal.sessions import events as ev
from tickseal.sessions.negotiation import AcceptancePolicy, Wish
from tickseal.sessions.source_session import Credentials, SourceSession
from tickseal.streams.generation import Generation
from tickseal.streams.offline import OfflineGeneration, seal_offline_generation
from tickseal.streams.sealing import FrameSealer

E = TypeVar("E", bound=ev.Event)
T = TypeVar("T")


class Device:
    """One device: its keys, and, within connected(), its session."""

    def __init__(self, token: str, *, private_key: bytes | None = None) -> None:
        self.invite = InviteToken.parse(token)
        self.credentials = Credentials.from_invite(
            self.invite, private_key=private_key or os.urandom(32)
        )
        self.clock: Clock = KernelClock()
        self.policy = AcceptancePolicy()
        self.name = ""
        self.events: list[ev.Event] = []
        self.sealers: dict[str, FrameSealer] = {}
        self.sent: list[bytes] = []

    @contextlib.asynccontextmanager
    async def connected(
        self, *, stores: bool = True, waits: bool = True
    ) -> AsyncIterator["Device"]:
        """Run a session while the block lasts; enrol first where there is only an invite."""
        host, port = split_address(self.invite.addresses[0])
        self.link = await TCPLink.connect(host, port)
        self.session = self.make_session()
        self.events = []
        self.written: list[bytes] = []
        self._changed = asyncio.Event()
        self.flush()
        reader = asyncio.create_task(self._read())
        try:
            if waits:
                welcome = await self.wait_for(ev.Welcomed)
                self.udp = await UDPLink.connect(host, welcome.udp_port)
                if self.credentials.invite_id is not None:
                    await self._finish_enrolment(stores=stores)
            yield self
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader
            self.session.close()
            with contextlib.suppress(LinkError):
                self.flush()
            await self.link.close()
            if hasattr(self, "udp"):
                self.udp.close()

    def make_session(self) -> Any:
        """Return a new session, by the invite or as enrolled."""
        return SourceSession(
            credentials=self.credentials,
            name="test",
            software="tests/1",
            policy=self.policy,
            random_bytes=os.urandom,
            monotonic_ns=boottime_ns(),
        )

    @property
    def started(self) -> list[ev.GenerationStarted]:
        """The generations that began in this session."""
        return [event for event in self.events if isinstance(event, ev.GenerationStarted)]

    def note(self, event: ev.Event) -> None:
        """Take in an event as soon as it comes."""

    async def _finish_enrolment(self, *, stores: bool) -> None:
        enrolled = await self.wait_for(ev.Enrolled)
        if not stores:
            return
        self.name = enrolled.device
        self.credentials = Credentials(
            private_key=self.credentials.private_key,
            gateway_key=self.credentials.gateway_key,
            psk=enrolled.device_psk,
            hybrid=self.credentials.hybrid,
        )
        self.session.confirm_stored()
        self.flush()

    async def _read(self) -> None:
        while not self.session.is_closed:
            deadline = self.session.next_deadline_ns() or 0
            try:
                async with asyncio.timeout(max(0, deadline - boottime_ns()) / 1e9):
                    data = await self.link.receive()
            except TimeoutError:
                found = self.session.on_deadline(self.clock.now(), boottime_ns())
            except LinkError:
                found = self.session.receive(b"", self.clock.now(), boottime_ns())
            else:
                found = self.session.receive(data, self.clock.now(), boottime_ns())
            for event in found:
                self.note(event)
            self.events += found
            self._changed.set()
            with contextlib.suppress(LinkError):
                self.flush()

    def move(self, view: View) -> None:
        """Follow a gateway that was started again, perhaps on another port."""
        port = view.snapshot()["gateway"]["tcp_port"]  # type: ignore[index]
        self.invite = replace(self.invite, addresses=(f"127.0.0.1:{port}",))

    def twin(self) -> "Device":
        """Return another device that has copied this one's identity."""
        twin = Device(self.invite.encode())
        twin.credentials = self.credentials
        return twin

    def shift_clock(self, by_ns: int) -> None:
        """Let the device's clock be wrong by so much, from now on."""
        self.clock = ShiftedClock(by_ns)

    @staticmethod
    def wish(**values: Any) -> Wish:
        """Return a wish."""
        return Wish(**values)

    def ask(self, *stream_ids: str, wish: Wish | None = None) -> None:
        """Ask for streams at once, without waiting for the answers."""
        for stream_id in stream_ids:
            metadata = StreamMetadata(id=stream_id, type="telemetry", extra={"content": CONTENT})
            self.session.open_stream(metadata, wish or Wish())
        self.flush()

    def begin_offline(self, online: Generation) -> tuple[bytes, FrameSealer]:
        """Begin a generation without the gateway; return the blob to offer, and its sealer."""
        t0_ns = self.clock.now().earliest_ns // 10**9 * 10**9 - 3600 * 10**9
        number = online.number + 1 & 0xFFFFFFFFFFFFFFFF
        parameters = replace(online.parameters, generation=number, t0_ns=t0_ns)
        made = OfflineGeneration(
            handle=online.handle,
            metadata=online.metadata.encode(),
            parameters=parameters.encode(),
            salt=os.urandom(32),
            secret=os.urandom(32),
        )
        blob = seal_offline_generation(
            made,
            private=self.credentials.private_key,
            gateway_public=self.credentials.gateway_key,
            psk=self.credentials.psk,
            random_bytes=os.urandom,
        )
        generation = Generation.derive(
            online.metadata,
            parameters,
            initial_secret=made.secret,
            salt=made.salt,
            handle=made.handle,
        )
        return blob, FrameSealer(generation)

    async def offer(self, blob: bytes) -> ev.OfferAnswered:
        """Offer an offline generation; return the answer."""
        since = len(self.events)
        self.session.offer(blob)
        self.flush()
        return await self.wait_for(ev.OfferAnswered, since=since)

    def backfill(self, sealer: FrameSealer, frames: list[tuple[int, int, list[bytes]]]) -> None:
        """Announce and send frames: tick, number and segments of each."""
        generation = sealer.generation
        self.session.announce_backfill(
            generation.handle,
            generation.number,
            ticks=(frames[0][0], frames[-1][0] + 1),
            frames=(frames[0][1], frames[-1][1] + 1),
        )
        for _, _, segments in frames:
            assert self.session.send_segments(segments, backfill=True) == len(segments)
        self.flush()

    async def stored(self, number: int, until_frame: int) -> None:
        """Wait until the gateway has acknowledged the frames of a generation below a number."""

        def is_stored() -> bool:
            return any(
                isinstance(e, ev.StoredUntil)
                and (e.generation, e.frame_until) == (number, until_frame)
                for e in self.events
            )

        await until(is_stored, what=f"stored until {until_frame}")

    def flush(self) -> None:
        """Write what the session has to say."""
        while data := self.session.data_to_send():
            self.written.append(data)
            self.link.write(data)

    async def wait_for(self, *kinds: type[E], since: int = 0) -> E:
        """Return the first event of these kinds since a place; fail at the session's end."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for event in self.events[since:]:
                    if isinstance(event, kinds):
                        return event
                ended = [e for e in self.events[since:] if isinstance(e, ev.SessionClosed)]
                assert not ended, f"no {kinds}: {self.events}"
                self._changed.clear()
                await self._changed.wait()

    async def open(
        self, stream_id: str = "garden", *, content: str = CONTENT, wish: Wish | None = None
    ) -> Generation:
        """Open a stream, or its next generation; by default no segment of it is late for long."""
        since = len(self.events)
        metadata = StreamMetadata(id=stream_id, type="telemetry", extra={"content": content})
        self.session.open_stream(metadata, wish or Wish(past_ns=30 * 10**9))
        self.flush()
        answer = await self.wait_for(ev.GenerationStarted, ev.StreamRefused, since=since)
        assert isinstance(answer, ev.GenerationStarted), answer
        self.sealers[stream_id] = FrameSealer(answer.generation)
        return answer.generation

    def seal(self, payload: bytes, stream_id: str = "garden") -> list[bytes]:
        """Seal one frame with the tick of now."""
        sealer = self.sealers[stream_id]
        parameters = sealer.generation.parameters
        tick = max(sealer.tick, parameters.tick_at(self.clock.now().midpoint_ns))
        segments = sealer.seal(payload, tick)
        self.sent += segments
        return segments

    async def send(self, value: float, stream_id: str = "garden", name: str = "t") -> None:
        """Send one reading by UDP."""
        await self.udp.send(self.seal(reading(value, name), stream_id))


class ShiftedClock:
    """This machine's clock, off by a span, and sure of itself to a millisecond."""

    def __init__(self, by_ns: int) -> None:
        self._by_ns = by_ns
        self._kernel = KernelClock()

    def now(self) -> ClockInterval:
        """Return a reading."""
        midpoint = self._kernel.now().midpoint_ns + self._by_ns
        return ClockInterval.around(midpoint, 1_000_000, ClockDiscipline.NTP)


class MovableClock:
    """This machine's clock, for a gateway made from now on and whoever is given it too.

    Args:
        runs: whether it goes on by itself, or stands.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, runs: bool = True) -> None:
        self._kernel = KernelClock()
        self._ahead_ns = 0
        self._stands = None if runs else self._kernel.now().midpoint_ns
        monkeypatch.setattr("tickseal_gateway.service.KernelClock", lambda: self)

    def move(self, by_ns: int) -> None:
        """Let time pass."""
        self._ahead_ns += by_ns

    def now(self) -> ClockInterval:
        """Return a reading, sure to a millisecond."""
        midpoint = self._stands or self._kernel.now().midpoint_ns
        return ClockInterval.around(midpoint + self._ahead_ns, 1_000_000, ClockDiscipline.NTP)


def reading(value: float, name: str = "t", time_ns: int | None = None) -> bytes:
    """Return the payload of a frame with one sample."""
    now = KernelClock().now().midpoint_ns if time_ns is None else time_ns
    return encode_samples([Sample(name=name, value=value, unit="Cel", time_ns=now)])


async def until(condition: Callable[[], T | Awaitable[T]], *, what: str = "it") -> T:
    """Return what a condition gives as soon as it is true."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        found = condition()
        value = await found if isinstance(found, Awaitable) else found
        if value:
            return value
        assert asyncio.get_running_loop().time() < deadline, f"{what} did not come true"
        await asyncio.sleep(0.01)
