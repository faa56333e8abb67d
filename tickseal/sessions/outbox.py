"""Outbox: what a session has still to send, in three lanes, each bounded."""

import enum
from collections import deque
from collections.abc import Callable, Sequence

from tickseal.sessions.records import (
    RecordType,
    encode_record,
    pack_segments,
    unpack_segments,
    unpack_stream_segments,
)

#: Bytes of control that may wait. A peer that lets more pile up does not read.
CONTROL_MAX_BYTES = 256 << 10
#: Bytes of segments that may wait in each of the other lanes.
DATA_MAX_BYTES = 256 << 10
#: Bytes of data that one take() gives at most, so that pings never wait behind more.
TAKE_BYTES = 64 << 10
_LENGTH = 2


class Lane(enum.IntEnum):
    """Where a record waits; an earlier lane goes first, each keeps its own order."""

    #: Handshake and control.
    CONTROL = 0
    #: Live segments.
    LIVE = 1
    #: Backfill, with the messages that must stay in order with it.
    BACKFILL = 2


class Outbox:
    """Records to send. Control is sealed as it is taken, since the cipher numbers what it seals.

    Attributes:
        refused_segments: segments that found no room, so far.
        dropped_segments: segments that made room for newer ones, so far.
    """

    __slots__ = ("_lanes", "_sizes", "dropped_segments", "refused_segments")

    def __init__(self) -> None:
        self._lanes: tuple[deque[tuple[RecordType, bytes]], ...] = tuple(deque() for _ in Lane)
        self._sizes = [0] * len(Lane)
        self.refused_segments = 0
        self.dropped_segments = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to take."""
        return not any(self._lanes)

    def put(self, kind: RecordType, body: bytes, lane: Lane = Lane.CONTROL) -> bool:
        """Queue a record, control in plain; return False, and do nothing, if the lane is full."""
        size = len(body)
        if self._sizes[lane] + size > CONTROL_MAX_BYTES:
            return False
        self._lanes[lane].append((kind, body))
        self._sizes[lane] += size
        return True

    def put_segments(self, segments: Sequence[bytes], lane: Lane) -> int:
        """Queue segments; return how many, from the first, found room."""
        room = DATA_MAX_BYTES - self._sizes[lane]
        taken = 0
        for segment in segments:
            room -= _LENGTH + len(segment)
            if room < 0:
                break
            taken += 1
        for body in list(pack_segments(segments[:taken])):
            self._lanes[lane].append((RecordType.DATA, body))
            self._sizes[lane] += len(body)
        self.refused_segments += len(segments) - taken
        return taken

    def put_newest(self, segments: Sequence[bytes], handle: int | None = None) -> None:
        """Queue live segments; where there is no room for all, the oldest make way.

        Args:
            handle: of the stream that all are of, where it is to be told.
        """
        waiting = self._lanes[Lane.LIVE]
        kind = RecordType.DATA if handle is None else RecordType.STREAM_DATA
        for body in list(pack_segments(segments, handle)):
            waiting.append((kind, body))
            self._sizes[Lane.LIVE] += len(body)
        while self._sizes[Lane.LIVE] > DATA_MAX_BYTES:
            kind, body = waiting.popleft()
            self._sizes[Lane.LIVE] -= len(body)
            of_one = kind is RecordType.STREAM_DATA
            dropped = unpack_stream_segments(body)[1] if of_one else unpack_segments(body)
            self.dropped_segments += len(dropped)

    def take(self, seal: Callable[[bytes], bytes]) -> bytes:
        """Return the bytes to send next: all control, and about 64 KiB from the other lanes.

        Args:
            seal: makes a control message in plain the body of its record.
        """
        parts: list[bytes] = []
        left = TAKE_BYTES
        for lane in Lane:
            waiting = self._lanes[lane]
            while waiting and (left > 0 or lane is Lane.CONTROL):
                kind, body = waiting.popleft()
                self._sizes[lane] -= len(body)
                if lane is not Lane.CONTROL:
                    left -= len(body)
                parts.append(
                    encode_record(kind, seal(body) if kind is RecordType.CONTROL else body)
                )
        return b"".join(parts)

    def drop_segments(self) -> None:
        """Forget all but the control lane."""
        for lane in (Lane.LIVE, Lane.BACKFILL):
            self._lanes[lane].clear()
            self._sizes[lane] = 0
