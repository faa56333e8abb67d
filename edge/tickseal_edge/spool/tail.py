"""Tail: the last frames of a live generation, until the gateway has reported that they came.

When the network goes, the device notices it seconds later. What it has sent into the void meanwhile
is sent again afterwards, as a backfill of the same generation, if the gateway still holds it.
"""

from collections import deque

from tickseal_edge.streams.streams import SealedFrame

#: The silence after which a gateway is gone (10 s), the reports' pace, and some.
_KEPT_NS = 15_000_000_000
_KEPT_BYTES = 256 << 10


class Tail:
    """Frames of one generation, bounded in time and bytes; the oldest are given up."""

    def __init__(self) -> None:
        self._frames: deque[tuple[int, int, SealedFrame]] = deque()
        self._bytes = 0

    def add(self, frame: SealedFrame, monotonic_ns: int) -> None:
        """Keep a frame that was handed to the link."""
        if self._frames and self._frames[-1][2].generation != frame.generation:
            self.clear()
        size = sum(map(len, frame.segments))
        self._frames.append((monotonic_ns, size, frame))
        self._bytes += size
        while self._bytes > _KEPT_BYTES or monotonic_ns - self._frames[0][0] > _KEPT_NS:
            self._pop()

    def reported(self, generation: int, frame_until: int) -> None:
        """Give up the frames of a generation below the highest that the gateway has opened."""
        while self._frames:
            frame = self._frames[0][2]
            if frame.generation != generation or frame.number >= frame_until:
                return
            self._pop()

    def take(self) -> list[SealedFrame]:
        """Return all frames, and keep none."""
        frames = [frame for _, _, frame in self._frames]
        self.clear()
        return frames

    def clear(self) -> None:
        """Give all up."""
        self._frames.clear()
        self._bytes = 0

    def _pop(self) -> None:
        self._bytes -= self._frames.popleft()[1]
