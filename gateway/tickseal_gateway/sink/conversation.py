"""One session with the gateway, from its first record to its end, over TCP."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from importlib.metadata import version

from tickseal.clock import Clock
from tickseal.core.errors import LinkError
from tickseal.device_session import Credentials
from tickseal.events import Event, SessionClosed
from tickseal.host.kernel_clock import boottime_ns
from tickseal.invite import split_address
from tickseal.links.tcp import TCPLink
from tickseal.parameters import Suite
from tickseal.sink_session import SinkSession

_logger = logging.getLogger(__name__)
#: What the goodbye may take, s.
_CLOSE_S = 0.5

#: What is done about an event; it may call the session.
Handler = Callable[[SinkSession, Event], None]


class Conversation:
    """One session and its connection.

    Args:
        credentials: whom it trusts, and as whom it appears.
        name: what the sink calls itself.
        clock: its own clock, never one that was taken from the gateway.
        on_event: is given every event, in order.
    Attributes:
        session: the protocol's side of it.
    """

    def __init__(
        self, credentials: Credentials, *, name: str, clock: Clock, on_event: Handler
    ) -> None:
        self._clock = clock
        self._on_event = on_event
        self._link: TCPLink | None = None
        self.session = SinkSession(
            credentials=credentials,
            name=name,
            software=f"tickseal {version('tickseal')}",
            suites=tuple(int(suite) for suite in Suite),
            random_bytes=os.urandom,
            monotonic_ns=boottime_ns(),
        )

    async def run(self, address: str) -> SessionClosed | None:
        """Connect, and run the session until it is over; cancelled, it says bye.

        Args:
            address: "host:port" of the gateway.
        Returns:
            Why it ended; None where it was closed here.
        Raises:
            LinkError: nobody answers there.
        """
        host, port = split_address(address)
        self._link = link = await TCPLink.connect(host, port)
        closed: SessionClosed | None = None
        self.flush()
        try:
            while not self.session.is_closed:
                for event in await self._read(link):
                    if isinstance(event, SessionClosed):
                        closed = event
                    self._on_event(self.session, event)
                self.flush()
                await _drained(link)
        finally:
            self.session.close("stopping")
            self.flush()
            try:
                async with asyncio.timeout(_CLOSE_S):
                    await link.close()
            except TimeoutError:
                link.abort()
        return closed

    def flush(self) -> None:
        """Write what the session has to say."""
        if self._link is None:
            return
        try:
            while data := self.session.data_to_send():
                self._link.write(data)
        except LinkError as error:  # reading tells the session of it
            _logger.debug("%s", error)

    async def _read(self, link: TCPLink) -> list[Event]:
        deadline_ns = self.session.next_deadline_ns() or 0
        try:
            async with asyncio.timeout(max(0, deadline_ns - boottime_ns()) / 1e9):
                data = await link.receive()
        except TimeoutError:
            return self.session.on_deadline(self._clock.now(), boottime_ns())
        except LinkError as error:
            _logger.debug("%s", error)
            data = b""
        return self.session.receive(data, self._clock.now(), boottime_ns())


async def _drained(link: TCPLink) -> None:
    with contextlib.suppress(LinkError):
        await link.drain()
