"""Recalls: what was recorded, handed to a sink that may read it, as one grant file."""

import asyncio
import logging
import time
from collections.abc import Iterator

from tickseal.core.errors import LinkError, TicksealError
from tickseal.sessions import events as ev
from tickseal.sessions.rules import PART_MAX_BYTES
from tickseal.sessions.session import State
from tickseal_gateway.controller.connection import Connection
from tickseal_gateway.recordings.grant_file import GrantEncoder
from tickseal_gateway.recordings.library import Library
from tickseal_gateway.recordings.playing import to_tai
from tickseal_gateway.registry.registered import DeviceState
from tickseal_gateway.registry.registry import Registry

_logger = logging.getLogger(__name__)
#: How long to wait until a sink that is slow has taken more, s.
_WAIT_S = 0.02


class Recalls:
    """Answers sinks that ask for what was recorded.

    Args:
        library: None where the gateway does not record.
    """

    def __init__(self, registry: Registry, library: Library | None) -> None:
        self._registry = registry
        self._library = library

    async def answer(self, connection: Connection, event: ev.RecallRequested) -> None:
        """Send the grant file of a span, or the word for why there is none."""
        reason = self._refusal(connection, event)
        if reason:
            await self._send(connection, b"", reason=reason, is_last=True)
            return
        made_of = GrantEncoder()
        try:
            parts = self._parts(made_of, connection, event)
            while (part := await asyncio.to_thread(next, parts, None)) is not None:
                for start in range(0, len(part), PART_MAX_BYTES):
                    if not await self._send(connection, part[start : start + PART_MAX_BYTES]):
                        return
        except TicksealError as error:
            _logger.error("a recall of %s failed: %s", event.stream_id, error)  # noqa: TRY400 - told
            await self._send(connection, b"", reason="error", is_last=True)
            return
        reason = "" if made_of.pieces else "none"
        await self._send(connection, b"", reason=reason, is_last=True)

    def _refusal(self, connection: Connection, event: ev.RecallRequested) -> str:
        device = self._registry.device(connection.device.id) if connection.device else None
        if device is None or device.state is not DeviceState.APPROVED:
            return "pending"
        if self._since_tai(device.id, event.stream_id) is None:
            return "policy"
        return ""

    def _since_tai(self, sink_id: int, stream_id: str) -> int | None:
        since_ns = self._registry.allowances.since(sink_id, stream_id, time.time_ns())
        return None if since_ns is None else to_tai(since_ns)

    def _parts(
        self, made_of: GrantEncoder, connection: Connection, event: ev.RecallRequested
    ) -> Iterator[bytes]:
        device = connection.device
        since = self._since_tai(device.id, event.stream_id) if device else None
        if self._library is None or since is None:
            return
        first, until = max(event.tai[0], since), event.tai[1]
        handles = [s.handle for s in self._registry.streams() if s.id == event.stream_id]
        recorded = self._library.of_handles(event.stream_id, handles)
        if recorded is not None and first < until:
            yield from made_of.encode(self._library.pieces(recorded, (first, until)))

    async def _send(
        self, connection: Connection, part: bytes, *, reason: str = "", is_last: bool = False
    ) -> bool:
        """Send a part as soon as there is room; return False once nobody is there to take it."""
        session = connection.session
        while session.state is State.RUNNING:
            # Live segments go first, and what waits for a slow sink is bounded.
            if connection.is_writable and session.send_recalled(
                part, is_last=is_last, reason=reason
            ):
                try:
                    connection.flush()
                except LinkError:
                    return False
                return True
            await asyncio.sleep(_WAIT_S)
        return False
