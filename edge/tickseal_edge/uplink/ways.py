"""Ways: which frames go by UDP, and which over the connection, since UDP loses too many of them.

Datagrams are quicker and never wait for one another, but nothing slows them down where the network
is narrow, and a picture is lost with any of its many segments; some networks let none through.

A report tells itself what was lost below the highest frame that came, however late it is. What lies
above has been lost only if a report of it would have come: the connection keeps the order, so what
the gateway answered to a ping says that all earlier reports are here.
"""

import logging
from collections import deque
from collections.abc import Iterable

from tickseal.sessions.control import ReportRow

_logger = logging.getLogger("tickseal.edge")

#: What is judged: so many frames, over so long at least, ns.
_FRAMES, _SPAN_NS = 10, 3_000_000_000
#: Fewer than this share of them opened is too few.
_SHARE = 0.8
#: A frame that came was reported before the gateway read a ping that left so long after it: reports
#: are made each second, and the rest is for a gateway that is busy.
_REPORTED_NS = 3_000_000_000
_MARK_NS, _MARKS = 250_000_000, 64


class _Stream:
    __slots__ = (
        "_marks", "_until", "generation", "opened", "opened_before", "reported", "since_ns",
        "until_before",
    )  # fmt: skip

    def __init__(self, generation: int, now_ns: int) -> None:
        self.generation = generation
        # As reported: 1 + the highest frame that came, and how many came.
        self.reported = self.opened = 0
        # Of these, what has been judged.
        self.until_before = self.opened_before = 0
        self.since_ns = now_ns
        # 1 + the highest frame that was sent, now and at moments of the last seconds.
        self._until = 0
        self._marks: deque[tuple[int, int]] = deque([(now_ns, 0)], _MARKS)

    def sent(self, number: int, now_ns: int) -> None:
        """Note a frame."""
        if now_ns - self._marks[-1][0] >= _MARK_NS:
            self._marks.append((now_ns, self._until))
        self._until = number + 1

    def until(self, asked_ns: int) -> int:
        """Return 1 + the highest frame of which it is known whether it came."""
        while len(self._marks) > 1 and asked_ns - self._marks[1][0] >= _REPORTED_NS:
            self._marks.popleft()
        at_ns, sent = self._marks[0]
        return max(self.reported, sent if asked_ns - at_ns >= _REPORTED_NS else 0)


class Ways:
    """What is known of UDP in this session.

    Attributes:
        lossy: streams whose frames go over the connection, since UDP lost too many.
    """

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}
        self.lossy: set[str] = set()

    def sent(self, stream_id: str, generation: int, number: int, now_ns: int) -> None:
        """Note a frame that was sent by UDP."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.generation != generation:
            stream = self._streams[stream_id] = _Stream(generation, now_ns)
        stream.sent(number, now_ns)

    def reported(self, rows: Iterable[ReportRow]) -> None:
        """Take in what the gateway has opened."""
        by_generation = {row.generation: row for row in rows}
        for stream in self._streams.values():
            if row := by_generation.get(stream.generation):
                stream.reported, stream.opened = row.frame_until, row.opened

    def answered(self, asked_ns: int) -> None:
        """Find the streams that lose too much, now that a ping was answered.

        Args:
            asked_ns: when the ping was sent, monotonic ns.
        """
        for stream_id, stream in self._streams.items():
            until = stream.until(asked_ns)
            sent = until - stream.until_before
            if stream_id in self.lossy or sent < _FRAMES or asked_ns - stream.since_ns < _SPAN_NS:
                continue
            opened = stream.opened - stream.opened_before
            if opened < sent * _SHARE:
                self.lossy.add(stream_id)
                _logger.warning(
                    "%s: UDP lost %d of %d frames; they go over the connection now",
                    stream_id,
                    sent - max(0, opened),
                    sent,
                )
            stream.until_before, stream.opened_before = until, stream.opened
            stream.since_ns = asked_ns

    def clear(self) -> None:
        """Start anew, with another session: the network may be another too."""
        self._streams.clear()
        self.lossy.clear()
