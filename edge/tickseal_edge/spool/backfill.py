"""Backfill: sends what was spooled while the gateway was away, behind the live frames."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterator

from tickseal.core.errors import LocalProtocolError
from tickseal.sessions import events as ev
from tickseal_edge.spool.spool import Spool
from tickseal_edge.spool.spooled import SpooledGeneration
from tickseal_edge.streams.streams import SealedFrame
from tickseal_edge.uplink.connection import Connection

_logger = logging.getLogger("tickseal.edge")

#: What is under way at once: one announcement's frames. The next waits until these are stored.
_CHUNK_FRAMES = 256
_CHUNK_BYTES = 64 << 10
#: Handed to the connection at once: live frames of the same connection wait behind no more.
_PIECE_BYTES = 8 << 10
#: Ticks that one announcement may span (section 4), in either header profile.
_CHUNK_TICKS = 1 << 15
#: Offers that are not answered yet.
_OFFERS = 16
#: A chunk that is not acknowledged for so long is given up until the next connection, s.
_PATIENCE_S = 60.0
#: Refusals that stay: what is refused with another word is offered again on the next connection.
_FINAL = {
    "unreadable": "it was sealed for another gateway's key, or by another identity than this",
    "handle": "it does not know the stream, as after its registry was put back from a backup",
    "metadata": "it knows the stream by another name",
    "policy": "its policy does not allow such a stream (any more)",
}
_FINISHED = "finished"


class Backfill:
    """Offers generations on one connection, sends their frames, deletes what is stored.

    One chunk is under way at a time, so that live frames and pings never wait behind more.
    """

    def __init__(self, connection: Connection, spool: Spool) -> None:
        self._connection = connection
        self._spool = spool
        self._seen: set[int] = set()
        self._unanswered: deque[int] = deque()
        self._ready: set[int] = set()
        # The first frames of ends of live generations, which are announced before their turn.
        self._announced: dict[int, list[SealedFrame]] = {}
        # Something happened that may let the work go on.
        self._moved = asyncio.Event()
        spool.on_complete = self._moved.set

    def on_event(self, event: ev.OfferAnswered | ev.StoredUntil) -> None:
        """Take in an answer of the gateway."""
        if isinstance(event, ev.StoredUntil):
            self._spool.stored_until(event.generation, event.frame_until)
        elif self._unanswered:  # answers come in the order of the offers
            number = self._unanswered.popleft()
            if event.accepted:
                self._ready.add(number)
            else:
                self._refused(number, event.reason)
        self._moved.set()

    async def offer_all(self) -> None:
        """Offer what waits, before any stream is opened: live numbers must differ from theirs.

        Ends of live generations are announced at once, though their turn may come much later: a
        gateway erases such a one soon after the next is live, unless it is to be backfilled.
        """
        for spooled in self._spool.generations():
            if spooled.blob:
                await self._offer(spooled)
            else:
                self._announced[spooled.number] = chunk = await self._chunk(spooled.number)
                self._announce(spooled, chunk)
                self._ready.add(spooled.number)

    async def run(self) -> None:
        """Deliver what waits, the oldest first, until the connection ends."""
        while self._connection.is_running:
            self._moved.clear()
            for spooled in self._spool.generations():
                if spooled.blob and spooled.is_complete and spooled.number not in self._seen:
                    await self._offer(spooled)
            deliverable = (
                spooled
                for spooled in self._spool.generations()
                if spooled.is_complete and spooled.number in self._ready
            )
            following = next(deliverable, None)
            if following is None:
                await self._moved.wait()
            else:
                await self._deliver(following)

    async def _offer(self, spooled: SpooledGeneration) -> None:
        while len(self._unanswered) >= _OFFERS:
            self._moved.clear()
            await self._moved.wait()
        if not self._connection.is_running:
            return
        self._seen.add(spooled.number)
        try:
            self._connection.session.offer(spooled.blob)
        except LocalProtocolError as error:  # no blob of this version; it would never be taken
            _logger.warning("what was kept offline is damaged: %s", error)
            self._spool.remove(spooled.number)
            return
        self._unanswered.append(spooled.number)
        self._connection.flush()

    async def _deliver(self, spooled: SpooledGeneration) -> None:
        number, session = spooled.number, self._connection.session
        while self._connection.is_running:
            announced = self._announced.pop(number, None)
            chunk = announced or await self._chunk(number)
            if not self._connection.is_running:
                return
            if not chunk:
                session.finish_backfill(spooled.handle, number)
                self._connection.flush()
                self._ready.discard(number)
                self._spool.remove(number)
                if spooled.blob:
                    _logger.info("what was kept offline is delivered (%016x)", number)
                return
            if announced is None:
                self._announce(spooled, chunk)
            for piece in _pieces(chunk):
                await self._connection.send(piece, backfill=True)
            if not await self._is_stored(spooled, chunk[-1].number + 1):
                _logger.warning("the gateway does not acknowledge what was kept (%016x)", number)
                self._ready.discard(number)
                return

    async def _chunk(self, number: int) -> list[SealedFrame]:
        return await self._spool.chunk(
            number, frames=_CHUNK_FRAMES, size=_CHUNK_BYTES, ticks=_CHUNK_TICKS
        )

    def _announce(self, spooled: SpooledGeneration, chunk: list[SealedFrame]) -> None:
        if chunk and self._connection.is_running:
            first, last = chunk[0], chunk[-1]
            self._connection.session.announce_backfill(
                spooled.handle,
                spooled.number,
                ticks=(first.tick, last.tick + 1),
                frames=(first.number, last.number + 1),
            )
            self._connection.flush()

    async def _is_stored(self, spooled: SpooledGeneration, frame_until: int) -> bool:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while spooled.stored_until < frame_until and self._connection.is_running:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    def _refused(self, number: int, reason: str) -> None:
        if reason == _FINISHED:
            self._spool.remove(number, is_delivered=True)
        elif reason in _FINAL:
            lost = self._spool.remove(number)
            _logger.error(
                "the gateway does not take what was kept offline: %s; %d frames are lost",
                _FINAL[reason],
                lost,
            )
        else:
            _logger.warning("the gateway does not take what was kept offline now: %s", reason)


def _pieces(frames: list[SealedFrame]) -> Iterator[list[bytes]]:
    piece: list[bytes] = []
    size = 0
    for frame in frames:
        for segment in frame.segments:
            if piece and size + len(segment) > _PIECE_BYTES:
                yield piece
                piece, size = [], 0
            piece.append(segment)
            size += len(segment)
    if piece:
        yield piece
