"""LiveQueue: frames on their way to the link, where a slow link decides what goes first.

Sensors go before pictures, in their order; of pictures the newest go, and the older make room.
"""

import asyncio
from collections import Counter, deque
from dataclasses import dataclass

from tickseal_edge.streams.streams import SealedFrame

_SAMPLES_MOST = 1024
#: Pictures of one stream that wait before a newer one that needs none before it takes their place.
_PICTURES_KEPT = 2
#: Pictures that depend on those before them, before they are given up until the next key.
_PICTURES_MOST = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One frame that waits.

    Args:
        stream_id: whose it is.
        frame: as sealed.
        is_picture: it gives way to frames that are not.
        is_key: a picture that needs none before it.
        until_ns: monotonic ns after which the sink refuses it as late.
    """

    stream_id: str
    frame: SealedFrame
    is_picture: bool = False
    is_key: bool = True
    until_ns: int


class LiveQueue:
    """Frames that wait for one link, bounded.

    Attributes:
        dropped: frames given up, by reason.
    """

    def __init__(self) -> None:
        self._samples: deque[Waiting] = deque()
        self._pictures: dict[str, deque[Waiting]] = {}
        # Streams whose next pictures cannot be shown without one that was given up.
        self._broken: set[str] = set()
        self._arrived = asyncio.Event()
        self.dropped: Counter[str] = Counter()

    def __len__(self) -> int:
        """Return how many frames wait."""
        return len(self._samples) + sum(map(len, self._pictures.values()))

    def put(self, waiting: Waiting) -> None:
        """Queue a frame; another one may make room for it."""
        if waiting.is_picture:
            self._put_picture(waiting)
        else:
            if len(self._samples) >= _SAMPLES_MOST:
                self._samples.popleft()
                self.dropped["link_full"] += 1
            self._samples.append(waiting)
        self._arrived.set()

    async def take(self) -> Waiting:
        """Wait for a frame and return the one that goes next."""
        while not len(self):
            self._arrived.clear()
            await self._arrived.wait()
        if self._samples:
            return self._samples.popleft()
        stream_id = next(iter(self._pictures))
        pictures = self._pictures.pop(stream_id)
        waiting = pictures.popleft()
        if pictures:  # behind the other cameras
            self._pictures[stream_id] = pictures
        return waiting

    def count_late(self, waiting: Waiting) -> None:
        """Note that a taken frame was given up, since it would have come too late."""
        self.dropped["link_slow"] += 1
        if waiting.is_picture and self._depends(waiting.stream_id):
            self._give_up(waiting.stream_id)

    def clear(self) -> None:
        """Give up all that waits."""
        self.dropped["not_connected"] += len(self)
        self._samples.clear()
        self._pictures.clear()
        self._broken.clear()

    def _put_picture(self, waiting: Waiting) -> None:
        stream_id = waiting.stream_id
        if waiting.is_key:
            self._broken.discard(stream_id)
            if len(self._pictures.get(stream_id, ())) >= _PICTURES_KEPT:
                self._give_up(stream_id)
                self._broken.discard(stream_id)
        elif stream_id in self._broken:
            self.dropped["link_slow"] += 1
            return
        pictures = self._pictures.setdefault(stream_id, deque())
        if len(pictures) >= _PICTURES_MOST:
            self._give_up(stream_id)
            self.dropped["link_slow"] += 1
            return
        pictures.append(waiting)

    def _depends(self, stream_id: str) -> bool:
        pictures = self._pictures.get(stream_id)
        return not pictures or not pictures[0].is_key

    def _give_up(self, stream_id: str) -> None:
        """Drop what waits of a stream; nothing of it can be shown until its next key."""
        self.dropped["link_slow"] += len(self._pictures.pop(stream_id, ()))
        self._broken.add(stream_id)
