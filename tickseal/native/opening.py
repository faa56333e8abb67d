"""NativeFrameOpener: `opening.FrameOpener` with its hot half in C."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from tickseal.accepting import Interval, check_range, window_at
from tickseal.core import constants
from tickseal.generation import Generation
from tickseal.native.hotpath import Opener
from tickseal.native.layout import layout, timing
from tickseal.opening import REFUSED, Frame, OpenedSegment, next_frame

_U64: Final = (1 << 64) - 1


class NativeFrameOpener(Opener):
    """Opens the segments of one generation; see `opening.FrameOpener`, which answers the same."""

    __slots__ = ("_generation",)

    def __new__(
        cls, generation: Generation, *, live: bool = True, highest_frame: int = -1
    ) -> "NativeFrameOpener":
        """Make the native half."""
        return super().__new__(  # type: ignore[return-value]
            cls,
            layout(generation),
            timing(generation.parameters),
            generation.walker,
            generation,
            OpenedSegment,
            Frame,
            tuple(REFUSED.values()),
            Counter(),
            next_frame(highest_frame),
            constants.SUITE_FORGERY_LIMIT[generation.parameters.suite],
            live,
        )

    def __init__(
        self, generation: Generation, *, live: bool = True, highest_frame: int = -1
    ) -> None:
        self._generation = generation

    @property
    def generation(self) -> Generation:
        """The generation that this opener opens."""
        return self._generation

    @property
    def highest_frame(self) -> int:
        """Highest frame number that has authenticated; -1 before the first."""
        return self._next_frame - 1

    @property
    def highest_tick(self) -> int:
        """Highest tick that has authenticated; -1 before the first."""
        return self._highest_tick if self.opened else -1

    def announce(self, from_tick: int, until_tick: int) -> None:
        """Accept the ticks [from, until) from now on; see `AcceptedTicks.announce`."""
        check_range(from_tick, until_tick, constants.TICK_BITS[self._generation.parameters.profile])
        epoch = min(self._generation.epoch(from_tick), _U64)
        self._accept_from(from_tick, 0, until_tick - from_tick - 1, epoch, is_live=False)

    def renew(self, nodes: Iterable[tuple[int, int, bytes]]) -> None:
        """Hold the epochs of another grant of this generation; see `AcceptedTicks.renew`."""
        # First, so that an opener at work in another thread is left alone.
        self._hold(self._generation.walker)
        self._generation.renew(nodes)
        self._hold(self._generation.walker)

    def clear(self) -> None:
        """Erase the secrets; every segment is refused from now on."""
        self._wipe()
        self._generation.clear()

    def __repr__(self) -> str:
        return f"<FrameOpener of {self._generation!r}, highest frame {self.highest_frame}>"

    def _accept_from(self, base: int, lower: int, upper: int, epoch: int, *, is_live: bool) -> None:
        """Accept the ticks base + lower to base + upper; erase what lies before an epoch."""
        sign = -1 if base < 0 else base >> 64 and 1
        self._accept(base & _U64, sign, lower, upper, epoch, is_live)

    def _set_far_window(self, now: Interval) -> None:
        """Make the window of a reading that opener.c leaves alone: beyond the year 2100."""
        lower, upper, base = window_at(now, self._generation.parameters)
        self._accept_from(base, lower - base, upper - base, 0, is_live=True)
