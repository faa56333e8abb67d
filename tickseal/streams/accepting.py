"""AcceptedTicks: which ticks an opener accepts, and why no others (docs/protocol.md section 5)."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from tickseal.core import constants, errors
from tickseal.core.errors import LocalProtocolError
from tickseal.core.ticks import tick_base, tick_window
from tickseal.streams.framekeys import FrameKeys
from tickseal.streams.generation import Generation
from tickseal.streams.parameters import StreamParameters


class Interval(Protocol):
    """What is asked of a clock reading, such as `tickseal.clock.ClockInterval`: bounds of now."""

    @property
    def earliest_ns(self) -> int:
        """Now is not before this instant, ns TAI, u64."""
        ...

    @property
    def latest_ns(self) -> int:
        """Now is not after this instant, ns TAI, u64."""
        ...


def check_range(from_tick: int, until_tick: int, bits: int) -> None:
    """Raise LocalProtocolError where there is no such backfill range (section 4)."""
    widest = 1 << (bits - 1)
    if not 0 <= from_tick < until_tick <= min(from_tick + widest, 1 << 64):
        raise LocalProtocolError(
            f"a backfill range has 1 to {widest} ticks below 2^64, not {from_tick} to {until_tick}"
        )


def window_at(now: Interval, parameters: StreamParameters) -> tuple[int, int, int]:
    """Return (lower, upper, base): the ticks accepted now, and from where they are rebuilt."""
    bits = constants.TICK_BITS[parameters.profile]
    lower, upper = tick_window(
        now.earliest_ns,
        now.latest_ns,
        t0_ns=parameters.t0_ns,
        interval_ns=parameters.interval_ns,
        past_ns=parameters.past_ns,
        skew_ns=parameters.skew_ns,
        bits=bits,
    )
    # Before t0 every candidate lies above the window.
    return lower, upper, tick_base(lower, upper, bits) if upper >= 0 else 0


class AcceptedTicks:
    """The rare half of an opener: the window, announced ranges, and erasure."""

    if not TYPE_CHECKING:  # which would look for the slots of all that follows here
        __slots__ = ()

    _generation: Generation
    _keys: FrameKeys
    _live: bool
    _span: int
    _now: Interval | None
    _window: tuple[int, int]
    _steady: tuple[int, int, int]
    _lower: int
    _upper: int
    _tick_bits: int
    _tick_mask: int
    _tick_base: int
    _beyond: str
    _forgeries_left: int

    @property
    def generation(self) -> Generation:
        """The generation that this opener opens."""
        return self._generation

    @property
    def is_live(self) -> bool:
        """Whether segments of now are accepted; false for good once a range was announced."""
        return self._live

    def announce(self, from_tick: int, until_tick: int) -> None:
        """Accept the ticks [from, until), which the source announced over the control channel.

        Replaces the range announced before, and ends the live window for good: what is backfilled
        is not live. What lies before from_tick is erased.

        Raises:
            LocalProtocolError: the range is empty or wider than the header can tell apart.
        """
        check_range(from_tick, until_tick, self._tick_bits)
        self._live = False
        self._window = (from_tick, until_tick - 1)
        self._tick_base = from_tick
        self._beyond = errors.LATE
        self._puncture(from_tick)

    def renew(self, nodes: Iterable[tuple[int, int, bytes]]) -> None:
        """Hold the epochs of another grant of this generation from now on (section 9.2).

        Args, Raises: as of Generation.renew().
        """
        self._keys.renew(nodes)
        self._drop_unheld()

    @property
    def highest_frame(self) -> int:
        """Highest frame number that has authenticated; -1 before the first."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<FrameOpener of {self._generation!r}, highest frame {self.highest_frame}>"

    def _begin_ticks(self, generation: Generation, *, live: bool) -> None:
        parameters = generation.parameters
        self._generation = generation
        self._keys = FrameKeys(generation)
        self._live = live
        self._span = parameters.window_ticks
        self._now = None
        # The ticks that are accepted, and the span of them whose keys are held.
        self._window = (0, -1)
        self._lower, self._upper = self._window
        # From which earliest and latest on, and for how long, readings have this same window.
        self._steady = (0, 0, 0)
        self._tick_bits = constants.TICK_BITS[parameters.profile]
        self._tick_mask = (1 << self._tick_bits) - 1
        self._tick_base = 0
        # Why a tick above the window is refused: backfill has no future.
        self._beyond = errors.EARLY

    def _why_not(self, tick: int) -> str:
        """Return why a tick outside of [_lower, _upper] is refused."""
        lower, upper = self._window
        if tick > upper:
            return self._beyond
        keys = self._keys
        is_held = keys.first_tick <= tick < keys.end_tick
        if tick < lower or (not is_held and tick < self._generation.parameters.tick_count):
            return errors.LATE
        return errors.EXHAUSTED

    def _set_window(self, now: Interval) -> None:
        self._now = now
        if not self._live:
            return
        # A reading comes with each batch of segments, another window with each tick only.
        earliest_ns, latest_ns, lasts_ns = self._steady
        if (
            0 <= now.earliest_ns - earliest_ns < lasts_ns
            and 0 <= now.latest_ns - latest_ns < lasts_ns
        ):
            return
        parameters = self._generation.parameters
        lower, upper, self._tick_base = window_at(now, parameters)
        self._window = lower, upper
        interval_ns = parameters.interval_ns
        self._steady = (
            now.earliest_ns
            - (now.earliest_ns - parameters.past_ns - parameters.t0_ns) % interval_ns,
            now.latest_ns - (now.latest_ns + parameters.skew_ns - parameters.t0_ns) % interval_ns,
            interval_ns,
        )
        self._narrow()

    def _narrow(self) -> None:
        self._lower = max(self._window[0], self._keys.first_tick)
        self._upper = min(self._window[1], self._keys.end_tick - 1) if self._forgeries_left else -1

    def _move_to(self, tick: int) -> None:
        """Leave behind what a new highest tick puts out of reach."""
        if self._live:
            self._puncture(tick - self._span)

    def _puncture(self, tick: int) -> None:
        self._keys.puncture(tick)
        self._drop_unheld()

    def _drop_unheld(self) -> None:
        """Forget what was derived for ticks whose keys are held no more."""
        self._narrow()
