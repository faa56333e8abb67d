"""NativeFrameOpener: `opening.FrameOpener` with its hot half in C."""

from collections import Counter
from typing import Final

from tickseal.accepting import AcceptedTicks
from tickseal.core import constants, errors
from tickseal.generation import Generation
from tickseal.native.hotpath import Opener
from tickseal.native.layout import layout
from tickseal.opening import REFUSED, OpenedSegment, next_frame

_U64: Final = (1 << 64) - 1
_FAR: Final = 1 << 62
_BEYOND: Final = {reason: errors.REASONS.index(reason) for reason in (errors.EARLY, errors.LATE)}


def _near(ticks: int) -> int:
    """Bound a difference, beyond what a header can tell apart, to what fits in 64 bits."""
    return max(-_FAR, min(ticks, _FAR))


class NativeFrameOpener(Opener, AcceptedTicks):
    """Opens the segments of one generation; see `opening.FrameOpener`, which answers the same."""

    __slots__ = (
        "_beyond", "_generation", "_keys", "_live", "_lower", "_now", "_span", "_steady",
        "_tick_base", "_tick_bits", "_tick_count", "_tick_mask", "_upper", "_window",
    )  # fmt: skip

    def __new__(
        cls, generation: Generation, *, live: bool = True, highest_frame: int = -1
    ) -> "NativeFrameOpener":
        """Make the native half."""
        return super().__new__(  # type: ignore[return-value]
            cls,
            layout(generation),
            OpenedSegment,
            tuple(REFUSED.values()),
            Counter(),
            next_frame(highest_frame),
            constants.SUITE_FORGERY_LIMIT[generation.parameters.suite],
        )

    def __init__(
        self, generation: Generation, *, live: bool = True, highest_frame: int = -1
    ) -> None:
        self._begin_ticks(generation, live=live)
        self._tick_count = generation.parameters.tick_count
        self._narrow()

    @property
    def highest_frame(self) -> int:
        """Highest frame number that has authenticated; -1 before the first."""
        return self._next_frame - 1

    @property
    def highest_tick(self) -> int:
        """Highest tick that has authenticated; -1 before the first."""
        return self._highest_tick if self.opened else -1

    def clear(self) -> None:
        """Erase the secrets; every segment is refused from now on."""
        self._keys.clear()
        self._narrow()

    def _narrow(self) -> None:
        # What opener.c calls Ticks; the window and what is held, it looks at one after the other.
        base, keys = self._tick_base, self._keys
        lower, upper = self._window
        self._set_ticks(
            base & _U64,
            lower - base,
            upper - base,
            _near(keys.first_tick - base),
            _near(keys.end_tick - base),
            _near(self._tick_count - base),
            _BEYOND[self._beyond],
            *((keys.first_tick, keys.end_tick - 1) if keys.first_tick < keys.end_tick else (1, 0)),
        )

    def _epoch_secret(self, tick: int) -> bytes:
        return self._generation.walker.secret(self._generation.epoch(tick))
