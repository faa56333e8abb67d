"""Footage: the newest pictures of one stream, from one on that stands by itself."""

from collections.abc import Iterable

from tickseal.core import constants
from tickseal_gateway.frames.readings import Picture

#: What is kept of a video between two key pictures; longer ones are seen from the next key on.
_PICTURES_MOST, _BYTES_MOST = 600, 8 << 20


class Footage:
    """What somebody who begins to watch needs.

    Attributes:
        newest: the newest picture.
    """

    __slots__ = ("_bytes", "_since_key", "newest")

    def __init__(self) -> None:
        self.newest: Picture | None = None
        self._since_key: list[Picture] = []
        self._bytes = 0

    @property
    def held_bytes(self) -> int:
        """Bytes of the pictures that are kept."""
        if self._since_key or self.newest is None:
            return self._bytes
        return len(self.newest.picture.data)

    def give_up(self) -> None:
        """Keep nothing: its device has more than it may."""
        self.newest = None
        self._since_key.clear()
        self._bytes = 0

    def add(self, pictures: Iterable[Picture]) -> None:
        """Take pictures in, in their order; late ones of an outage are no news."""
        for picture in pictures:
            content, newest = picture.picture, self.newest
            is_late = picture.flags & constants.FLAG_BACKFILL
            if is_late and newest is not None and content.time_ns < newest.picture.time_ns:
                continue
            self.newest = picture
            if content.is_key:
                self._since_key.clear()
                self._bytes = 0
            elif not self._since_key:
                continue
            elif self._bytes > _BYTES_MOST or len(self._since_key) >= _PICTURES_MOST:
                self._since_key.clear()
                self._bytes = 0
                continue
            self._since_key.append(picture)
            self._bytes += len(content.data)

    def after(self, last: Picture | None) -> list[Picture]:
        """Return the pictures that follow one, or else all from the last key picture on."""
        pictures = self._since_key.copy()
        for place in range(len(pictures) - 1, -1, -1):
            if pictures[place] is last:
                return pictures[place + 1 :]
        return pictures
