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


async def converse(
    address: str, credentials: Credentials, *, name: str, clock: Clock, on_event: Handler
) -> SessionClosed | None:
    """Connect, and run one session until it is over; cancelled, it says bye.

    Args:
        address: "host:port" of the gateway.
        name: what the sink calls itself.
        clock: its own clock, never one that was taken from the gateway.
        on_event: is given every event, in order.
    Returns:
        Why it ended; None where it was closed here.
    Raises:
        LinkError: nobody answers there.
    """
    host, port = split_address(address)
    link = await TCPLink.connect(host, port)
    session = SinkSession(
        credentials=credentials,
        name=name,
        software=f"tickseal {version('tickseal')}",
        suites=tuple(int(suite) for suite in Suite),
        random_bytes=os.urandom,
        monotonic_ns=boottime_ns(),
    )
    closed: SessionClosed | None = None
    try:
        while await _write(session, link):
            for event in await _read(session, link, clock):
                if isinstance(event, SessionClosed):
                    closed = event
                on_event(session, event)
    finally:
        session.close("stopping")
        with contextlib.suppress(LinkError):
            link.write(session.data_to_send())
        try:
            async with asyncio.timeout(_CLOSE_S):
                await link.close()
        except TimeoutError:
            link.abort()
    return closed


async def _write(session: SinkSession, link: TCPLink) -> bool:
    """Write what there is; return False once that was the last."""
    try:
        while data := session.data_to_send():
            link.write(data)
            await link.drain()
    except LinkError as error:  # reading tells the session of it
        _logger.debug("%s", error)
    return not session.is_closed


async def _read(session: SinkSession, link: TCPLink, clock: Clock) -> list[Event]:
    deadline_ns = session.next_deadline_ns() or 0
    try:
        async with asyncio.timeout(max(0, deadline_ns - boottime_ns()) / 1e9):
            data = await link.receive()
    except TimeoutError:
        return session.on_deadline(clock.now(), boottime_ns())
    except LinkError as error:
        _logger.debug("%s", error)
        data = b""
    return session.receive(data, clock.now(), boottime_ns())
