"""Control bytes over TCP."""

import asyncio
import contextlib
import errno
import logging
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tickseal.core.errors import LinkError
from tickseal.links.base import Address, plain_address
from tickseal.links.sockets import bind, site

_logger = logging.getLogger(__name__)

#: Beyond this many bytes unsent a link is not writable: a second of 2 Mbit/s.
WRITE_LIMIT_BYTES = 256 << 10
#: Beyond this many the caller ignores is_writable; the largest frame fits in (section 2.2).
WRITE_MOST_BYTES = (1 << 26) + (4 << 20)
CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 3.0
_READ_BYTES = 64 << 10
#: The protocol's own pings notice a silent peer after 10 s; the kernel's are the net below.
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 20_000),
)


class TCPLink:
    """A TCP connection as a StreamLink; make it with connect(), or a TCPServer makes it."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        limit_bytes: int = WRITE_LIMIT_BYTES,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._limit = limit_bytes
        writer.transport.set_write_buffer_limits(high=limit_bytes)
        self._peer: Address = writer.get_extra_info("peername") or ("unknown", 0)
        self._local: Address = writer.get_extra_info("sockname") or ("unknown", 0)
        sock: socket.socket = writer.get_extra_info("socket")
        for level, option, value in _KEEPALIVE:
            with contextlib.suppress(OSError):
                sock.setsockopt(level, option, value)

    @classmethod
    async def connect(
        cls, host: str, port: int, *, timeout_s: float = CONNECT_TIMEOUT_S
    ) -> "TCPLink":
        """Connect to a server, trying its addresses in turn.

        Raises:
            LinkError: nobody answers there, or not in time.
        """
        where = f"{host} port {port}"
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await asyncio.open_connection(
                    host, port, limit=_READ_BYTES, happy_eyeballs_delay=0.25
                )
        except TimeoutError:
            raise LinkError(
                f"{where} did not answer within {timeout_s:g} s; check the address, the network "
                "and firewalls on the way"
            ) from None
        except socket.gaierror as error:
            raise LinkError(
                f"cannot find the address of {host}: {error.strerror}; check the name and DNS"
            ) from None
        except OSError as error:
            # Where a name has several addresses, asyncio joins their failures into one text.
            if f"[Errno {errno.ECONNREFUSED}]" in str(error):
                advice = f"nothing listens at {where}; check the port, and that the gateway runs"
            else:
                reason = error.strerror or error
                advice = f"cannot reach {where}: {reason}; check the address and the network"
            raise LinkError(advice) from None
        return cls(reader, writer)

    @property
    def peer(self) -> Address:
        """The other end's address."""
        return self._peer

    @property
    def local(self) -> Address:
        """This end's address."""
        return self._local

    @property
    def is_writable(self) -> bool:
        """Whether fewer bytes wait to be sent than the limit."""
        transport = self._writer.transport
        return not transport.is_closing() and transport.get_write_buffer_size() <= self._limit

    async def receive(self) -> bytes:
        """Wait for bytes; b"" at the peer's orderly end."""
        try:
            return await self._reader.read(_READ_BYTES)
        except OSError as error:
            raise self._broken(error) from None

    def write(self, data: bytes) -> None:
        """Queue bytes."""
        transport = self._writer.transport
        if transport.is_closing():
            raise LinkError(f"the connection to {_named(self._peer)} is closed; connect again")
        if transport.get_write_buffer_size() + len(data) > WRITE_MOST_BYTES:
            raise LinkError(
                f"{_named(self._peer)} does not take what is sent; wait for drain() before writing"
            )
        self._writer.write(data)

    async def drain(self) -> None:
        """Wait until the link is writable."""
        try:
            await self._writer.drain()
        except OSError as error:
            raise self._broken(error) from None

    async def close(self) -> None:
        """Send what is queued, for a few seconds at most, then close."""
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._writer.wait_closed()
        except OSError:  # TimeoutError is one
            self.abort()

    def abort(self) -> None:
        """Close at once, so that the peer sees a break, not an end."""
        _reset(self._writer)

    def _broken(self, error: OSError) -> LinkError:
        reason = error.strerror or "connection lost"
        return LinkError(f"the connection to {_named(self._peer)} broke: {reason}; connect again")


@dataclass(slots=True)
class TCPServerCounters:
    """What happened at a server since it was opened.

    Attributes:
        accepted: connections handed to the handler.
        refused: connections closed at once because there were too many, in all or from one address.
        failed: handlers that ended with an error of their own.
    """

    accepted: int = 0
    refused: int = 0
    failed: int = 0


class TCPServer:
    """Accepts connections, few enough, and runs a handler on each; make it with listen()."""

    def __init__(
        self, handler: Callable[[TCPLink], Awaitable[None]], *, most: int, most_per_site: int
    ) -> None:
        self._handler = handler
        self._most = most
        self._most_per_site = most_per_site
        self._sites: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.counters = TCPServerCounters()

    @classmethod
    async def listen(
        cls,
        handler: Callable[[TCPLink], Awaitable[None]],
        host: str | None,
        port: int,
        *,
        most: int = 1024,
        most_per_site: int = 64,
    ) -> "TCPServer":
        """Listen for connections.

        Args:
            handler: runs once a connection; when it returns or fails, the connection is closed.
            host: the local address, or None for all of IPv6 and IPv4.
            port: the local port, or 0 for any free one; see address.
            most: connections in all.
            most_per_site: connections from one IPv4 address or one IPv6 /64.
        Raises:
            LinkError: the address is not here, or the port is taken.
        """
        sock = await bind(host, port, socket.SOCK_STREAM)
        server = cls(handler, most=most, most_per_site=most_per_site)
        server._server = await asyncio.start_server(server._accept, sock=sock, limit=_READ_BYTES)
        return server

    @property
    def address(self) -> Address:
        """The local address."""
        if self._server is None or not self._server.sockets:
            raise LinkError("the server was closed")
        address: Address = self._server.sockets[0].getsockname()
        return address

    @property
    def connections(self) -> int:
        """Connections open now."""
        return len(self._tasks)

    async def close(self) -> None:
        """Stop listening, cancel the handlers and wait for them."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        if peer is None:  # gone before it was accepted
            writer.transport.abort()
            return
        place = site(peer)
        if len(self._tasks) >= self._most or self._sites[place] >= self._most_per_site:
            self.counters.refused += 1
            _reset(writer)
            return
        self.counters.accepted += 1
        self._sites[place] += 1
        task = asyncio.get_running_loop().create_task(self._run(TCPLink(reader, writer), place))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, link: TCPLink, place: str) -> None:
        try:
            await self._handler(link)
            await link.close()
        except LinkError as error:
            _logger.debug("%s", error)
        except Exception:
            self.counters.failed += 1
            _logger.exception("the handler of %s failed", _named(link.peer))
        finally:
            link.abort()
            self._sites[place] -= 1
            if not self._sites[place]:
                del self._sites[place]


def _reset(writer: asyncio.StreamWriter) -> None:
    # With a linger of 0 s the kernel sends RST and keeps nothing of the connection.
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
    writer.transport.abort()


def _named(address: Address) -> str:
    host, port = plain_address(address)
    return f"{host} port {port}"
