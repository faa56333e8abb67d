"""The board's end of the serial cable: bytes to packets to records, and back."""

import select
import sys

from tickseal.core import cable
from tickseal.core.cobs import PacketReader, encode
from tickseal.core.constants import RECORD_DATA
from tickseal.core.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Longest packet and record that the board takes.
_BODY_BYTES = 4 + cable.FRAGMENT_MAX_BYTES
_RECORD_BYTES = 1536
#: Records that wait to be sent; so many bytes of them are for control messages only.
_QUEUE_BYTES = 2048
_CONTROL_BYTES = 512
#: Bytes read in one go.
_READ_BYTES = 512
#: Live segments wait no longer than this for the cable, ms (a packet at 9600 baud takes 80), and no
#: longer than this where they go as records.
_LIVE_MS = 120
_LAG_MS = 500
#: A port that takes nothing is looked at again after so long, ms.
_PORT_MS = 5


class Stdio:
    """The cable of the REPL, which is USB on most boards. Ctrl-C still reaches the interpreter."""

    byte_us = 1

    def __init__(self) -> None:
        self.input: "Any" = sys.stdin.buffer
        self.output: "Any" = sys.stdout.buffer


class File:
    """A terminal device, on the unix port."""

    byte_us = 1

    def __init__(self, path: str) -> None:
        self.input: "Any" = open(path, "r+b", buffering=0)
        self.output = self.input


class UART:
    """A UART of the board; `settings` are those of machine.UART, with "id"."""

    def __init__(self, id: int = 0, baudrate: int = 115200, **settings: "Any") -> None:
        import machine

        for pin in ("tx", "rx"):
            if pin in settings:
                settings[pin] = machine.Pin(settings[pin])
        self.byte_us = cable.byte_us(baudrate)
        self.input: "Any" = machine.UART(id, baudrate, **settings)
        self.output = self.input


_KINDS: "dict[str, Any]" = {"usb": Stdio, "file": File, "uart": UART}


def open_port(settings: "dict[str, Any]") -> "Any":
    """Return the port that a configuration names by "kind"; its other keys are arguments."""
    arguments = dict(settings)
    kind = arguments.pop("kind", "usb")
    try:
        return _KINDS[kind](**arguments)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ConfigError("cable: %r: %s" % (settings, error)) from None


class Cable:
    """Sends and receives; never waits for the other end.

    Attributes:
        channel: of the present connection.
        unsent: segments that the cable did not take.
        was_reset: the host does not know the present connection.
    """

    def __init__(self, port: "Any") -> None:
        self._port = port
        # What the port did not take of the last packet.
        self._rest = b""
        self._poll = select.poll()
        self._poll.register(port.input, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(port.output, select.POLLOUT)
        self._reader = PacketReader(_BODY_BYTES)
        self.channel = cable.Channel(0, 0)
        self.unsent = 0
        self.was_reset = False
        self._in_records = False

    def connect(self, link: int, now_ms: int) -> None:
        """Begin a connection of this number, u16; what the last one had to send is dropped."""
        self.channel = cable.Channel(
            link,
            now_ms,
            byte_us=self._port.byte_us,
            waits=True,
            record_bytes=_RECORD_BYTES,
            queue_bytes=_QUEUE_BYTES,
        )
        self.was_reset = self._in_records = False

    def receive(self, wait_ms: int, now_ms: int) -> "list[tuple[int, bytes]]":
        """Wait for bytes, ms at most; return the records that they complete.

        Raises:
            RemoteProtocolError: a record longer than the board takes.
        """
        if not self._poll.poll(wait_ms):
            return []
        data = bytearray()
        # A byte at a time: the REPL's input knows no other way that does not block.
        while len(data) < _READ_BYTES and self._poll.poll(0):
            one = self._port.input.read(1)
            if not one:
                break
            data.extend(one)
        records = []
        damaged = self._reader.damaged
        for body in self._reader.receive(data):
            channel = self.channel
            kind = body[0] if body else 0
            if kind == cable.RESET:
                link = cable.link_of(body)
                # Of a connection that nobody has taken yet, none can be unknown.
                self.was_reset |= link == channel.link or (link == 0 and channel.was_answered)
            elif cable.link_of(body) == channel.link:
                if kind == cable.ACK:
                    channel.acknowledged(body, now_ms)
                elif cable.is_fragment(body):
                    records += channel.received(body)
        if self._reader.damaged > damaged:
            self.channel.disturbed(now_ms)
        return records

    def flush(self, now_ms: int) -> None:
        """Send what is due, as far as the cable takes it."""
        for body in self.channel.due(now_ms, self._takes()):
            self._write(encode(body))

    def wait_ms(self, now_ms: int) -> int:
        """Return in how many ms flush() has something to do; -1 for not before something comes."""
        return self.channel.wait_ms(now_ms) if self._takes() else _PORT_MS

    def send_segments(self, segments: "list[bytes]", now_ms: int) -> None:
        """Send live segments once; those that the cable does not take now are counted.

        While packets come damaged they go as a record, if there is room for it, and until that has
        arrived, so that the order stays.
        """
        channel = self.channel
        self._in_records = channel.is_noisy or (self._in_records and not channel.is_idle)
        if self._in_records and segments:
            body = b"".join([len(one).to_bytes(2, "big") + one for one in segments])
            if channel.lag_ms() > _LAG_MS:
                # It would come too late to be opened, and make what follows late too.
                self.unsent += len(segments)
                return
            if channel.room(len(body) + _CONTROL_BYTES) and channel.queue(RECORD_DATA, body):
                return
        if not self._takes() or not channel.is_free(now_ms, _LIVE_MS):
            self.unsent += len(segments)
            return
        for segment in segments:
            channel.occupy(now_ms, len(segment) + 1)
            self._write(encode(bytes((cable.SEGMENT,)) + segment))

    def say(self, text: str) -> None:
        """Send a line of text for people."""
        if self._takes():
            self._write(encode(bytes((cable.TEXT,)) + text.encode()[:200]))

    def _takes(self) -> bool:
        """Return whether the port takes something; first it gets the rest of what it took."""
        if self._rest and self._writable.poll(0):
            rest, self._rest = self._rest, b""
            self._write(rest)
        return not self._rest and bool(self._writable.poll(0))

    def _write(self, data: bytes) -> None:
        taken = 0 if self._rest else self._port.output.write(data) or 0
        self._rest += data[taken:]


#: Needed at the start only.
ONCE = (open_port, _KINDS, File, Stdio, UART)
