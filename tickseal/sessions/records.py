"""Records on a stream link: u16 length || u8 type || body (docs/protocol.md section 6.1)."""

import enum
from collections.abc import Iterable, Iterator

from tickseal.core import constants
from tickseal.core.errors import LocalProtocolError, RemoteProtocolError

#: Longest record, type and body.
RECORD_MAX_BYTES = 65535
#: Longest handshake message; the hybrid's first has 1304 bytes.
HANDSHAKE_MAX_BYTES = 2048
_LENGTH, _HANDLE = 2, 4
_TAG = 16


class RecordType(enum.IntEnum):
    """What a record carries."""

    #: First handshake message, classical.
    CLASSICAL = constants.RECORD_CLASSICAL
    #: First handshake message, hybrid.
    HYBRID = constants.RECORD_HYBRID
    #: Second handshake message.
    ANSWER = constants.RECORD_ANSWER
    #: Second handshake message, made with the refusal PSK.
    REFUSAL = constants.RECORD_REFUSAL
    #: One Noise transport message: a control message.
    CONTROL = constants.RECORD_CONTROL
    #: Segments.
    DATA = constants.RECORD_DATA
    #: Segments of one stream, and its handle: compact headers do not tell it beyond their link.
    STREAM_DATA = 7


#: Longest body. So a stranger can make the reader hold 2 KiB, not 64.
BODY_MAX_BYTES = {
    RecordType.CLASSICAL: HANDSHAKE_MAX_BYTES,
    RecordType.HYBRID: HANDSHAKE_MAX_BYTES,
    RecordType.ANSWER: HANDSHAKE_MAX_BYTES,
    RecordType.REFUSAL: HANDSHAKE_MAX_BYTES,
    RecordType.CONTROL: constants.CONTROL_MAX_BYTES + _TAG,
    RecordType.DATA: RECORD_MAX_BYTES - 1,
    RecordType.STREAM_DATA: RECORD_MAX_BYTES - 1,
}


def encode_record(kind: RecordType, body: bytes) -> bytes:
    """Return a record.

    Raises:
        LocalProtocolError: the body is longer than its type allows (BODY_MAX_BYTES).
    """
    if len(body) > BODY_MAX_BYTES[kind]:
        raise LocalProtocolError(
            f"a {kind.name} record takes {BODY_MAX_BYTES[kind]} bytes, not {len(body)}"
        )
    return (len(body) + 1).to_bytes(_LENGTH, "big") + bytes((kind,)) + body


class RecordReader:
    """Cuts a byte stream into records; holds at most one that is not complete.

    A stream that went wrong stays so: every further call raises again.
    """

    __slots__ = ("_fault", "_held")

    def __init__(self) -> None:
        self._held = bytearray()
        self._fault: str | None = None

    def feed(self, data: bytes | bytearray | memoryview) -> list[tuple[RecordType, bytes]]:
        """Return the records that these bytes complete, in order.

        Raises:
            RemoteProtocolError: a record of length 0, of unknown type, or longer than its type
                allows. Records before it are lost, as the connection is not worth going on with.
        """
        if self._fault is not None:
            raise RemoteProtocolError(self._fault)
        held = self._held
        held += data
        records: list[tuple[RecordType, bytes]] = []
        start = 0
        while len(held) - start > _LENGTH:
            length = held[start] << 8 | held[start + 1]
            kind = self._checked(length, held[start + 2])
            end = start + _LENGTH + length
            if end > len(held):
                break
            records.append((kind, bytes(held[start + _LENGTH + 1 : end])))
            start = end
        del held[:start]
        return records

    def _checked(self, length: int, kind: int) -> RecordType:
        try:
            known = RecordType(kind)
        except ValueError:
            self._fault = f"a record of unknown type {kind}: the peer does not speak tickseal"
        else:
            if 1 <= length <= 1 + BODY_MAX_BYTES[known]:
                return known
            self._fault = f"a {known.name} record of length {length}"
        self._held.clear()
        raise RemoteProtocolError(self._fault)


def pack_segments(segments: Iterable[bytes], handle: int | None = None) -> Iterator[bytes]:
    """Yield the bodies of data records that carry the segments in order, as few as hold them.

    Args:
        handle: for records of type STREAM_DATA, whose segments are all of that stream.
    Raises:
        LocalProtocolError: a segment is empty or over 65532 bytes.
    """
    head = b"" if handle is None else handle.to_bytes(_HANDLE, "big")
    most = BODY_MAX_BYTES[RecordType.DATA] - len(head)
    parts: list[bytes] = []
    size = 0
    for segment in segments:
        if not 0 < len(segment) <= most - _LENGTH:
            raise LocalProtocolError(f"a segment is 1..{most - _LENGTH} bytes, not {len(segment)}")
        if size + _LENGTH + len(segment) > most:
            yield head + b"".join(parts)
            parts, size = [], 0
        parts += (len(segment).to_bytes(_LENGTH, "big"), segment)
        size += _LENGTH + len(segment)
    if parts:
        yield head + b"".join(parts)


def unpack_stream_segments(body: bytes) -> tuple[int, list[memoryview]]:
    """Return the handle and the segments of a record of type STREAM_DATA.

    Raises:
        RemoteProtocolError: it has no handle, or the lengths do not add up.
    """
    handle = int.from_bytes(body[:_HANDLE], "big")
    if not handle:
        raise RemoteProtocolError("a data record of a stream without its handle")
    return handle, unpack_segments(body[_HANDLE:])


def unpack_segments(body: bytes) -> list[memoryview]:
    """Return the segments of a data record's body, at least one, none of them empty.

    Raises:
        RemoteProtocolError: the lengths do not add up.
    """
    view = memoryview(body)
    segments: list[memoryview] = []
    start = 0
    while start < len(view):
        length = int.from_bytes(view[start : start + _LENGTH], "big")
        start += _LENGTH
        if not length or start + length > len(view):
            raise RemoteProtocolError("a data record whose lengths do not add up")
        segments.append(view[start : start + length])
        start += length
    if not segments:
        raise RemoteProtocolError("a data record without a segment")
    return segments
