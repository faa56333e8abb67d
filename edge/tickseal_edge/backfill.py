"""Backfill: sends what was spooled while the gateway was away, behind the live frames."""

import logging
from itertools import islice

from tickseal import events as ev
from tickseal_edge.connection import Connection
from tickseal_edge.spool import Spool, SpooledGeneration
from tickseal_edge.streams import SealedFrame

_logger = logging.getLogger("tickseal.edge")

#: What is under way at once: one announcement's frames. The next waits until these are stored.
_CHUNK_FRAMES = 256
_CHUNK_BYTES = 128 << 10
#: Ticks that one announcement may span (section 4), in either header profile.
_CHUNK_TICKS = 1 << 15


class Backfill:
    """Offers offline generations on one connection, sends their frames, deletes what is stored.

    One chunk is under way at a time, so that live frames and pings never wait behind it.
    """

    def __init__(self, connection: Connection, spool: Spool) -> None:
        self._connection = connection
        self._spool = spool
        self._offered: dict[int, int] = {}
        self._accepted: set[int] = set()
        self._under_way: tuple[int, int] | None = None

    def offer(self, number: int) -> None:
        """Offer one generation, unless it was offered on this connection."""
        for spooled in self._spool.all():
            if spooled.number == number and number not in self._offered:
                self._offered[number] = spooled.handle
                self._connection.session.offer(spooled.blob)
        self._connection.flush()

    def offer_waiting(self) -> None:
        """Offer every generation of the spool."""
        for number in self._spool.numbers():
            self.offer(number)

    def on_event(self, event: ev.OfferAnswered | ev.StoredUntil) -> None:
        """Take in an answer of the gateway, and go on."""
        if isinstance(event, ev.OfferAnswered):
            if event.accepted:
                self._accepted.add(event.generation)
            else:
                lost = self._spool.remove(event.generation)
                _logger.error(
                    "the gateway does not take what was kept offline: %s; %d frames are lost",
                    event.reason,
                    lost,
                )
        else:
            self._spool.stored_until(event.generation, event.frame_until)
            number, until = self._under_way or (-1, 0)
            if number == event.generation and event.frame_until >= until:
                self._under_way = None
        self.pump()

    def pump(self) -> None:
        """Send the next chunk if none is under way; finish the generations that are empty."""
        if self._under_way or self._connection.session.is_closed:
            return
        for spooled in self._spool.generations():
            if spooled.number not in self._accepted:
                continue
            if not spooled.frames:
                self._connection.session.finish_backfill(spooled.handle, spooled.number)
                self._spool.remove(spooled.number)
                _logger.info("what was kept offline is delivered (%016x)", spooled.number)
                continue
            self._send(spooled)
            break
        self._connection.flush()

    def _send(self, spooled: SpooledGeneration) -> None:
        session = self._connection.session
        chunk: list[SealedFrame] = []
        size = 0
        first = spooled.frames[0]
        for frame in islice(spooled.frames, _CHUNK_FRAMES):
            size += sum(map(len, frame.segments))
            if chunk and (size > _CHUNK_BYTES or frame.tick - first.tick >= _CHUNK_TICKS):
                break
            chunk.append(frame)
        last = chunk[-1]
        session.announce_backfill(
            spooled.handle,
            spooled.number,
            ticks=(first.tick, last.tick + 1),
            frames=(first.number, last.number + 1),
        )
        for frame in chunk:
            session.send_segments(frame.segments, backfill=True)
        self._under_way = (spooled.number, last.number + 1)
