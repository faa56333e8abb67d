"""Reserved links: while more datagrams come than can be read, honest sources keep their own buffer.

What the kernel cannot hold it drops, whoever sent it: in a flood of thousands of forged segments a
few honest ones have little luck. So while it drops some, each source of whose segments one was
opened gets a socket, and with it a buffer, of its own. It costs a forger nothing to fill the common
one, and does nothing for him.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from tickseal.core.errors import LinkError
from tickseal.host.kernel_clock import boottime_ns
from tickseal.links.base import Address, plain_address
from tickseal.links.udp import UDPLink
from tickseal.streams.opening import Buffer, OpenedSegment
from tickseal_gateway.ingest.streams import Held, LiveStream
from tickseal_gateway.ingest.table import StreamTable

_logger = logging.getLogger(__name__)

#: Links at once, and the kernel's buffer for each: at most 128 MiB.
LINKS_MOST, BUFFER_BYTES = 256, 512 << 10
#: How often it is looked whether the kernel drops, and for how long then who is honest, s.
_EVERY_S, _LOOK_S = 1.0, 0.4
#: A link that brought nothing for so long is given up, ns.
_IDLE_NS = 10_000_000_000


@dataclass(slots=True)
class _Reserved:
    link: UDPLink
    task: "asyncio.Task[None]"
    received: int = 0
    heard_ns: int = 0


class ReservedLinks:
    """Takes in what comes to a UDP port, by the common link and by reserved ones.

    Args:
        common: takes from anybody.
        table: tells which segments were opened.
        take: is given all segments.
        hosts: returns where devices with a session are: nobody else gets a link.
    Attributes:
        takes_segments: whether it is being found out who is honest; see table.Observer.
    """

    def __init__(
        self,
        common: UDPLink,
        table: StreamTable,
        take: Callable[[Sequence[Buffer]], None],
        hosts: Callable[[], Collection[str]],
    ) -> None:
        self.takes_segments = False
        self._common = common
        self._table = table
        self._take = take
        self._hosts = hosts
        self._dropped = common.kernel_dropped
        self._opened = 0
        self._reserved: dict[Address, _Reserved] = {}
        table.watch(self)

    def __len__(self) -> int:
        """Count the reserved links."""
        return len(self._reserved)

    async def serve(self) -> None:
        """Take in for ever.

        Raises:
            LinkError: the common link was closed.
        """
        try:
            while True:
                try:
                    async with asyncio.timeout(_EVERY_S):
                        await self._common.deliver(self._take)
                except TimeoutError:
                    pass
                self._close_idle(boottime_ns())
                dropped, self._dropped = self._dropped, self._common.kernel_dropped
                if self._dropped != dropped:
                    await self._look()
        finally:
            for address in list(self._reserved):
                await self._close(address)

    async def _look(self) -> None:
        """Find out who is honest, while everything is taken in as before."""
        hosts = self._hosts()
        self.takes_segments = True
        self._table.update_taps()
        try:
            async with asyncio.timeout(_LOOK_S):
                while True:
                    by_address: dict[Address, list[Buffer]] = {}
                    others: list[Buffer] = []
                    for segment, address in await self._common.receive():
                        if plain_address(address)[0] in hosts:
                            by_address.setdefault(address, []).append(segment)
                        else:
                            others.append(segment)
                    if others:
                        self._take(others)
                    for address, segments in by_address.items():
                        before = self._opened
                        self._take(segments)
                        if self._opened != before:
                            self._reserve(address)
                    await asyncio.sleep(0)
        except TimeoutError:
            pass
        finally:
            self.takes_segments = False
            self._table.update_taps()

    def _reserve(self, address: Address) -> None:
        if address in self._reserved or len(self._reserved) >= LINKS_MOST:
            return
        try:
            link = self._common.beside(address, BUFFER_BYTES)
        except LinkError as error:
            _logger.debug("%s", error)
            return
        task = asyncio.create_task(self._deliver(link))
        self._reserved[address] = _Reserved(link, task, heard_ns=boottime_ns())
        _logger.debug("a link of its own for %s port %d", *plain_address(address))

    async def _deliver(self, link: UDPLink) -> None:
        try:
            await link.deliver(self._take)
        except LinkError:  # closed
            pass

    def _close_idle(self, now_ns: int) -> None:
        for address, one in list(self._reserved.items()):
            if one.received != one.link.counters.received:
                one.received, one.heard_ns = one.link.counters.received, now_ns
            elif now_ns - one.heard_ns > _IDLE_NS:
                del self._reserved[address]
                one.link.close()

    async def _close(self, address: Address) -> None:
        one = self._reserved.pop(address)
        one.link.close()
        await asyncio.wait([one.task])

    # --- As an observer of the table ---

    def installed(self, stream: LiveStream, held: Held) -> None:
        """Do nothing."""

    def opened(self, stream: LiveStream, held: Held, segment: Buffer, what: OpenedSegment) -> None:
        """Count what was opened."""
        self._opened += 1

    def erased(self, stream: LiveStream, held: Held) -> None:
        """Do nothing."""
