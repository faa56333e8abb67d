"""FrameKeys: any frame key that a generation still holds (docs/protocol.md sections 3 and 5.1)."""

from collections.abc import Iterable

from tickseal.core.keyschedule import frame_key_message
from tickseal.primitives import HashState, hmac_states
from tickseal.streams.generation import Generation

#: Implementation: prepared ticks kept for segments that come mixed; time moves on, so few suffice.
_TICKS_KEPT = 8


class FrameKeys:
    """Derives frame keys in any order, and erases what is behind.

    Deriving moves nothing but a bounded cache, so that a forged segment cannot harm a stream.

    Attributes:
        derived: frame keys derived so far.
        first_tick: first tick whose keys are held; those before it are erased, or never were held.
        end_tick: first tick beyond what the generation can ever derive.
    """

    __slots__ = ("_generation", "_ticks", "derived", "end_tick", "first_tick")

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        # HMAC under the epoch secret that has taken in the label and the tick, and its outer half.
        self._ticks: dict[int, tuple[HashState, HashState]] = {}
        self.derived = 0
        self.first_tick, self.end_tick = _span(generation)

    def derive(self, tick: int, frame: bytes) -> bytes:
        """Return the 32-byte frame key.

        Args:
            tick: first_tick <= tick < end_tick.
            frame: u64, the frame number or EVERY_FRAME_OF_INTERVAL.
        Raises:
            ExhaustedError, LocalProtocolError: the tick is not held.
        """
        inner, outer = self._ticks.get(tick) or self._prepare(tick)
        inner = inner.copy()
        inner.update(frame + b"\x01")
        outer = outer.copy()
        outer.update(inner.digest())
        self.derived += 1
        return outer.digest()

    def puncture(self, tick: int) -> None:
        """Erase the epochs wholly before a tick; with depth 0 there is nothing to erase."""
        if tick <= self.first_tick:
            return
        generation = self._generation
        epoch = generation.epoch(tick)
        generation.walker.puncture(epoch)
        self.first_tick = epoch << generation.parameters.epoch_bits
        self._drop_unheld()

    def renew(self, nodes: Iterable[tuple[int, int, bytes]]) -> None:
        """Hold the epochs of another grant of the generation; what was erased stays so.

        Args, Raises: as of Generation.renew().
        """
        self._generation.renew(nodes)
        self.first_tick, self.end_tick = _span(self._generation)
        self._drop_unheld()

    def clear(self) -> None:
        """Erase everything."""
        self._ticks.clear()
        self._generation.clear()
        self.first_tick = self.end_tick

    def __repr__(self) -> str:
        return f"<FrameKeys of {self._generation!r}>"

    def _drop_unheld(self) -> None:
        for tick in [kept for kept in self._ticks if not self.first_tick <= kept < self.end_tick]:
            del self._ticks[tick]

    def _prepare(self, tick: int) -> tuple[HashState, HashState]:
        states = hmac_states(self._generation.walker.secret(self._generation.epoch(tick)))
        states[0].update(frame_key_message(tick, 0)[:-9])
        if len(self._ticks) >= _TICKS_KEPT:
            del self._ticks[next(iter(self._ticks))]
        self._ticks[tick] = states
        return states


def _span(generation: Generation) -> tuple[int, int]:
    parameters, walker = generation.parameters, generation.walker
    if not parameters.depth:
        return 0, 1 << 64
    return (
        walker.start << parameters.epoch_bits,
        min(walker.end << parameters.epoch_bits, 1 << 64),
    )
