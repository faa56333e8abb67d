"""FrameAssembler: segments to frames, bounded (docs/protocol.md section 5.2)."""

from tickseal.core import constants
from tickseal.streams.allotment import Allotment
from tickseal.streams.opening import OpenedSegment
from tickseal.streams.parameters import StreamParameters

#: Implementation: incomplete frames of one generation at once; more than a link reorders.
_OPEN_FRAMES = 8


class _Partial:
    __slots__ = ("held_bytes", "highest", "last", "parts")

    def __init__(self) -> None:
        self.parts: dict[int, bytes] = {}
        self.held_bytes = 0
        # Highest segment index so far, and that of the segment with LAST; -1 before it.
        self.highest = -1
        self.last = -1


class FrameAssembler:
    """Collects the segments of one generation's frames; the oldest incomplete frame makes room.

    Args:
        allotment: shared with whatever else is held for the same peer; None for none.
    Attributes:
        incomplete: frames that were begun and dropped.
    """

    __slots__ = ("_allotment", "_bytes_most", "_held_bytes", "_partials", "incomplete")

    def __init__(self, parameters: StreamParameters, allotment: Allotment | None = None) -> None:
        self._allotment = allotment
        self._partials: dict[int, _Partial] = {}
        self._held_bytes = 0
        # One whole frame of the largest size must always fit beside the one being received.
        self._bytes_most = 2 * parameters.frame_bytes
        self.incomplete = 0

    @property
    def is_busy(self) -> bool:
        """Whether any frame is begun and not complete."""
        return bool(self._partials)

    def add(self, opened: OpenedSegment) -> bytes | None:
        """Return the whole frame's payload when this segment completes it, else None.

        Args:
            opened: a segment that FrameOpener opened; each comes once only.
        """
        number, index = opened.frame_number, opened.segment_index
        is_last = opened.flags & constants.FLAG_LAST
        partial = self._partials.get(number)
        if partial is None:
            if is_last and index == 0:
                return opened.payload
            partial = self._partials[number] = _Partial()
        has_two_ends = is_last and partial.last >= 0
        if is_last:
            partial.last = index
        partial.highest = max(partial.highest, index)
        if has_two_ends or 0 <= partial.last < partial.highest:
            self._drop(number)
            return None
        partial.parts[index] = opened.payload
        partial.held_bytes += len(opened.payload)
        self._held_bytes += len(opened.payload)
        if len(partial.parts) == partial.last + 1:
            self._remove(number)
            return b"".join(partial.parts[index] for index in range(partial.last + 1))
        while len(self._partials) > _OPEN_FRAMES or self._held_bytes > self._bytes_most:
            self._drop(min(self._partials))
        self._note()
        return None

    def give_up(self) -> None:
        """Drop every incomplete frame; for the allotment, which knows."""
        self.incomplete += len(self._partials)
        self._partials.clear()
        self._held_bytes = 0

    def clear(self) -> None:
        """Drop every incomplete frame: no more segments come."""
        self.give_up()
        self._note()

    def _note(self) -> None:
        if self._allotment is not None:
            self._allotment.note(self, self._held_bytes)

    def _remove(self, number: int) -> None:
        self._held_bytes -= self._partials.pop(number).held_bytes
        self._note()

    def _drop(self, number: int) -> None:
        self._remove(number)
        self.incomplete += 1
