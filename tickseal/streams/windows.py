"""The replay window: which segments of which frames were opened (docs/protocol.md section 5.1)."""

from tickseal.core import constants, errors

_FRAMES = constants.REPLAY_WINDOW_FRAMES


class ReplayWindow:
    """Remembers the segments opened of the last 1024 frames.

    A ring indexed by the frame number, never shifted (RFC 6479). A place holds the number of its
    frame beside the set of segment indices, so that moving on never has to clear what was skipped.

    Args:
        highest: the frames up to here are behind, though they were not opened here; -1 for none.

    Attributes:
        highest: highest frame number committed.
    """

    __slots__ = ("_numbers", "_oldest", "_segments", "highest")

    def __init__(self, highest: int = -1) -> None:
        self._oldest = highest + 1
        self._numbers = [-1] * _FRAMES
        self._segments = [0] * _FRAMES
        self.highest = highest

    def check(self, frame_number: int, segment_index: int) -> str | None:
        """Return None if this segment is new, else REPLAYED or STALE. Changes nothing."""
        if frame_number < self._oldest:
            return errors.STALE
        place = frame_number % _FRAMES
        if self._numbers[place] == frame_number and self._segments[place] >> segment_index & 1:
            return errors.REPLAYED
        return None

    def commit(self, frame_number: int, segment_index: int) -> None:
        """Remember a segment that check() let pass and that has authenticated."""
        place = frame_number % _FRAMES
        if self._numbers[place] == frame_number:
            self._segments[place] |= 1 << segment_index
            return
        self._numbers[place] = frame_number
        self._segments[place] = 1 << segment_index
        self.highest = max(self.highest, frame_number)
        self._oldest = max(self._oldest, frame_number - _FRAMES + 1)
