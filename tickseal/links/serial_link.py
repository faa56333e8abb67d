"""One connection of a board on a serial cable, as a StreamLink."""

import asyncio
import contextlib
from collections import deque
from typing import Protocol

from tickseal.core import cable
from tickseal.core.constants import CONTROL_MAX_BYTES
from tickseal.core.errors import LinkError
from tickseal.links.base import Address
from tickseal.links.serial_port import SerialSettings
from tickseal.sessions.records import RecordReader, RecordType, encode_record

#: Bytes that may wait for the gateway; then the port is not read, and the board's cable fills.
_INBOX_BYTES = 256 << 10
#: Bytes of records that may wait for the board; beyond half of them the link is not writable.
_QUEUE_BYTES = 64 << 10
_TAG_BYTES = 16
_CLOSE_S = 3.0


class Server(Protocol):
    """What a link asks of the server of its port."""

    port: str
    settings: SerialSettings

    def now_ms(self) -> int:
        """Return the clock of the cable, ms."""
        ...

    def flush(self) -> None:
        """Send what is due."""
        ...

    def resume(self) -> None:
        """Read the port again, where that was stopped."""
        ...

    def forget(self, link: "SerialLink") -> None:
        """End a connection, and tell the board."""
        ...


class SerialLink:
    """One connection of a board, as a StreamLink. A SerialServer makes it.

    Nothing is acknowledged before the first receive(): a relay connects to its gateway first, and
    a board learns so whether anybody is there.
    """

    def __init__(self, server: Server, link: int) -> None:
        self._server = server
        self._reader = RecordReader()
        self._inbox: deque[bytes] = deque()
        self._size = 0
        self._news = asyncio.Event()
        self._is_closed = self._is_taken = self._was_read = False
        self.channel = cable.Channel(
            link,
            server.now_ms(),
            byte_us=cable.byte_us(server.settings.baudrate),
            record_bytes=CONTROL_MAX_BYTES + _TAG_BYTES,
            queue_bytes=_QUEUE_BYTES,
        )

    @property
    def peer(self) -> Address:
        """The port."""
        return (self._server.port, 0)

    @property
    def is_open(self) -> bool:
        """Whether the connection still stands."""
        return not self._is_closed

    @property
    def is_taken(self) -> bool:
        """Whether somebody receives, so that records may be acknowledged."""
        return self._is_taken

    @property
    def is_full(self) -> bool:
        """Whether so much waits for receive() that the port should not be read."""
        return self._size >= _INBOX_BYTES

    @property
    def is_writable(self) -> bool:
        """Whether a record of any length can be written."""
        return not self._is_closed and self.channel.room(_QUEUE_BYTES // 2)

    async def receive(self) -> bytes:
        """Wait for records; b"" after the board has begun another connection."""
        self._is_taken = True
        self._server.flush()
        while not self._inbox:
            if self._is_closed:
                return b""
            self._news.clear()
            await self._news.wait()
        data = b"".join(self._inbox)
        self._inbox.clear()
        self._size = 0
        self._server.resume()
        return data

    def write(self, data: bytes) -> None:
        """Queue records, whole or in pieces.

        Raises:
            LinkError: the connection is over, or far more was written than the board takes.
        """
        if self._is_closed:
            raise LinkError(f"the board at {self._server.port} has gone; it will connect again")
        for kind, body in self._reader.feed(data):
            if not self.channel.queue(kind, body):
                self.abort()
                raise LinkError(f"the board at {self._server.port} does not take what is sent")
        self._server.flush()

    async def drain(self) -> None:
        """Wait until the link is writable."""
        while not self._is_closed and not self.is_writable:
            self._news.clear()
            await self._news.wait()

    async def close(self) -> None:
        """Wait until the board has all that was written, a few seconds at most; then end it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                while not self._is_closed and not self.channel.is_idle:
                    self._news.clear()
                    await self._news.wait()
        self.abort()

    def abort(self) -> None:
        """End the connection; the board will begin another."""
        if not self._is_closed:
            self.end()
            self._server.forget(self)

    # --- What the server calls ---

    def put(self, kind: RecordType, body: bytes) -> None:
        """Give receive() a record."""
        data = encode_record(kind, body)
        self._inbox.append(data)
        self._size += len(data)
        self._news.set()

    def stir(self) -> None:
        """Let those who wait look again."""
        self._news.set()

    def end(self) -> None:
        """Note that the connection is over."""
        self._is_closed = True
        self._news.set()
