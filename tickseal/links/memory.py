"""A network in memory for tests: loss, repeats, delay, disorder and partition, by a seed.

Time is virtual: it moves when the test calls advance(). With no delay everything arrives at once.
"""

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tickseal.core.errors import LinkError, LocalProtocolError
from tickseal.links.base import Address

_QUEUE = 4096
_BATCH = 256
_LIMIT_BYTES = 256 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkQuality:
    """How a network treats what it carries.

    Args:
        loss, duplicate: chances of each datagram, 0..1.
        delay_ns: least time under way, ns.
        jitter_ns: further time at most, evenly spread, ns; datagrams overtake each other by it.
    """

    loss: float = 0.0
    duplicate: float = 0.0
    delay_ns: int = 0
    jitter_ns: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not (0 <= self.loss <= 1 and 0 <= self.duplicate <= 1):
            raise LocalProtocolError("loss and duplicate are chances: 0..1")
        if self.delay_ns < 0 or self.jitter_ns < 0:
            raise LocalProtocolError("delay and jitter must be at least 0 ns")


class MemoryNetwork:
    """Makes pairs of links and carries between their ends.

    Args:
        seed: the same seed and calls give the same fate to every datagram.
        quality: free to change while it runs.
    Attributes:
        now_ns: virtual time, ns.
        sent, lost, duplicated: datagrams so far.
    """

    def __init__(self, *, seed: int = 0, quality: LinkQuality | None = None) -> None:
        self.quality = quality or LinkQuality()
        self.now_ns = 0
        self.sent = 0
        self.lost = 0
        self.duplicated = 0
        self._random = random.Random(seed)  # noqa: S311  # reproducible on purpose
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self._held: list[Callable[[], None]] = []
        self._streams: list[MemoryStreamLink] = []
        self._is_partitioned = False

    def segment_links(
        self, near: str = "source", far: str = "sink"
    ) -> "tuple[MemorySegmentLink, MemorySegmentLink]":
        """Return the two ends of a datagram link."""
        left = MemorySegmentLink(self, (near, 1))
        right = MemorySegmentLink(self, (far, 2))
        left.other, right.other = right, left
        return left, right

    def stream_links(
        self, near: str = "source", far: str = "controller"
    ) -> "tuple[MemoryStreamLink, MemoryStreamLink]":
        """Return the two ends of a connection."""
        left = MemoryStreamLink(self, (near, 1))
        right = MemoryStreamLink(self, (far, 2))
        left.other, right.other = right, left
        self._streams = [link for link in self._streams if not link.is_closed] + [left, right]
        return left, right

    def advance(self, elapsed_ns: int) -> None:
        """Let virtual time pass, ns, delivering in order what falls due."""
        until = self.now_ns + elapsed_ns
        while self._due and self._due[0][0] <= until:
            at, _, deliver = heapq.heappop(self._due)
            self.now_ns = at
            deliver()
        self.now_ns = until

    def partition(self) -> None:
        """Cut the network: datagrams are lost from now on, bytes of connections wait."""
        self._is_partitioned = True

    def heal(self) -> None:
        """Join it again; what waited is under way."""
        self._is_partitioned = False
        held, self._held = self._held, []
        for resume in held:
            resume()

    def break_streams(self) -> None:
        """Break all connections, as a long partition does: both ends get LinkError."""
        for link in self._streams:
            link.abort()
        self._streams = []

    def carry_datagram(self, deliver: Callable[[], None]) -> None:
        """Deliver a datagram as the quality has it: later, twice, or never."""
        self.sent += 1
        if self._is_partitioned or self._random.random() < self.quality.loss:
            self.lost += 1
            return
        copies = 1
        if self._random.random() < self.quality.duplicate:
            self.duplicated += 1
            copies = 2
        for _ in range(copies):
            self._at(self.now_ns + self._travel_ns(), deliver)

    def carry_bytes(self, link: "MemoryStreamLink", deliver: Callable[[], None]) -> None:
        """Deliver bytes that a link sends, in order and without loss."""
        if self._is_partitioned:
            self._held.append(lambda: self.carry_bytes(link, deliver))
            return
        link.last_due_ns = max(link.last_due_ns, self.now_ns + self._travel_ns())
        self._at(link.last_due_ns, deliver)

    def _travel_ns(self) -> int:
        jitter = self.quality.jitter_ns
        return self.quality.delay_ns + (self._random.randrange(jitter + 1) if jitter else 0)

    def _at(self, at: int, deliver: Callable[[], None]) -> None:
        if at <= self.now_ns:
            deliver()
            return
        self._order += 1
        heapq.heappush(self._due, (at, self._order, deliver))


class MemorySegmentLink:
    """One end of a datagram link in memory (a SegmentLink).

    Attributes:
        address: what the other end sees as the origin.
        dropped: datagrams that arrived while the queue was full.
    """

    other: "MemorySegmentLink"

    def __init__(self, network: MemoryNetwork, address: Address) -> None:
        self.address = address
        self.dropped = 0
        self._network = network
        self._queue: deque[tuple[bytes, Address]] = deque()
        self._arrived = asyncio.Event()
        self._is_closed = False

    async def send(self, segments: Sequence[bytes]) -> None:
        """Hand segments to the network."""
        if self._is_closed:
            raise LinkError("the link was closed")
        for segment in segments:
            self.inject(segment)

    def inject(self, segment: bytes, address: Address | None = None) -> None:
        """Send one datagram without awaiting; under another origin, to play an attacker."""
        datagram = (bytes(segment), address or self.address)
        self._network.carry_datagram(lambda: self.other.accept(datagram))

    async def receive(self) -> list[tuple[bytes, Address]]:
        """Wait for datagrams; return all that are there, up to 256."""
        while not self._queue:
            if self._is_closed:
                raise LinkError("the link was closed")
            self._arrived.clear()
            await self._arrived.wait()
        return self.take()

    def take(self) -> list[tuple[bytes, Address]]:
        """Return what is there without waiting, up to 256 datagrams; perhaps none."""
        return [self._queue.popleft() for _ in range(min(len(self._queue), _BATCH))]

    def accept(self, datagram: tuple[bytes, Address]) -> None:
        """Take a datagram from the network."""
        if self._is_closed:
            return
        if len(self._queue) >= _QUEUE:
            self.dropped += 1
            return
        self._queue.append(datagram)
        self._arrived.set()

    def close(self) -> None:
        """Close this end."""
        self._is_closed = True
        self._arrived.set()


class MemoryStreamLink:
    """One end of a connection in memory (a StreamLink).

    Attributes:
        is_closed: this end was closed or broken.
        last_due_ns: when the last bytes that were sent arrive, virtual ns: later ones not before.
    """

    other: "MemoryStreamLink"

    def __init__(self, network: MemoryNetwork, address: Address) -> None:
        self.is_closed = False
        self.last_due_ns = 0
        self._network = network
        self._address = address
        self._arrived_bytes = bytearray()
        self._arrived = asyncio.Event()
        self._has_ended = False
        self._is_broken = False
        self._under_way = 0
        self._drained = asyncio.Event()

    @property
    def peer(self) -> Address:
        """The other end's address."""
        return self.other._address  # noqa: SLF001  # its own class

    @property
    def is_writable(self) -> bool:
        """Whether fewer bytes are under way, or wait unread, than the limit."""
        return not self.is_closed and self._under_way <= _LIMIT_BYTES

    async def receive(self) -> bytes:
        """Wait for bytes; b"" at the peer's orderly end."""
        while not self._arrived_bytes:
            if self._is_broken:
                raise LinkError("the connection broke; connect again")
            if self.is_closed:
                raise LinkError("the connection is closed; connect again")
            if self._has_ended:
                return b""
            self._arrived.clear()
            await self._arrived.wait()
        return self.take()

    def take(self) -> bytes:
        """Return what is there without waiting; perhaps nothing."""
        data = bytes(self._arrived_bytes)
        self._arrived_bytes.clear()
        self.other.acknowledge(len(data))
        return data

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if self.is_closed:
            raise LinkError("the connection is closed; connect again")
        content = bytes(data)
        self._under_way += len(content)
        self._network.carry_bytes(self, lambda: self.other.accept(content))

    async def drain(self) -> None:
        """Wait until the link is writable."""
        while self._under_way > _LIMIT_BYTES:
            if self.is_closed:
                raise LinkError("the connection broke; connect again")
            self._drained.clear()
            await self._drained.wait()

    async def close(self) -> None:
        """Close this end; what was written still arrives, then the end."""
        if not self.is_closed:
            self._network.carry_bytes(self, self.other.end)
            self._close()

    def abort(self) -> None:
        """Break the connection at both ends at once."""
        self.fail()
        self.other.fail()

    def accept(self, data: bytes) -> None:
        """Take bytes from the network."""
        if not self.is_closed:
            self._arrived_bytes += data
            self._arrived.set()

    def end(self) -> None:
        """Take the peer's orderly end from the network."""
        self._has_ended = True
        self._arrived.set()

    def acknowledge(self, count: int) -> None:
        """Learn that the other end has read bytes."""
        self._under_way -= count
        self._drained.set()

    def fail(self) -> None:
        """Learn that the connection broke."""
        self._is_broken = True
        self._close()

    def _close(self) -> None:
        self.is_closed = True
        self._arrived.set()
        self._drained.set()
