"""Packets on a serial cable: COBS stuffing, a CRC-32, no Ctrl-C, zero bytes between (section 6.6).

A packet on the wire is 0x00 || escape(COBS(body || u32 CRC-32 of body)) || 0x00. The zero occurs
nowhere else, so a reader that was disturbed is in step again at the next one; the leading one parts
a packet from text that a board prints and from a packet that lost its end. The escape keeps 0x03
off the cable: where the cable is the board's REPL, that byte is Ctrl-C and stops the program.
The CRC is the one that binascii has in C; it tells noise from packets, and protects nothing: keys
and tags do that.
"""

from binascii import crc32

from tickseal.core.errors import RemoteProtocolError

CRC_BYTES = 4

_DELIMITER = b"\x00"
_RUN = 254


def stuff(data: bytes) -> bytes:
    """Return data without zero bytes, at most 1 byte longer for each 254 begun.

    Source: S. Cheshire and M. Baker, Consistent Overhead Byte Stuffing, 1999.
    """
    out = bytearray()
    runs = data.split(_DELIMITER)
    last = len(runs) - 1
    for i, run in enumerate(runs):
        at, size = 0, len(run)
        while size - at >= _RUN:
            out.append(_RUN + 1)
            out.extend(run[at : at + _RUN])
            at += _RUN
        # A full run at the very end needs no empty one after it.
        if at < size or not at or i < last:
            out.append(size - at + 1)
            out.extend(run[at:])
    return bytes(out)


def unstuff(stuffed: bytes) -> bytes:
    """Return the data that was stuffed.

    Raises:
        RemoteProtocolError: empty, with a zero byte, or a run that goes beyond the end.
    """
    if not stuffed or _DELIMITER in stuffed:
        raise RemoteProtocolError("not COBS: empty, or a zero byte in it")
    out = bytearray()
    at, size = 0, len(stuffed)
    while at < size:
        code = stuffed[at]
        end = at + code
        if end > size:
            raise RemoteProtocolError("not COBS: a run goes beyond the end")
        out.extend(stuffed[at + 1 : end])
        if code <= _RUN and end < size:
            out.append(0)
        at = end
    return bytes(out)


def escape(stuffed: bytes) -> bytes:
    """Return the same without 0x03: 0x02 becomes 0x02 0x04, and 0x03 becomes 0x02 0x05."""
    return stuffed.replace(b"\x02", b"\x02\x04").replace(b"\x03", b"\x02\x05")


def unescape(escaped: bytes) -> bytes:
    """Return what was escaped.

    Raises:
        RemoteProtocolError: a 0x03, or a 0x02 without its second half.
    """
    twos, threes = escaped.count(b"\x02\x04"), escaped.count(b"\x02\x05")
    if escaped.count(b"\x02") != twos + threes or b"\x03" in escaped:
        raise RemoteProtocolError("not escaped: 0x03, or half an escape")
    return escaped.replace(b"\x02\x05", b"\x03").replace(b"\x02\x04", b"\x02")


def encode(body: bytes) -> bytes:
    """Return the packet that carries a body, with a delimiter at both ends."""
    checked = body + (crc32(body) & 0xFFFFFFFF).to_bytes(CRC_BYTES, "big")
    return _DELIMITER + escape(stuff(checked)) + _DELIMITER


def decode(packet: bytes) -> bytes:
    """Return the body of a packet, given without its delimiters.

    Raises:
        RemoteProtocolError: not escaped, not COBS, or the CRC does not match.
    """
    data = unstuff(unescape(packet))
    body = data[:-CRC_BYTES]
    if len(data) < CRC_BYTES or crc32(body) & 0xFFFFFFFF != int.from_bytes(data[-4:], "big"):
        raise RemoteProtocolError("the packet's CRC does not match")
    return body


class PacketReader:
    """Finds packets in a stream of bytes, however these are cut up.

    Holds at most one packet. What is damaged or longer than allowed is dropped and counted in
    `damaged`, and reading goes on after the next delimiter.

    Attributes:
        rejected: the last that was dropped whole; a board's plain text is among it.
    """

    __slots__ = ("_held", "_limit", "_most", "_overlong", "damaged", "rejected")

    def __init__(self, limit: int) -> None:
        """Read bodies of at most `limit` bytes."""
        self._most = limit
        data = limit + CRC_BYTES
        # Every byte may need an escape.
        self._limit = 2 * (data + data // _RUN + 1)
        self._held = bytearray()
        self._overlong = False
        self.damaged = 0
        self.rejected = b""

    def receive(self, data: bytes) -> "list[bytes]":
        """Take the next bytes of the stream; return the bodies that these complete, in order."""
        bodies: "list[bytes]" = []
        pieces = bytes(data).split(_DELIMITER)
        rest = pieces.pop()
        for piece in pieces:
            self._hold(piece)
            self._finish(bodies)
        self._hold(rest)
        return bodies

    def _hold(self, piece: bytes) -> None:
        if self._overlong or len(self._held) + len(piece) > self._limit:
            self._overlong = True
            self._held = bytearray()
        else:
            self._held.extend(piece)

    def _finish(self, bodies: "list[bytes]") -> None:
        # Delimiters that follow one another are idle line, not a packet.
        if self._held or self._overlong:
            try:
                body = decode(bytes(self._held))
            except RemoteProtocolError:
                body = None
            if body is not None and len(body) <= self._most:
                bodies.append(body)
            else:
                self.damaged += 1
                self.rejected = bytes(self._held)
        self._held = bytearray()
        self._overlong = False
