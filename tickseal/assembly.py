"""FrameAssembler: segments to frames, bounded (docs/protocol.md section 5.2)."""

from tickseal.core import constants
from tickseal.opening import OpenedSegment
from tickseal.parameters import StreamParameters

#: Implementation: frames of one generation that may be incomplete at once; more than a link reorders.
_OPEN_FRAMES = 8


class _Partial:
    __slots__ = ("held_bytes", "last", "parts")

    def __init__(self) -> None:
        self.parts: dict[int, bytes] = {}
        self.last = -1
        self.held_bytes = 0


class FrameAssembler:
    """Collects the segments of one generation's frames; the oldest incomplete frame makes room.

    Attributes:
        incomplete: frames that were begun and dropped.
    """

    __slots__ = ("_bytes_most", "_held_bytes", "_partials", "incomplete")

    def __init__(self, parameters: StreamParameters) -> None:
        self._partials: dict[int, _Partial] = {}
        self._held_bytes = 0
        # One whole frame of the largest size must always fit beside the one that is being received.
        self._bytes_most = 2 * parameters.frame_bytes
        self.incomplete = 0

    def add(self, opened: OpenedSegment) -> bytes | None:
        """Return the whole frame's payload when this segment completes it, else None.

        Args:
            opened: a segment that FrameOpener opened; each comes once only.
        """
        is_last = opened.flags & constants.FLAG_LAST
        if is_last and opened.segment_index == 0:
            return opened.payload
        number = opened.frame_number
        partial = self._partials.get(number)
        if partial is None:
            partial = self._partials[number] = _Partial()
        if is_last:
            if partial.last >= 0:
                self._drop(number)
                return None
            partial.last = opened.segment_index
        if partial.last >= 0 and max(opened.segment_index, *partial.parts, 0) > partial.last:
            self._drop(number)
            return None
        partial.parts[opened.segment_index] = opened.payload
        partial.held_bytes += len(opened.payload)
        self._held_bytes += len(opened.payload)
        if partial.last >= 0 and len(partial.parts) == partial.last + 1:
            self._remove(number)
            return b"".join(partial.parts[index] for index in range(partial.last + 1))
        while len(self._partials) > _OPEN_FRAMES or self._held_bytes > self._bytes_most:
            self._drop(min(self._partials))
        return None

    def _remove(self, number: int) -> None:
        self._held_bytes -= self._partials.pop(number).held_bytes

    def _drop(self, number: int) -> None:
        self._remove(number)
        self.incomplete += 1
