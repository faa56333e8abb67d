"""Control bytes over TCP."""

import asyncio
import contextlib
import errno
import logging
import socket
import struct
import time
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
#: Connections that the kernel keeps for us. Where more come than are accepted, the kernel drops
#: whoever asks, known or not: so many are accepted, but for a quarter of the time at most.
_BACKLOG = 256
_ACCEPTING_S, _ACCEPT_PAUSE_S = 0.001, 0.003
#: The protocol's own pings notice a silent peer after 10 s; the kernel's are the net below.
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 20_000),
    # What is not yet under way waits here, where what is newer or matters more overtakes it.
    (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 16 << 10),
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
        cls,
        host: str,
        port: int,
        *,
        timeout_s: float = CONNECT_TIMEOUT_S,
        limit_bytes: int = WRITE_LIMIT_BYTES,
    ) -> "TCPLink":
        """Connect to a server, trying its addresses in turn.

        Args:
            limit_bytes: beyond so many bytes unsent it is not writable.
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
        return cls(reader, writer, limit_bytes=limit_bytes)

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
        refused: connections reset at once: too many, in all or of one site, or not admitted.
        failed: handlers that ended with an error of their own.
    """

    accepted: int = 0
    refused: int = 0
    failed: int = 0


class TCPServer:
    """Accepts connections, few enough, and runs a handler on each; make it with listen().

    What is not wanted costs an accept and a reset: no task, no stream, no buffer.
    """

    def __init__(
        self,
        handler: Callable[[TCPLink], Awaitable[None]],
        sock: socket.socket,
        *,
        most: int,
        most_per_site: int,
        admit: Callable[[str], bool] | None,
    ) -> None:
        self._handler = handler
        self._most = most
        self._most_per_site = most_per_site
        self._admit = admit
        self._sites: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self._pause: asyncio.TimerHandle | None = None
        self.counters = TCPServerCounters()
        sock.setblocking(False)
        sock.listen(_BACKLOG)
        self._loop.add_reader(sock.fileno(), self._on_readable)

    @classmethod
    async def listen(
        cls,
        handler: Callable[[TCPLink], Awaitable[None]],
        host: str | None,
        port: int,
        *,
        most: int = 1024,
        most_per_site: int = 64,
        admit: Callable[[str], bool] | None = None,
    ) -> "TCPServer":
        """Listen for connections.

        Args:
            handler: runs once a connection; when it returns or fails, the connection is closed.
            host: the local address, or None for all of IPv6 and IPv4.
            port: the local port, or 0 for any free one; see address.
            most: connections in all.
            most_per_site: connections from one IPv4 address or one IPv6 /64.
            admit: asked for each further connection of a site; where it says no, it is reset.
        Raises:
            LinkError: the address is not here, or the port is taken.
        """
        sock = await bind(host, port, socket.SOCK_STREAM)
        try:
            return cls(handler, sock, most=most, most_per_site=most_per_site, admit=admit)
        except OSError as error:  # another socket listens there
            sock.close()
            raise LinkError(
                f"cannot listen on TCP port {port}: {error.strerror}; choose another port"
            ) from None

    @property
    def address(self) -> Address:
        """The local address."""
        if self._socket.fileno() < 0:
            raise LinkError("the server was closed")
        address: Address = self._socket.getsockname()
        return address

    @property
    def connections(self) -> int:
        """Connections open now."""
        return len(self._tasks)

    async def close(self) -> None:
        """Stop listening, cancel the handlers and wait for them."""
        if self._pause is not None:
            self._pause.cancel()
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _on_readable(self) -> None:
        until_s = time.monotonic() + _ACCEPTING_S
        while time.monotonic() < until_s:
            try:
                connection, peer = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:  # the peer has gone, or there are no more descriptors
                _logger.debug("accept: %s", error)
                break
            self._take(connection, peer)
        # A flood waits in the kernel's backlog, not in the way of everything else.
        self._loop.remove_reader(self._socket.fileno())
        self._pause = self._loop.call_later(_ACCEPT_PAUSE_S, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        self._loop.add_reader(self._socket.fileno(), self._on_readable)

    def _take(self, connection: socket.socket, peer: Address) -> None:
        place = site(peer)
        if (
            len(self._tasks) >= self._most
            or self._sites[place] >= self._most_per_site
            or (self._admit is not None and not self._admit(place))
        ):
            self.counters.refused += 1
            if not self._sites[place]:
                del self._sites[place]
            _linger_not(connection)
            connection.close()
            return
        connection.setblocking(False)
        self.counters.accepted += 1
        self._sites[place] += 1
        task = self._loop.create_task(self._run(connection, place))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, connection: socket.socket, place: str) -> None:
        link: TCPLink | None = None
        try:
            link = TCPLink(*await asyncio.open_connection(sock=connection, limit=_READ_BYTES))
            await self._handler(link)
            await link.close()
        except (LinkError, OSError) as error:
            _logger.debug("%s", error)
        except Exception:
            self.counters.failed += 1
            _logger.exception("the handler of %s failed", place)
        finally:
            if link is not None:
                link.abort()
            else:
                connection.close()
            self._sites[place] -= 1
            if not self._sites[place]:
                del self._sites[place]


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        _linger_not(writer.get_extra_info("socket"))
    writer.transport.abort()


def _linger_not(sock: socket.socket) -> None:
    # With a linger of 0 s the kernel sends RST and keeps nothing of the connection.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _named(address: Address) -> str:
    host, port = plain_address(address)
    return f"{host} port {port}"
