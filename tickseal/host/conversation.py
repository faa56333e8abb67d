"""One session of a device with its gateway, from its first record to its end, over TCP."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from tickseal.clock import Clock
from tickseal.core.errors import LinkError
from tickseal.host.kernel_clock import boottime_ns
from tickseal.invite import split_address
from tickseal.links.tcp import TCPLink
from tickseal.sessions.device_session import DeviceSession
from tickseal.sessions.events import Event, SessionClosed

_logger = logging.getLogger(__name__)
#: What the goodbye may take, s.
_CLOSE_S = 0.5

S = TypeVar("S", bound=DeviceSession)


class Conversation(Generic[S]):
    """One session and its connection, for what is said now and then; it has no lanes.

    Args:
        session: a fresh one.
        clock: the device's own clock, never one that was taken from the gateway.
        on_event: is given the session and every event, in order; it may call the session.
    Attributes:
        session: the protocol's side of it.
    """

    def __init__(self, session: S, *, clock: Clock, on_event: Callable[[S, Event], None]) -> None:
        self.session = session
        self._clock = clock
        self._on_event = on_event
        self._link: TCPLink | None = None

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
