"""One connection to the gateway: a SourceSession, its TCP link, and the UDP link for segments."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from importlib.metadata import version

from tickseal.clock import Clock
from tickseal.core.errors import LinkError
from tickseal.events import Event, SessionClosed, Welcomed
from tickseal.host.kernel_clock import boottime_ns
from tickseal.invite import split_address
from tickseal.links.tcp import TCPLink
from tickseal.links.udp import UDPLink
from tickseal.negotiation import AcceptancePolicy
from tickseal.source_session import Credentials, SourceSession

_logger = logging.getLogger(__name__)
SOFTWARE = f"tickseal {version('tickseal')}"


class Connection:
    """Drives one SourceSession from its first record to its end.

    Args:
        credentials, name, policy: as of SourceSession.
        clock: the device's own clock, never one that was taken from the gateway.
        on_event: is given every event, in order.
    Attributes:
        session: the session, from connect() on.
    """

    session: SourceSession

    def __init__(
        self,
        *,
        credentials: Credentials,
        name: str,
        policy: AcceptancePolicy,
        clock: Clock,
        on_event: Callable[[Event], None],
    ) -> None:
        self._credentials = credentials
        self._name = name
        self._policy = policy
        self._clock = clock
        self._on_event = on_event
        self._udp: UDPLink | None = None
        self._udp_port = 0
        self._wake = asyncio.Event()

    async def run(self, address: str) -> SessionClosed | None:
        """Connect, run until the session is over, and return why; None where it was closed here.

        Args:
            address: "host:port" of the gateway.
        Raises:
            LinkError: nobody answers there.
        """
        host, port = split_address(address)
        link = await TCPLink.connect(host, port)
        self.session = SourceSession(
            credentials=self._credentials,
            name=self._name,
            software=SOFTWARE,
            policy=self._policy,
            random_bytes=os.urandom,
            monotonic_ns=boottime_ns(),
        )
        reader = asyncio.create_task(self._read(link))
        try:
            return await self._drive(link, reader)
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError, LinkError):
                await reader
            if self._udp:
                self._udp.close()
                self._udp = None
            await link.close()

    def flush(self) -> None:
        """Have what was given to the session written soon."""
        self._wake.set()

    async def send_datagrams(self, segments: Sequence[bytes]) -> bool:
        """Send segments by UDP; False where the gateway takes none, or there is no way to it."""
        if self._udp is None:
            if not self._udp_port:
                return False
            try:
                self._udp = await UDPLink.connect(self._udp_host, self._udp_port)
            except LinkError as error:
                _logger.debug("%s", error)
                return False
        await self._udp.send(segments)
        return True

    async def _drive(self, link: TCPLink, reader: "asyncio.Task[None]") -> SessionClosed | None:
        session = self.session
        # Datagrams go to the address that answered, which a name with several would not ensure.
        self._udp_host = link.peer[0]
        while True:
            while data := session.data_to_send():
                link.write(data)
                await link.drain()
            if session.is_closed:
                return self._closed
            deadline_ns = session.next_deadline_ns()
            wait_s = None if deadline_ns is None else max(0, deadline_ns - boottime_ns()) / 1e9
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            self._wake.clear()
            if reader.done() and not reader.cancelled() and reader.exception():
                self._take(session.receive(b"", self._clock.now(), boottime_ns()))
            else:
                self._take(session.on_deadline(self._clock.now(), boottime_ns()))

    _closed: SessionClosed | None = None
    _udp_host = ""

    async def _read(self, link: TCPLink) -> None:
        try:
            while not self.session.is_closed:
                data = await link.receive()
                self._take(self.session.receive(data, self._clock.now(), boottime_ns()))
                self._wake.set()
                if not data:
                    return
        finally:
            self._wake.set()

    def _take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, SessionClosed):
                self._closed = event
            elif isinstance(event, Welcomed):
                self._udp_port = event.udp_port
            self._on_event(event)
