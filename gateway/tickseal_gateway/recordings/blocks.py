"""Blocks: segments of one generation as a recording holds them, and what they are filed under."""

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tickseal.core.ticks import tick_start
from tickseal.streams.parameters import StreamParameters

_ROW = struct.Struct(">QQH")
_HOUR_NS = 3600 * 1_000_000_000


class Row(NamedTuple):
    """One segment, with what opening it told."""

    tick: int
    frame: int
    segment: bytes


def encode_block(rows: Iterable[Row]) -> bytes:
    """Return the payload of a block."""
    parts: list[bytes] = []
    for tick, frame, segment in rows:
        parts += (_ROW.pack(tick, frame, len(segment)), segment)
    return b"".join(parts)


def decode_block(payload: bytes) -> Iterator[Row]:
    """Yield the rows of a block; its record was checked, so it is whole."""
    start = 0
    while start + _ROW.size <= len(payload):
        tick, frame, size = _ROW.unpack_from(payload, start)
        start += _ROW.size
        yield Row(tick, frame, payload[start : start + size])
        start += size


def hour_of(parameters: StreamParameters, tick: int) -> int:
    """Return the hour of TAI in which a tick begins, counted from 1970."""
    return tick_start(tick, parameters.t0_ns, parameters.interval_ns) // _HOUR_NS


def ticks_of(parameters: StreamParameters, hour: int) -> tuple[int, int]:
    """Return the ticks [from, until) that begin in an hour; none before the stream's first."""
    return tick_from(parameters, hour * _HOUR_NS), tick_from(parameters, (hour + 1) * _HOUR_NS)


def tick_from(parameters: StreamParameters, tai_ns: int) -> int:
    """Return the first tick that does not begin before an instant, ns TAI."""
    return max(0, -((parameters.t0_ns - tai_ns) // parameters.interval_ns))
