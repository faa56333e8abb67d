"""Spool: sealed frames that wait for the gateway; bounded, the oldest make room and are counted."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from tickseal.generation import Generation
from tickseal_edge.streams import SealedFrame


@dataclass(slots=True)
class SpooledGeneration:
    """One offline generation and its frames.

    Attributes:
        number, handle: of the generation.
        blob: the generation, sealed to the gateway.
        frames: in order; whoever holds them cannot open them.
        is_complete: nothing more is sealed in it.
    """

    number: int
    handle: int
    blob: bytes
    frames: deque[SealedFrame] = field(default_factory=deque)
    is_complete: bool = False


class Spool:
    """Frames of offline generations, in the order of sealing.

    Args:
        most_bytes: what it holds at most.
    Attributes:
        held_bytes: what it holds.
        dropped_frames: frames that made room.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._generations: dict[int, SpooledGeneration] = {}
        self.held_bytes = 0
        self.dropped_frames = 0

    def begin(self, generation: Generation, blob: bytes) -> None:
        """Take in a new offline generation."""
        self._generations[generation.number] = SpooledGeneration(
            generation.number, generation.handle, blob
        )

    def append(self, frame: SealedFrame) -> None:
        """Keep a frame of a generation that was begun."""
        self._generations[frame.generation].frames.append(frame)
        self.held_bytes += _size(frame)
        while self.held_bytes > self._most_bytes:
            oldest = next(spooled for spooled in self._generations.values() if spooled.frames)
            self.held_bytes -= _size(oldest.frames.popleft())
            self.dropped_frames += 1

    def complete(self, number: int) -> None:
        """Note that nothing more is sealed in a generation."""
        if number in self._generations:
            self._generations[number].is_complete = True

    def all(self) -> list[SpooledGeneration]:
        """Return every generation held, the oldest first."""
        return list(self._generations.values())

    def generations(self) -> Iterator[SpooledGeneration]:
        """Return the generations that are complete, the oldest first."""
        return iter([one for one in self._generations.values() if one.is_complete])

    def numbers(self) -> list[int]:
        """Return the numbers of all generations held, so that a new one differs in its low bits."""
        return list(self._generations)

    def stored_until(self, number: int, frame_until: int) -> None:
        """Delete the frames below frame_until: the gateway has them on its disk."""
        spooled = self._generations.get(number)
        while spooled and spooled.frames and spooled.frames[0].number < frame_until:
            self.held_bytes -= _size(spooled.frames.popleft())

    def remove(self, number: int) -> int:
        """Delete a generation; return how many frames were lost with it."""
        spooled = self._generations.pop(number, None)
        if not spooled:
            return 0
        self.held_bytes -= sum(map(_size, spooled.frames))
        return len(spooled.frames)


def _size(frame: SealedFrame) -> int:
    return sum(map(len, frame.segments))
