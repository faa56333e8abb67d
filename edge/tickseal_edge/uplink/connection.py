"""One connection to the gateway: a SourceSession, its TCP link, and the UDP link for segments."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Sequence

from tickseal.clock import Clock
from tickseal.core.errors import LinkError
from tickseal.host.kernel_clock import boottime_ns
from tickseal.invite import split_address
from tickseal.links.base import Address
from tickseal.links.tcp import TCPLink
from tickseal.links.udp import UDPLink
from tickseal.sessions.events import CloseReason, Event, SessionClosed, Welcomed
from tickseal.sessions.negotiation import AcceptancePolicy
from tickseal.sessions.session import State
from tickseal.sessions.source_session import Credentials, SourceSession

_logger = logging.getLogger(__name__)

#: What the goodbye may take, s: less than people and service managers wait.
_CLOSE_S = 0.5
#: What may wait behind the session, where nothing newer overtakes it any more.
_WAITING_BYTES = 16 << 10
#: Ends after which nothing that is written arrives any more.
_DEAD = (CloseReason.SILENT, CloseReason.DISCONNECTED, CloseReason.OVERFLOW)


class Connection:
    """Drives one SourceSession from its first record to its end.

    Args:
        credentials, name, software, policy: as of SourceSession.
        clock: the device's own clock, never one that was taken from the gateway.
        on_event: is given every event, in order; what it raises ends the connection.
    Attributes:
        session: the session, from the moment that a gateway answers.
    """

    session: SourceSession

    def __init__(
        self,
        *,
        credentials: Credentials,
        name: str,
        software: str,
        policy: AcceptancePolicy,
        clock: Clock,
        on_event: Callable[[Event], None],
    ) -> None:
        self._credentials = credentials
        self._name = name
        self._software = software
        self._policy = policy
        self._clock = clock
        self._on_event = on_event
        self._link: TCPLink | None = None
        self._udp: UDPLink | None = None
        self._udp_host = ""
        self._udp_port = 0
        self._closed: SessionClosed | None = None
        self._fault: BaseException | None = None
        # There may be something to write; nothing is left to be written.
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        # The time to look at next may have changed.
        self._moved = asyncio.Event()
        self._ended = asyncio.Event()

    @property
    def is_running(self) -> bool:
        """Whether streams can be opened and segments sent."""
        session: SourceSession | None = getattr(self, "session", None)
        return session is not None and session.state is State.RUNNING

    @property
    def has_udp(self) -> bool:
        """Whether the gateway takes datagrams."""
        return bool(self._udp_port)

    async def run(self, address: str) -> SessionClosed | None:
        """Connect, run until the session is over, and return why; None where it was closed here.

        Args:
            address: "host:port" of the gateway.
        Raises:
            LinkError: nobody answers there.
        """
        host, port = split_address(address)
        self._link = link = await TCPLink.connect(host, port, limit_bytes=_WAITING_BYTES)
        # Datagrams go to the address that answered, which a name with several would not ensure.
        self._udp_host = _host(link.peer)
        self.session = SourceSession(
            credentials=self._credentials,
            name=self._name,
            software=self._software,
            policy=self._policy,
            random_bytes=os.urandom,
            monotonic_ns=boottime_ns(),
        )
        tasks = [asyncio.create_task(work) for work in (self._read(link), self._keep_time())]
        for task in tasks:
            task.add_done_callback(self._on_task_done)
        try:
            await self._write(link)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._udp:
                self._udp.close()
            await _close(link)
            self._idle.set()
            self._ended.set()
        return self._closed

    def flush(self) -> None:
        """Have what was given to the session written soon."""
        self._idle.clear()
        self._wake.set()

    async def send(self, segments: Sequence[bytes], *, backfill: bool = False) -> None:
        """Send segments on this connection, waiting while it is full.

        Args:
            backfill: behind live ones, in order with what the session is told of them.
        Raises:
            LinkError: the connection has ended.
        """
        sent = 0
        while sent < len(segments):
            if not self.is_running:
                raise LinkError("the connection to the gateway has ended")
            sent += self.session.send_segments(segments[sent:], backfill=backfill)
            self.flush()
            await self._idle.wait()

    async def send_datagrams(self, segments: Sequence[bytes]) -> bool:
        """Send live segments by UDP, waiting while the network is slow.

        Returns:
            False where the gateway takes none, or there is no way to it.
        Raises:
            LinkError: the connection has ended meanwhile.
        """
        if self._udp is None:
            if not self._udp_port or self._ended.is_set():
                return False
            try:
                udp = await UDPLink.connect(self._udp_host, self._udp_port)
            except LinkError as error:
                _logger.debug("%s", error)
                return False
            if self._ended.is_set() or self._udp is not None:
                udp.close()
                return False
            self._udp = udp
        await self._udp.send(segments)
        return True

    def send_now(self, segments: Sequence[bytes]) -> bool:
        """Send a live frame of one datagram by UDP; False where send_datagrams() has to."""
        return len(segments) == 1 and self._udp is not None and self._udp.send_now(segments[0])

    async def goodbye(self, reason: str) -> None:
        """Write all that was given to the session, then bye, and wait for the end."""
        if self._link is None or self._ended.is_set():
            return
        if self.is_running:
            self.flush()
            await self._idle.wait()
            self.session.close(reason)
            self._wake.set()
        else:
            self._link.abort()
            self._wake.set()
        await self._ended.wait()

    def fail(self, fault: BaseException) -> None:
        """End run() with an error of this program's own."""
        self._fault = fault
        self._wake.set()

    async def _read(self, link: TCPLink) -> None:
        while not self.session.is_closed:
            try:
                data = await link.receive()
            except LinkError as error:
                _logger.debug("%s", error)
                data = b""
            self._take(self.session.receive(data, self._clock.now(), boottime_ns()))

    async def _keep_time(self) -> None:
        while (deadline_ns := self.session.next_deadline_ns()) is not None:
            self._moved.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0, deadline_ns - boottime_ns()) / 1e9):
                    await self._moved.wait()
            self._take(self.session.on_deadline(self._clock.now(), boottime_ns()))

    async def _write(self, link: TCPLink) -> None:
        """Write until the session is over and its last words are written."""
        session = self.session
        while True:
            self._wake.clear()
            try:
                while data := session.data_to_send():
                    link.write(data)
                    await link.drain()
            except LinkError as error:
                _logger.debug("%s", error)
                if not session.is_closed:
                    self._take(session.receive(b"", self._clock.now(), boottime_ns()))
                return
            if self._fault is not None:
                raise self._fault
            if session.is_closed:
                return
            if not self._wake.is_set():
                self._idle.set()
            await self._wake.wait()

    def _take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, SessionClosed):
                self._closed = event
                if event.reason in _DEAD and self._link is not None:
                    self._link.abort()
            elif isinstance(event, Welcomed):
                self._udp_port = event.udp_port
            self._on_event(event)
        self._wake.set()
        self._moved.set()

    def _on_task_done(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            self.fail(fault)


async def _close(link: TCPLink) -> None:
    try:
        async with asyncio.timeout(_CLOSE_S):
            await link.close()
    except TimeoutError:
        link.abort()


def _host(peer: Address) -> str:
    """Return a peer's host; a link-local address needs the name of the way to it."""
    return f"{peer[0]}%{peer[3]}" if len(peer) == 4 and peer[3] else peer[0]
