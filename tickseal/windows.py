"""The replay window: which segments of which frames were opened before (docs/protocol.md section 5.1)."""

from tickseal.core import constants, errors

_FRAMES = constants.REPLAY_WINDOW_FRAMES


class ReplayWindow:
    """Remembers the segments opened of the last 1024 frames.

    A ring indexed by the frame number, never shifted (RFC 6479), but with a set of segment indices in each
    place instead of one bit.

    Attributes:
        highest: highest frame number committed; -1 before the first.
    """

    __slots__ = ("_seen", "highest")

    def __init__(self) -> None:
        self.highest = -1
        self._seen = [0] * _FRAMES

    def check(self, frame_number: int, segment_index: int) -> str | None:
        """Return None if this segment is new, else the reason REPLAYED or STALE. Changes nothing."""
        if frame_number > self.highest:
            return None
        if frame_number <= self.highest - _FRAMES:
            return errors.STALE
        if self._seen[frame_number % _FRAMES] >> segment_index & 1:
            return errors.REPLAYED
        return None

    def commit(self, frame_number: int, segment_index: int) -> None:
        """Remember a segment that check() let pass and that has authenticated."""
        seen = self._seen
        ahead = frame_number - self.highest
        if ahead > 0:
            if ahead >= _FRAMES:
                self._seen = seen = [0] * _FRAMES
            elif ahead > 1:
                for skipped in range(self.highest + 1, frame_number):
                    seen[skipped % _FRAMES] = 0
            self.highest = frame_number
            seen[frame_number % _FRAMES] = 1 << segment_index
        else:
            seen[frame_number % _FRAMES] |= 1 << segment_index
