"""The form of a spool's file: one offline generation's blob at its head, then sealed frames.

    file     magic "tks-sp1\\n", head, frame..., foot
    record   u32 length of the body || u8 type || body || u32 CRC-32 of offset (u64), type and body
    head     u64 generation || u32 handle || blob
    frame    u64 tick || u64 frame number || (u16 length || segment)...
    foot     u64 first number || u64 last number || u32 frames

All integers are big-endian. A file is only ever appended to. What a power cut leaves behind is a
beginning of it: reading stops at the first record that is not whole. Since the offset is in the
checksum, an old record that the disk shows in a new place is not taken for a new one.
Whoever holds a file can open nothing in it: the secrets are in the blob, sealed to the gateway.
"""

import struct
import zlib
from dataclasses import dataclass, field

from tickseal_edge.streams.streams import SealedFrame

MAGIC = b"tks-sp1\n"
_HEAD, _FRAME, _FOOT = 1, 2, 3
_record = struct.Struct(">IB")
_sum = struct.Struct(">I")
_head = struct.Struct(">QI")
_frame = struct.Struct(">QQ")
_foot = struct.Struct(">QQI")
_OVERHEAD = _record.size + _sum.size
#: The foot is of one size, so that it is found from the end.
FOOT_BYTES = _OVERHEAD + _foot.size
#: More than a head has: a blob fits a control message (docs/protocol.md section 7.4).
HEAD_MOST_BYTES = len(MAGIC) + _OVERHEAD + _head.size + 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Foot:
    """What a whole file holds, without reading it."""

    first: int
    last: int
    frames: int


@dataclass(slots=True, kw_only=True)
class Content:
    """What was read of a file.

    Attributes:
        generation, handle: of the frames.
        blob: the generation, sealed to the gateway; empty for the end of a live one.
        frames: those that are whole, in order.
    """

    generation: int
    handle: int
    blob: bytes
    frames: list[SealedFrame] = field(default_factory=list)


def encode_start(generation: int, handle: int, blob: bytes) -> bytes:
    """Return the beginning of a file."""
    body = _head.pack(generation, handle) + blob
    return MAGIC + _pack(len(MAGIC), _HEAD, body)


def encode_frame(offset: int, frame: SealedFrame) -> bytes:
    """Return the record of a frame that will begin at an offset of the file."""
    parts = [_frame.pack(frame.tick, frame.number)]
    for segment in frame.segments:
        parts += (len(segment).to_bytes(2, "big"), segment)
    return _pack(offset, _FRAME, b"".join(parts))


def frame_bytes(frame: SealedFrame) -> int:
    """Return the size of a frame's record."""
    return _OVERHEAD + _frame.size + sum(2 + len(segment) for segment in frame.segments)


def encode_foot(offset: int, foot: Foot) -> bytes:
    """Return the last record of a file that is complete."""
    return _pack(offset, _FOOT, _foot.pack(foot.first, foot.last, foot.frames))


def read_foot(end: bytes, size: int) -> Foot | None:
    """Return what the last FOOT_BYTES of a file of a size tell; None where it has no foot."""
    if len(end) != FOOT_BYTES:
        return None
    record = _unpack(memoryview(end), 0, size - FOOT_BYTES)
    if record is None or record[0] != _FOOT or len(record[1]) != _foot.size:
        return None
    first, last, frames = _foot.unpack(record[1])
    return Foot(first=first, last=last, frames=frames)


def read(data: bytes) -> Content | None:
    """Return what a file, or a beginning of one, holds; None where not even the head is whole."""
    if data[: len(MAGIC)] != MAGIC:
        return None
    view = memoryview(data)
    at = len(MAGIC)
    content: Content | None = None
    while (record := _unpack(view, at, at)) is not None:
        kind, body = record
        if content is None:
            if kind != _HEAD or len(body) < _head.size:
                return None
            generation, handle = _head.unpack_from(body)
            content = Content(generation=generation, handle=handle, blob=bytes(body[_head.size :]))
        elif kind == _FRAME:
            frame = _read_frame(content.generation, body)
            if frame is None:
                break
            content.frames.append(frame)
        at += _OVERHEAD + len(body)
    return content


def _read_frame(generation: int, body: memoryview) -> SealedFrame | None:
    if len(body) < _frame.size:
        return None
    tick, number = _frame.unpack_from(body)
    segments = []
    at = _frame.size
    while at < len(body):
        size = int.from_bytes(body[at : at + 2], "big")
        if at + 2 + size > len(body):
            return None
        segments.append(bytes(body[at + 2 : at + 2 + size]))
        at += 2 + size
    return SealedFrame(generation, tick, number, segments)


def _pack(offset: int, kind: int, body: bytes) -> bytes:
    checksum = zlib.crc32(body, zlib.crc32(struct.pack(">QB", offset, kind)))
    return _record.pack(len(body), kind) + body + _sum.pack(checksum)


def _unpack(view: memoryview, at: int, offset: int) -> tuple[int, memoryview] | None:
    if len(view) - at < _OVERHEAD:
        return None
    size, kind = _record.unpack_from(view, at)
    start, end = at + _record.size, at + _record.size + size
    if end + _sum.size > len(view):
        return None
    body = view[start:end]
    if _sum.unpack_from(view, end)[0] != zlib.crc32(
        body, zlib.crc32(struct.pack(">QB", offset, kind))
    ):
        return None
    return kind, body
