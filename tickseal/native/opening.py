"""NativeFrameOpener: `opening.FrameOpener` with its hot half in C."""

from collections import Counter
from collections.abc import Iterable

from tickseal.core import constants
from tickseal.native.hotpath import Opener
from tickseal.native.layout import layout, timing
from tickseal.streams.accepting import check_range
from tickseal.streams.generation import Generation
from tickseal.streams.opening import next_frame


class NativeFrameOpener(Opener):
    """Opens the segments of one generation; see `opening.FrameOpener`, which answers the same."""

    __slots__ = ()

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
            Counter(),
            next_frame(highest_frame),
            constants.SUITE_FORGERY_LIMIT[generation.parameters.suite],
            live,
        )

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
        check_range(from_tick, until_tick, constants.TICK_BITS[self.generation.parameters.profile])
        self._announce(from_tick, until_tick - from_tick)

    def renew(self, nodes: Iterable[tuple[int, int, bytes]]) -> None:
        """Hold the epochs of another grant of this generation; see `AcceptedTicks.renew`."""
        # First, so that an opener at work in another thread is left alone.
        self._hold(self.generation.walker)
        self.generation.renew(nodes)
        self._hold(self.generation.walker)

    def clear(self) -> None:
        """Erase the secrets; every segment is refused from now on."""
        self._wipe()
        self.generation.clear()

    def __repr__(self) -> str:
        return f"<FrameOpener of {self.generation!r}, highest frame {self.highest_frame}>"
