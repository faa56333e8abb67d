"""FrameKeys: any frame key that a generation still holds, from prepared states (sections 3 and 5.1)."""

from tickseal.core.keyschedule import frame_key_message
from tickseal.generation import Generation
from tickseal.primitives import HashState, hmac_states

#: Implementation: prepared epochs kept for segments that come mixed; a few suffice, since time moves on.
_EPOCHS_KEPT = 8


class FrameKeys:
    """Derives frame keys in any order, and erases what is behind.

    Deriving moves nothing but a bounded cache, so that a forged segment cannot harm a stream.

    Attributes:
        derived: frame keys derived so far.
        first_tick: first tick whose keys are held; those before it are erased, or were never granted.
        end_tick: first tick beyond what the generation can ever derive.
    """

    __slots__ = (
        "_epochs", "_generation", "_message", "_tick", "derived", "end_tick", "first_tick",
    )  # fmt: skip

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._epochs: dict[int, tuple[HashState, HashState]] = {}
        self._tick = -1
        self._message = b""
        self.derived = 0
        parameters = generation.parameters
        walker = generation.walker
        if parameters.depth:
            self.first_tick = walker.start << parameters.epoch_bits
            self.end_tick = min(walker.end << parameters.epoch_bits, 1 << 64)
        else:
            self.first_tick, self.end_tick = 0, 1 << 64

    def derive(self, tick: int, frame: int) -> bytes:
        """Return the 32-byte frame key.

        Args:
            tick: first_tick <= tick < end_tick.
            frame: the frame number, or EVERY_FRAME_OF_INTERVAL.
        Raises:
            ExhaustedError, LocalProtocolError: the tick is not held.
        """
        epoch = self._generation.epoch(tick)
        states = self._epochs.get(epoch)
        if states is None:
            states = self._prepare(epoch)
        if tick != self._tick:
            self._message = frame_key_message(tick, 0)[:-9]
            self._tick = tick
        inner, outer = states[0].copy(), states[1].copy()
        inner.update(self._message + frame.to_bytes(8, "big") + b"\x01")
        outer.update(inner.digest())
        self.derived += 1
        return outer.digest()

    def puncture(self, tick: int) -> None:
        """Erase the epochs that lie wholly before a tick; with depth 0 there is nothing to erase."""
        if tick <= self.first_tick or not self._generation.parameters.depth:
            return
        epoch = self._generation.epoch(tick)
        self._generation.walker.puncture(epoch)
        self.first_tick = epoch << self._generation.parameters.epoch_bits
        for behind in [e for e in self._epochs if e < epoch]:
            del self._epochs[behind]

    def clear(self) -> None:
        """Erase everything."""
        self._epochs.clear()
        self._generation.clear()
        self.first_tick = self.end_tick

    def __repr__(self) -> str:
        return f"<FrameKeys of {self._generation!r}>"

    def _prepare(self, epoch: int) -> tuple[HashState, HashState]:
        states = hmac_states(self._generation.walker.secret(epoch))
        if len(self._epochs) >= _EPOCHS_KEPT:
            del self._epochs[next(iter(self._epochs))]
        self._epochs[epoch] = states
        return states


