"""Upkeep: what is done at a steady pace: the clock, the spool, the service manager."""

import asyncio
import contextlib

from tickseal.clock import Clock
from tickseal.host.service_manager import ServiceManager
from tickseal_edge.clock.ensemble import ClockEnsemble
from tickseal_edge.lanes import Lane
from tickseal_edge.spool.spool import Spool
from tickseal_edge.uplink.connection import Connection
from tickseal_edge.uplink.uplink import Uplink

#: How often the clock's sources are asked, and how long that may take, s.
_CLOCK_S, _CLOCK_MOST_S = 1.0, 3.0


class Upkeep:
    """Tasks that run for ever.

    Attributes:
        lane: the thread in which the clock's sources are asked.
    """

    def __init__(self, clock: Clock, spool: Spool, uplink: Uplink) -> None:
        self._clock = clock
        self._spool = spool
        self._uplink = uplink
        self.lane = Lane("clock")

    async def ask_clock(self) -> None:
        """Ask the sources of the clock once."""
        clock = self._clock
        if isinstance(clock, ClockEnsemble):
            # A source that hangs is a source that is lost: now() tells so by its age.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOCK_MOST_S):
                    await self.lane.run(clock.poll)

    async def keep_time(self) -> None:
        """Ask them every second, and raise an alarm at the gateway where they are at odds."""
        told = ""
        told_to: Connection | None = None
        while True:
            await asyncio.sleep(_CLOCK_S)
            await self.ask_clock()
            clock, connection = self._clock, self._uplink.connection
            if not isinstance(clock, ClockEnsemble) or connection is None:
                continue
            if not connection.is_running:
                continue
            if connection is not told_to:  # a gateway forgets what a session before told it
                told, told_to = "", connection
            if clock.disagreement != told:
                told = clock.disagreement
                reason = "clock_sources" if told else "clock_sources_agree"
                connection.session.alarm(reason, told[:200])
                connection.flush()

    async def keep_flushing(self, sync_ns: int) -> None:
        """Put on the disk what waits in the spool."""
        while True:
            await asyncio.sleep(sync_ns / 1e9)
            await self._spool.flush()

    async def keep_telling(self, manager: ServiceManager) -> None:
        """Keep the watchdog quiet while the event loop turns."""
        if manager.watchdog_s is None:
            return
        while True:
            manager.alive()
            link = self._uplink.state
            manager.status(link.gateway if link.is_up else f"no gateway: {link.problem}")
            await asyncio.sleep(manager.watchdog_s)
