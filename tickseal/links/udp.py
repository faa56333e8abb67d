"""Segments over UDP: a datagram each, many to a system call in both directions (UDP GSO and GRO).

Measured on loopback with 1248-byte datagrams: sending 52 at once costs 0.2 us a datagram instead of
2.9, receiving them coalesced 0.3 us instead of 1.7. Where the kernel or the network card cannot,
and where sizes differ, recvmmsg and sendmmsg still take many to a call (`links.datagrams`).
"""

import asyncio
import contextlib
import errno
import socket
import struct
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tickseal.core.errors import LinkError
from tickseal.links.base import Address
from tickseal.links.datagrams import DatagramReader, send_datagrams
from tickseal.links.sockets import bind, resolve

_T = TypeVar("_T")

# linux/udp.h and asm-generic/socket.h; Python does not name them.
_UDP_SEGMENT = 103
_UDP_GRO = 104
_SO_RCVBUFFORCE = 33
_SO_MEMINFO = 55
_MEMINFO_DROPS = 8

#: Some thousands of datagrams; the kernel grants less where net.core.rmem_max says so.
RECEIVE_BUFFER_BYTES = 4 << 20
#: Datagrams sent or taken before other tasks get their turn, and most that receive() returns.
BATCH = 256
#: Datagrams that wait here while nobody calls receive(); then the kernel's buffer fills up.
QUEUE = 4096
#: What the kernel takes in one send: 64 datagrams since Linux 4.18, and the largest IPv4 payload.
_GROUP_DATAGRAMS = 64
_GROUP_BYTES = 65_507
_NO_GROUPS = frozenset(
    {errno.EINVAL, errno.EIO, errno.EMSGSIZE, errno.ENOPROTOOPT, errno.EOPNOTSUPP}
)


@dataclass(slots=True)
class UDPCounters:
    """What happened on a link since it was opened.

    Attributes:
        sent, received: datagrams.
        lost: datagrams that the kernel did not take.
        errors: failed calls by errno name (ENOBUFS, ECONNREFUSED, ...).
        paused: times that the queue was full and the socket was left to fill.
    """

    sent: int = 0
    received: int = 0
    lost: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    paused: int = 0


class UDPLink:
    """A UDP socket as a SegmentLink; make it with connect() or listen()."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        queue: int = QUEUE,
        batch: int = BATCH,
        buffer_bytes: int = RECEIVE_BUFFER_BYTES,
    ) -> None:
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._queue: list[tuple[bytes, Address]] = []
        self._queue_limit = queue
        self._batch = batch
        self._reader = DatagramReader(sock)
        self._delivering: asyncio.Future[None] | None = None
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._is_paused = False
        self._is_closed = False
        self._groups = True
        self._kernel_dropped = 0
        self.counters = UDPCounters()
        sock.setblocking(False)
        _widen(sock, buffer_bytes)
        with contextlib.suppress(OSError):  # Linux before 5.0: every datagram then comes by itself
            sock.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
        self._loop.add_reader(sock.fileno(), self._on_readable)

    @classmethod
    async def connect(cls, host: str, port: int) -> "UDPLink":
        """Open a link to one peer.

        Raises:
            LinkError: the name does not resolve, or there is no way to the address.
        """
        failure: OSError | None = None
        for family, address in await resolve(host, port, socket.SOCK_DGRAM):
            sock = socket.socket(family, socket.SOCK_DGRAM)
            try:
                sock.connect(address)
            except OSError as error:
                sock.close()
                failure = error
            else:
                return cls(sock)
        raise LinkError(
            f"cannot reach {host} port {port} over UDP: {failure}; check network and address"
        )

    @classmethod
    async def listen(
        cls, host: str | None, port: int, *, queue: int = QUEUE, batch: int = BATCH
    ) -> "UDPLink":
        """Open a link that receives from anyone.

        Args:
            host: the local address, or None for all of IPv6 and IPv4.
            port: the local port, or 0 for any free one; see address.
            queue: datagrams kept for receive().
            batch: datagrams that receive() returns at most.
        Raises:
            LinkError: the address is not here, or the port is taken.
        """
        return cls(await bind(host, port, socket.SOCK_DGRAM), queue=queue, batch=batch)

    def beside(self, peer: Address, buffer_bytes: int = RECEIVE_BUFFER_BYTES) -> "UDPLink":
        """Return a link on the same port for one peer: the kernel gives it what that peer sends.

        Args:
            buffer_bytes: its own buffer in the kernel, which nobody else fills.
        Raises:
            LinkError: the kernel refuses.
        """
        sock = socket.socket(self._socket.family, socket.SOCK_DGRAM)
        try:
            # For this moment only: at no other may anybody else have the port.
            for one in (self._socket, sock):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(self._socket.getsockname())
            sock.connect(peer)
        except OSError as error:
            sock.close()
            raise LinkError(f"no link for {peer[0]} port {peer[1]} alone: {error}") from None
        finally:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        return UDPLink(sock, buffer_bytes=buffer_bytes)

    @property
    def address(self) -> Address:
        """The local address."""
        address: Address = self._socket.getsockname()
        return address

    @property
    def receive_buffer_bytes(self) -> int:
        """The kernel's receive buffer as granted; net.core.rmem_max may keep it small."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2

    @property
    def kernel_dropped(self) -> int:
        """What the kernel dropped because its buffer was full; coalesced datagrams count once."""
        if not self._is_closed:
            size = 4 * (_MEMINFO_DROPS + 1)
            memory = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, size)
            self._kernel_dropped = int.from_bytes(memory[-4:], sys.byteorder)
        return self._kernel_dropped

    async def receive(self) -> list[tuple[bytes, Address]]:
        """Wait for datagrams; return all that are there, up to the batch limit."""
        while not self._queue:
            if self._is_closed:
                raise LinkError("the UDP link was closed")
            self._arrived.clear()
            await self._arrived.wait()
        batch = self._queue[: self._batch]
        del self._queue[: self._batch]
        if self._is_paused and len(self._queue) < self._queue_limit and not self._is_closed:
            self._is_paused = False
            self._loop.add_reader(self._socket.fileno(), self._on_readable)
        return batch

    async def deliver(self, take: Callable[[list[bytes]], None]) -> None:
        """Give all that arrives to a function, at once and without a queue, until the link ends.

        A call brings what is there, up to about the batch limit; other tasks get their turn between
        two. What the function cannot keep up with stays in the kernel's buffer.

        Raises:
            LinkError: the link was closed.
            Exception: what take() raised; it gets nothing more.
        """
        if self._is_closed:
            raise LinkError("the UDP link was closed")
        self._delivering = ended = self._loop.create_future()

        def give(segments: list[bytes]) -> None:
            try:
                take(segments)
            except Exception as error:  # for whoever waits below
                if not ended.done():
                    ended.set_exception(error)
                self._loop.remove_reader(self._socket.fileno())

        if self._queue:
            give([segment for segment, _ in self._queue])
            self._queue.clear()
        if not ended.done():
            self._loop.add_reader(self._socket.fileno(), self._on_deliverable, give)
        try:
            await ended
        finally:
            self._delivering = None
            if not self._is_closed:
                self._is_paused = False
                self._loop.add_reader(self._socket.fileno(), self._on_readable)

    async def send(self, segments: Sequence[bytes], address: Address | None = None) -> None:
        """Send each segment as a datagram, equal ones together; wait while the socket is full.

        Args:
            segments: the datagrams.
            address: to whom, on a link that listens; None on one that was connected.
        """
        at = rested = 0
        while at < len(segments):
            if at - rested >= self._batch:
                rested = at
                await asyncio.sleep(0)
            until = _group(segments, at) if self._groups else at + 1
            if until - at > 1:
                await self._send_group(segments[at:until], address)
            elif address is None and at + 1 < len(segments):
                while until < len(segments) and not self._starts_group(segments, until):
                    until += 1
                until = at + await self._send_several(segments[at:until])
            else:
                await self._send_one(segments[at], address)
            at = until

    def send_now(self, segment: bytes) -> bool:
        """Send one datagram on a link that was connected; False where send() has to."""
        if self._is_closed:
            return False
        try:
            self._socket.send(segment)
        except BlockingIOError:
            return False
        except OSError as error:
            self._count(error)
            return False
        self.counters.sent += 1
        return True

    def close(self) -> None:
        """Close the socket; datagrams already queued can still be received."""
        if self._is_closed:
            return
        self._kernel_dropped = self.kernel_dropped
        self._is_closed = True
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        self._arrived.set()
        self._writable.set()
        if self._delivering is not None and not self._delivering.done():
            self._delivering.set_exception(LinkError("the UDP link was closed"))

    def _starts_group(self, segments: Sequence[bytes], at: int) -> bool:
        return self._groups and _group(segments, at) > at + 1

    async def _send_group(self, group: Sequence[bytes], address: Address | None) -> None:
        control = [(socket.IPPROTO_UDP, _UDP_SEGMENT, struct.pack("=H", len(group[0])))]
        try:
            await self._call(lambda: self._socket.sendmsg(group, control, 0, address))
            self.counters.sent += len(group)
        except OSError as error:
            if error.errno not in _NO_GROUPS:
                self._count(error, lost=len(group))
                return
            # This kernel, this card or this path's MTU cannot; or the fault is the datagrams' own.
            self._groups = False
            for segment in group:
                await self._send_one(segment, address)

    async def _send_several(self, segments: Sequence[bytes]) -> int:
        """Send, and return how many are done with: those taken, or the first, where it is lost."""
        try:
            taken = await self._call(lambda: send_datagrams(self._socket, segments))
        except OSError as error:
            self._count(error, lost=1)
            return 1
        self.counters.sent += taken
        return taken

    async def _send_one(self, segment: bytes, address: Address | None) -> None:
        try:
            await self._call(lambda: self._socket.sendmsg((segment,), (), 0, address))
            self.counters.sent += 1
        except OSError as error:
            self._count(error, lost=1)

    async def _call(self, send: Callable[[], int]) -> int:
        refused = False
        while True:
            if self._is_closed:
                raise LinkError("the UDP link was closed")
            try:
                return send()
            except BlockingIOError:
                self._writable.clear()
                self._loop.add_writer(self._socket.fileno(), self._on_writable)
                await self._writable.wait()
            except ConnectionRefusedError as error:
                # An earlier datagram's fate, reported now; this one was not tried yet.
                if refused:
                    raise
                refused = True
                self._count(error)

    def _on_writable(self) -> None:
        self._loop.remove_writer(self._socket.fileno())
        self._writable.set()

    def _on_readable(self) -> None:
        queue = self._queue
        self._read(self._reader.addressed, queue, self._queue_limit)
        if len(queue) >= self._queue_limit:
            self.counters.paused += 1
            self._is_paused = True
            self._loop.remove_reader(self._socket.fileno())
        if queue:
            self._arrived.set()

    def _on_deliverable(self, give: Callable[[list[bytes]], None]) -> None:
        segments: list[bytes] = []
        self._read(self._reader.plain, segments, self._batch)
        if segments:
            give(segments)

    def _read(self, read: Callable[[], list[_T]], into: list[_T], most: int) -> None:
        """Add what is there, up to about the batch limit, and to about so many in all."""
        before = len(into)
        until = min(before + self._batch, most)
        try:
            while len(into) < until:
                found = read()
                into += found
                if self._reader.is_drained:
                    break
        except BlockingIOError:
            pass
        except OSError as error:
            self._count(error)
        self.counters.received += len(into) - before

    def _count(self, error: OSError, lost: int = 0) -> None:
        self.counters.lost += lost
        self.counters.errors[errno.errorcode.get(error.errno or 0, "unknown")] += 1


def _group(segments: Sequence[bytes], at: int) -> int:
    """Return the end of the run that one call can send: equal sizes, only the last may be less."""
    size = len(segments[at])
    most = min(len(segments), at + _GROUP_DATAGRAMS, at + max(1, _GROUP_BYTES // max(1, size)))
    end = at + 1
    while end < most and len(segments[end]) == size:
        end += 1
    if end < most and 0 < len(segments[end]) < size:
        end += 1
    return end if size else at + 1


def _widen(sock: socket.socket, size: int) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
    except OSError:  # without CAP_NET_ADMIN
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
