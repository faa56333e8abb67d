"""Ingest: batches of segments from any link to opened frames, and those to every output."""

from collections.abc import Iterable, Sequence

from tickseal.clock import Clock
from tickseal.links.udp import UDPLink
from tickseal.streams.opening import Buffer
from tickseal.streams.receiving import SegmentReceiver
from tickseal_gateway.frames.frames import FrameFeed
from tickseal_gateway.frames.readings import Batch
from tickseal_gateway.ingest.streams import Held
from tickseal_gateway.ingest.table import StreamTable
from tickseal_gateway.outputs.base import OutputRunner
from tickseal_gateway.outputs.offering import Offering


class Ingest:
    """Where segments come together.

    Args:
        table: the streams.
        clock: read once a batch.
        outputs: get every batch; each on its own.
        store: the one of them whose writing is waited for and acknowledged, if any.
    Attributes:
        feed: hands frames to programs.
    """

    def __init__(
        self,
        table: StreamTable,
        clock: Clock,
        outputs: Sequence[OutputRunner],
        store: OutputRunner | None,
    ) -> None:
        self._offering = Offering(outputs)
        self._table = table
        self._clock = clock
        self._store = store
        self.feed = FrameFeed()

    async def serve(self, link: UDPLink) -> None:
        """Take in what a link gives, for ever, each batch as soon as it is there.

        Raises:
            LinkError: the link was closed.
        """
        await link.deliver(self.take)

    def take(self, segments: Sequence[Buffer], *, compact: SegmentReceiver | None = None) -> None:
        """Take in live segments. Nothing is waited for: what an output cannot take, it misses.

        Args:
            compact: takes those with a compact header, on a link that has such.
        """
        batch = self._table.take(segments, self._clock.now(), compact=compact)
        self._offer(batch)

    async def backfill(
        self,
        segments: Sequence[Buffer],
        backfilled: Iterable[Held],
        *,
        compact: SegmentReceiver | None = None,
    ) -> Batch:
        """Take in segments of a connection over which generations are backfilled.

        The store is waited for: so the connection, not the memory, holds what comes too fast.

        Returns:
            What was taken in; its marks may be acknowledged once the store has written it.
        """
        batch = self._table.take(
            segments, self._clock.now(), backfilled=backfilled, compact=compact
        )
        if self._store is not None and batch.marks:
            await self._store.room_for(batch)
        self._offer(batch)
        return batch

    def _offer(self, batch: Batch) -> None:
        self._offering.offer(batch)
        self.feed.offer(batch)

    @property
    def stores(self) -> bool:
        """Whether there is a store that acknowledges."""
        return self._store is not None
