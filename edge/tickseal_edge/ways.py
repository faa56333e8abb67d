"""Ways: which frames go by UDP, and which over the connection, since UDP loses too many of them.

Datagrams are quicker and never wait for one another, but nothing slows them down where the network
is narrow, and a picture is lost with any of its many segments; some networks let none through.
"""

import logging
from collections import deque
from collections.abc import Iterable

from tickseal.control import ReportRow

_logger = logging.getLogger("tickseal.edge")

#: What is judged: so many frames sent, within so long at least, ns.
_FRAMES, _SPAN_NS = 10, 3_000_000_000
#: Fewer than this share of them opened is too few.
_SHARE = 0.8
#: A frame that came has been reported after so long: reports come each second, and need their way.
_REPORTED_NS = 2_000_000_000
_MARK_NS = 250_000_000


class _Stream:
    __slots__ = (
        "_marks", "generation", "opened", "opened_before", "sent", "sent_before", "since_ns",
    )  # fmt: skip

    def __init__(self, generation: int, now_ns: int) -> None:
        self.generation = generation
        self.sent = self.sent_before = 0
        self.opened = self.opened_before = 0
        self.since_ns = now_ns
        # How many had been sent at moments of the last seconds.
        self._marks: deque[tuple[int, int]] = deque([(now_ns, 0)])

    def count(self, now_ns: int) -> None:
        """Count a frame."""
        if now_ns - self._marks[-1][0] >= _MARK_NS:
            self._marks.append((now_ns, self.sent))
            self._forget(now_ns)
        self.sent += 1

    def due(self, now_ns: int) -> int:
        """Return how many frames have been reported by now, if they came."""
        self._forget(now_ns)
        at_ns, sent = self._marks[0]
        return sent if now_ns - at_ns >= _REPORTED_NS else 0

    def _forget(self, now_ns: int) -> None:
        while len(self._marks) > 1 and now_ns - self._marks[1][0] >= _REPORTED_NS:
            self._marks.popleft()


class Ways:
    """What is known of UDP in this session.

    Attributes:
        lossy: streams whose frames go over the connection, since UDP lost too many.
    """

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}
        self.lossy: set[str] = set()

    def sent(self, stream_id: str, generation: int, now_ns: int) -> None:
        """Count a frame that was sent by UDP."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.generation != generation:
            stream = self._streams[stream_id] = _Stream(generation, now_ns)
        stream.count(now_ns)

    def reported(self, rows: Iterable[ReportRow], now_ns: int) -> None:
        """Take in what the gateway has opened."""
        opened = {row.generation: row.opened for row in rows}
        for stream in self._streams.values():
            stream.opened = opened.get(stream.generation, stream.opened)
        self.judge(now_ns)

    def judge(self, now_ns: int) -> None:
        """Find the streams that lose too much; also where no report comes, as nothing arrives."""
        for stream_id, stream in self._streams.items():
            due = stream.due(now_ns)
            sent = due - stream.sent_before
            if stream_id in self.lossy or sent < _FRAMES or now_ns - stream.since_ns < _SPAN_NS:
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
            stream.sent_before, stream.opened_before = due, stream.opened
            stream.since_ns = now_ns

    def clear(self) -> None:
        """Start anew, with another session: the network may be another too."""
        self._streams.clear()
        self.lossy.clear()
