"""A serial port with a board at its end: serves one connection of the board after another.

The packets are those of docs/protocol.md section 6.6. Records and live segments both come out as
records of section 6.1, in the bytes that a TCP connection would carry, so that a gateway serves
both alike and a relay passes on what it cannot read.
"""

import asyncio
import errno
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tickseal.core import cable
from tickseal.core.cobs import PacketReader, encode
from tickseal.core.errors import LinkError, RemoteProtocolError
from tickseal.links.serial_link import SerialLink
from tickseal.links.serial_port import SerialSettings, open_port
from tickseal.sessions.records import RecordType, pack_segments

_logger = logging.getLogger(__name__)

#: Unsent bytes at the port beyond which nothing is added: the board does not read.
_OUTPUT_BYTES = 8 << 10
_READ_BYTES = 4096
#: Shortest time between two resets, s.
_RESET_S = 0.1
#: How often a port that is not there is looked for, s.
_LOOK_S = 0.5

Handler = Callable[[SerialLink], Awaitable[None]]


@dataclass(slots=True)
class SerialCounters:
    """What happened at a port since it was opened first.

    Attributes:
        connections: that the board began.
        segments: live ones that came.
        damaged: packets that noise destroyed, and plain text between packets.
        resets: told the board that its connection is not known.
        failed: handlers that ended with an error of their own.
    """

    connections: int = 0
    segments: int = 0
    damaged: int = 0
    resets: int = 0
    failed: int = 0


class SerialServer:
    """Serves the board at one port for as long as it runs; a port that goes is waited for.

    Args:
        handler: runs once a connection; when it returns or fails, the connection is ended.
        on_text: is given the lines that the board says to people, and plain text that it prints.
    """

    def __init__(
        self,
        settings: SerialSettings,
        handler: Handler,
        on_text: Callable[[str, str], None] | None = None,
    ) -> None:
        self.settings = settings
        self.port = settings.port
        self.counters = SerialCounters()
        self._handler = handler
        self._on_text = on_text or _log_text
        self._tasks: set[asyncio.Task[None]] = set()
        self._link: SerialLink | None = None
        self._last_link = -1
        self._reader = PacketReader(cable.BODY_MAX_BYTES)
        self._file = -1
        self._output = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._lost = asyncio.Event()
        self._reset_due = 0.0
        self._is_reading = False

    def now_ms(self) -> int:
        """Return the clock of the cable, ms."""
        return int(asyncio.get_running_loop().time() * 1000)

    @property
    def is_open(self) -> bool:
        """Whether the port is there."""
        return self._file >= 0

    async def run(self, *, once: bool = False) -> None:
        """Serve until cancelled.

        Args:
            once: return when the port goes, instead of waiting for it.
        Raises:
            LinkError: once, and the port cannot be opened.
        """
        problem = ""
        while True:
            try:
                with open_port(self.settings) as opened:
                    problem = ""
                    _logger.info("%s is open", self.port)
                    await self._serve(opened)
                    _logger.info("%s is gone", self.port)
            except LinkError as error:
                if once:
                    raise
                if str(error) != problem:
                    problem = str(error)
                    _logger.warning("%s", error)
            if once:
                return
            await asyncio.sleep(_LOOK_S)

    async def _serve(self, file: int) -> None:
        self._file = file
        self._lost.clear()
        self._output.clear()
        self._reader = PacketReader(cable.BODY_MAX_BYTES)
        try:
            self.resume()
            await self._lost.wait()
        finally:
            self._stop_reading()
            if self._link is not None:
                # Whatever was said to the board may be lost: it must not stream on to nobody.
                self._link.end()
                self._reset(self._link.channel.link, now=True)
                self._link = None
            asyncio.get_running_loop().remove_writer(file)
            self._file = -1
            if self._timer is not None:
                self._timer.cancel()
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # --- What links call ---

    def forget(self, link: SerialLink) -> None:
        """End a connection that its handler is done with, and tell the board."""
        if link is self._link:
            self._link = None
            self._reset(link.channel.link, now=True)

    def resume(self) -> None:
        """Read the port again, where that was stopped."""
        if self._file >= 0 and not self._is_reading and not (self._link and self._link.is_full):
            self._is_reading = True
            asyncio.get_running_loop().add_reader(self._file, self._on_readable)

    def flush(self) -> None:
        """Send what is due, and look again when more will be."""
        link = self._link
        if link is None or self._file < 0 or not link.is_taken:
            return
        now = self.now_ms()
        if link.channel.is_dead(now):
            _logger.debug("%s: the board does not answer", self.port)
            link.end()
            self._link = None
            return
        # What the port has not taken yet must not be sent again on top.
        if len(self._output) < _OUTPUT_BYTES:
            for body in link.channel.due(now):
                self._write(encode(body))
        wait = link.channel.wait_ms(now)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if wait >= 0:
            self._timer = asyncio.get_running_loop().call_later(max(wait, 1) / 1000, self.flush)

    # --- The port ---

    def _stop_reading(self) -> None:
        if self._is_reading:
            self._is_reading = False
            asyncio.get_running_loop().remove_reader(self._file)

    def _on_readable(self) -> None:
        try:
            data = os.read(self._file, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost.set()
            self._stop_reading()
            return
        damaged = self._reader.damaged
        for body in self._reader.receive(data):
            self._on_packet(body)
        if self._reader.damaged > damaged:
            self.counters.damaged += self._reader.damaged - damaged
            if self._link is not None:
                self._link.channel.disturbed(self.now_ms())
            self._on_rejected(self._reader.rejected)
        self.flush()
        if self._link is not None and self._link.is_full:
            self._stop_reading()

    def _on_packet(self, body: bytes) -> None:
        kind = body[0] if body else 0
        if kind == cable.TEXT:
            self._on_text(self.port, body[1:].decode(errors="replace"))
        elif kind == cable.SEGMENT:
            self._on_segment(body[1:])
        elif cable.is_fragment(body) or (kind == cable.ACK and len(body) > cable.LINK_BYTES):
            self._on_connected(kind, body)

    def _on_segment(self, segment: bytes) -> None:
        link = self._link
        if link is None or not link.is_taken:
            if link is None:
                self._reset(0)
            return
        if segment and not link.is_full:
            self.counters.segments += 1
            for packed in pack_segments([segment]):
                link.put(RecordType.DATA, packed)

    def _on_connected(self, kind: int, body: bytes) -> None:
        number = cable.link_of(body)
        link = self._link
        if link is None or link.channel.link != number:
            if not cable.opens(body) or number == self._last_link:
                self._reset(number)
                return
            link = self._accept(number)
        if kind == cable.ACK:
            link.channel.acknowledged(body, self.now_ms())
            link.stir()
            return
        try:
            for record, content in link.channel.received(body):
                link.put(RecordType(record), content)
        except RemoteProtocolError as error:
            _logger.warning("%s: %s", self.port, error)
            link.abort()

    def _accept(self, number: int) -> SerialLink:
        if self._link is not None:
            self._link.end()
        self.counters.connections += 1
        self._last_link = number
        self._link = link = SerialLink(self, number)
        task = asyncio.get_running_loop().create_task(self._handle(link))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return link

    async def _handle(self, link: SerialLink) -> None:
        try:
            await self._handler(link)
            await link.close()
        except LinkError as error:
            _logger.debug("%s", error)
        except Exception:
            self.counters.failed += 1
            _logger.exception("the handler of %s failed", self.port)
        finally:
            link.abort()

    def _on_rejected(self, rejected: bytes) -> None:
        """Pass on what a board prints between packets, such as the traceback of its end."""
        text = rejected.decode("ascii", errors="replace")
        for line in text.splitlines():
            if len(line) > 3 and line.isprintable() and "\ufffd" not in line:
                self._on_text(self.port, line)

    def _reset(self, number: int, *, now: bool = False) -> None:
        time = asyncio.get_running_loop().time()
        if self._file >= 0 and (now or time >= self._reset_due):
            self._reset_due = time + _RESET_S
            self.counters.resets += 1
            self._write(encode(cable.reset(number)))

    def _write(self, data: bytes) -> None:
        if self._output:
            if len(self._output) < 2 * _OUTPUT_BYTES:
                self._output += data
            return
        self._output += data
        self._on_writable()

    def _on_writable(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            written = os.write(self._file, self._output)
        except BlockingIOError:
            written = 0
        except OSError as error:
            if error.errno != errno.EIO:
                _logger.debug("%s: %s", self.port, error)
            self._lost.set()
            self._output.clear()
            loop.remove_writer(self._file)
            return
        del self._output[:written]
        if self._output:
            loop.add_writer(self._file, self._on_writable)
        else:
            loop.remove_writer(self._file)


def _log_text(port: str, line: str) -> None:
    _logger.info("%s says: %s", port, line)
