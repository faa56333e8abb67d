"""Backfill: what a source sealed while the gateway was away, opened, stored and acknowledged.

See docs/protocol.md sections 6.4 and 7.4.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

from tickseal.core.errors import LocalProtocolError, TicksealError
from tickseal.core.ticks import tick_start
from tickseal.host.kernel_clock import boottime_ns
from tickseal.sessions import events as ev
from tickseal.sessions.negotiation import NegotiationError, NegotiationPolicy
from tickseal.streams.receiving import SegmentReceiver
from tickseal_gateway.frames.readings import FrameMark
from tickseal_gateway.ingest.streams import Held
from tickseal_gateway.ingest.table import StreamTable
from tickseal_gateway.registry.registered import Device, OfflineGeneration, OpeningRefusedError
from tickseal_gateway.registry.registry import Registry

_logger = logging.getLogger(__name__)
#: Later instants, ns TAI, have no name that recordings, and others, can file them under.
_CALENDAR_END_NS = 1 << 63


class Backfill:
    """The offline generations of all devices.

    Args:
        durably: runs a write of the registry off the event loop.
    """

    def __init__(
        self,
        registry: Registry,
        table: StreamTable,
        policy: NegotiationPolicy,
        durably: Callable[[Callable[[], None]], Awaitable[None]],
    ) -> None:
        self._registry = registry
        self._table = table
        self._policy = policy
        self._durably = durably

    async def take_offer(
        self, device: Device, event: ev.OfflineGenerationOffered, compact: SegmentReceiver
    ) -> int:
        """Hold an offline generation; return up to which frame it is stored already.

        Args:
            compact: the receiver of its link, for one with a compact header.

        Raises:
            OpeningRefusedError: it is not taken, and never will be.
            StoreError: the disk refuses; later it may be taken.
        """
        number = event.generation.number
        stream = self._registry.stream(event.handle)
        if stream is None or not self.owns(device, event.handle):
            raise OpeningRefusedError("handle")
        if stream.id != event.generation.stream_id:
            raise OpeningRefusedError("metadata")
        known = self._registry.offline.get(event.handle, number)
        if known is not None and known.is_finished:
            raise OpeningRefusedError("finished")
        state = known or OfflineGeneration(handle=event.handle, number=number)
        try:
            self._policy.check(event.generation.parameters)
            if known is None:
                await self._durably(lambda: self._registry.offline.keep(state))
            # Offered again: what was opened of it but not stored comes once more.
            self._table.make_way(event.handle, number)
            self._table.install(
                stream,
                device,
                event.generation,
                monotonic_ns=boottime_ns(),
                offline_from=state.stored_until,
                compact=compact,
            )
        except NegotiationError as error:
            raise OpeningRefusedError("policy", error.detail) from None
        except LocalProtocolError as error:
            raise OpeningRefusedError("busy", str(error)) from None
        _logger.info("%s offers what it sealed of %s while away", device.name, stream.id)
        return state.stored_until

    def announce(self, device: Device, event: ev.BackfillAnnounced) -> tuple[Held | None, int]:
        """Take the ticks of a range from now on.

        Returns:
            The generation; and up to which frame all is stored, or will never be. Without a
            generation nothing that is announced can be opened any more.

        Raises:
            OpeningRefusedError: it is not this device's, was not offered, or has no such range.
        """
        key = (event.handle, event.generation)
        if not self.owns(device, event.handle):
            raise OpeningRefusedError("backfill", "a backfill of a stream that is not yours")
        held = self._table.find(*key)
        if held is None:
            if self._registry.offline.get(*key) is not None:
                raise OpeningRefusedError("backfill", "offer the generation before its backfill")
            # A live generation of before a restart, whose keys are gone.
            stream = self._registry.stream(event.handle)
            _logger.info(
                "%s sent frames %d to %d of %s when their keys went, as with a restart here: what "
                "had not come by then is lost",
                device.name, event.frames[0], event.frames[1] - 1, stream and stream.id,
            )  # fmt: skip
            return None, event.frames[1]
        parameters = held.generation.parameters
        if tick_start(event.ticks[1], parameters.t0_ns, parameters.interval_ns) > _CALENDAR_END_NS:
            raise OpeningRefusedError("backfill", "a backfill of ticks beyond the year 2262")
        try:
            self._table.announce(*key, event.ticks)
        except LocalProtocolError as error:
            raise OpeningRefusedError("backfill", str(error)) from None
        return held, held.stored_until

    async def finish(self, device: Device, event: ev.BackfillFinished) -> None:
        """Erase a generation of which nothing more follows; offline ones are never taken again."""
        key = (event.handle, event.generation)
        if not self.owns(device, event.handle):
            return
        self._table.erase(*key)
        known = self._registry.offline.get(*key)
        if known is not None and not known.is_finished:
            finished = replace(known, is_finished=True)
            await self._durably(lambda: self._registry.offline.keep(finished))

    async def note_stored(self, marks: Sequence[FrameMark]) -> dict[tuple[int, int], int]:
        """Remember that frames are on the disk.

        Returns:
            By handle and generation, up to which frame number it may be acknowledged.
        """
        stored: dict[tuple[int, int], int] = {}
        for mark in marks:
            key = (mark.handle, mark.generation)
            stored[key] = max(stored.get(key, 0), mark.frame + 1)
        for key, until in list(stored.items()):
            known = self._registry.offline.get(*key)
            if known is not None and known.stored_until < until:
                state = replace(known, stored_until=until)
                try:
                    await self._durably(partial(self._registry.offline.keep, state))
                except TicksealError as error:
                    _logger.error("not acknowledged: %s", error)  # noqa: TRY400 - told
                    del stored[key]
                    continue
            held = self._table.find(*key)
            if held is not None:
                held.stored_until = max(held.stored_until, until)
        return stored

    def owns(self, device: Device | None, handle: int) -> bool:
        """Tell whether a stream is a device's."""
        stream = self._registry.stream(handle)
        return (
            device is not None
            and stream is not None
            and stream.device_id == device.id
            and not stream.is_retired
        )
