"""Clock readings as intervals, and what a source makes of them (protocol sections 4 and 7.5).

Nothing here reads a clock: `tickseal.host` does.
"""

import enum
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from tickseal.core.errors import ClockError, LocalProtocolError
from tickseal.core.ticks import tick_at

_MILLION = 1_000_000
_SECOND = 1_000_000_000
_U64_MAX = (1 << 64) - 1

# --- Specification (section 4) ---
#: A forward jump beyond this is not followed on a live generation, ns.
JUMP_LIMIT_NS = 60 * _SECOND

# --- Implementation ---
#: How far a plain crystal runs off while nothing steers it, parts per million.
CRYSTAL_PPM = 50
#: What honest clocks may run apart, so that months of drift are never taken for a jump: twice the
#: most by which the kernel steers (500 ppm).
_STEERING_PPM = 1000
#: Half a minute of pings at one in 2 s.
_SAMPLES = 16


class ClockDiscipline(enum.Enum):
    """What steers a clock; the values are the words on the wire."""

    #: IEEE 1588, from a hardware or software clock.
    PTP = "ptp"
    #: Pulse per second, from a GPS receiver.
    PPS = "pps"
    #: An NTP daemon that told its own error bound.
    NTP = "ntp"
    #: The kernel says that something steers it, with its own error bound.
    KERNEL = "kernel"
    #: The gateway, over the authenticated control channel.
    GATEWAY = "gateway"
    #: Nothing any more; the interval widens.
    HOLDOVER = "holdover"
    #: Nothing ever; the interval is a guess.
    NONE = "none"


_STEERED = frozenset(ClockDiscipline) - {ClockDiscipline.HOLDOVER, ClockDiscipline.NONE}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockInterval:
    """A clock reading: now lies within [earliest_ns, latest_ns].

    Args:
        earliest_ns, latest_ns: bounds of now, ns TAI since 1970-01-01T00:00:00 TAI, u64.
        discipline: what steers the clock.
    Raises:
        LocalProtocolError: the bounds are out of order or range.
    """

    earliest_ns: int
    latest_ns: int
    discipline: ClockDiscipline = ClockDiscipline.NONE

    def __post_init__(self) -> None:
        """Check the bounds, so that an invalid interval cannot exist."""
        if not 0 <= self.earliest_ns <= self.latest_ns <= _U64_MAX:
            raise LocalProtocolError(
                f"a clock interval needs 0 <= earliest <= latest < 2^64 ns, "
                f"not [{self.earliest_ns}, {self.latest_ns}]"
            )

    @classmethod
    def around(
        cls, midpoint_ns: int, uncertainty_ns: int, discipline: ClockDiscipline
    ) -> "ClockInterval":
        """Return midpoint +/- uncertainty, both ns, cut off at the limits of u64."""
        earliest = midpoint_ns - uncertainty_ns
        latest = midpoint_ns + uncertainty_ns
        if earliest < 0 or latest > _U64_MAX:
            earliest = min(max(earliest, 0), _U64_MAX)
            latest = min(max(latest, 0), _U64_MAX)
        # The bounds are in order by now, and a frozen class's own way takes twice as long.
        made = object.__new__(cls)
        _set_earliest(made, earliest)
        _set_latest(made, latest)
        _set_discipline(made, discipline)
        return made

    @property
    def midpoint_ns(self) -> int:
        """The best guess of now, ns TAI."""
        return (self.earliest_ns + self.latest_ns) // 2

    @property
    def uncertainty_ns(self) -> int:
        """Half the width, ns, rounded up."""
        return (self.latest_ns - self.earliest_ns + 1) // 2

    @property
    def is_synchronised(self) -> bool:
        """Whether something steers the clock now; false sets HOLDOVER in segment headers."""
        return self.discipline in _STEERED


_set_earliest, _set_latest, _set_discipline = (
    getattr(ClockInterval, name).__set__ for name in ("earliest_ns", "latest_ns", "discipline")
)


class Clock(Protocol):
    """Anything that tells the time."""

    def now(self) -> ClockInterval:
        """Return a reading; it never blocks and never raises."""
        ...


class ClockJumpError(ClockError):
    """The clock jumped forward: ask for a new generation before sealing on (section 4).

    Attributes:
        jump_ns: how far the clock ran ahead of the monotonic clock, ns.
    """

    def __init__(self, jump_ns: int) -> None:
        super().__init__(
            f"the clock jumped forward by {jump_ns / _SECOND:.1f} s beyond what the monotonic "
            "clock saw pass; the stream must be opened again with the gateway's agreement"
        )
        self.jump_ns = jump_ns


class BeforeStartError(ClockError):
    """The generation's first tick has not begun by this clock.

    Attributes:
        wait_ns: how long until it does, ns.
    """

    def __init__(self, wait_ns: int) -> None:
        super().__init__(
            f"the clock is {wait_ns / _SECOND:.3f} s before the stream's first tick; wait, and if "
            "that is long, let the clock synchronise"
        )
        self.wait_ns = wait_ns


class TickCounter:
    """Ticks of one generation for sealing: never back, and never far ahead on a clock's word alone.

    Make a new one for each generation: opening it is the gateway's agreement with the clock.

    Args:
        t0_ns: start of tick 0, ns TAI.
        interval_ns: length of a tick, ns.
        jump_limit_ns: forward jump that is still followed, ns.
    Attributes:
        last: the last tick given, -1 before the first.
        coasted: readings that lay in an earlier tick than the last, which was then given again.
    """

    __slots__ = ("_floor", "_interval", "_limit", "_seen", "_t0", "coasted", "last")

    def __init__(self, *, t0_ns: int, interval_ns: int, jump_limit_ns: int = JUMP_LIMIT_NS) -> None:
        self._t0 = t0_ns
        self._interval = interval_ns
        self._limit = jump_limit_ns
        # The least lead of the clock over the monotonic one, and when (monotonic) that was.
        self._floor: int | None = None
        self._seen = 0
        self.last = -1
        self.coasted = 0

    def next(self, now: ClockInterval, monotonic_ns: int) -> int:
        """Return the tick to seal with.

        Jumps are measured from the least lead over the monotonic clock that was seen, so that
        neither one large step nor many small ones get past the limit.

        Args:
            now: a reading of the clock.
            monotonic_ns: taken with it, from a clock that counts sleep too (CLOCK_BOOTTIME), ns.
        Raises:
            ClockJumpError: the clock jumped too far ahead. Nothing changed: once it is back,
                so are ticks.
            BeforeStartError: the clock is before t0.
        """
        midpoint = now.midpoint_ns
        lead = midpoint - monotonic_ns
        floor = lead
        if self._floor is not None:
            drift = max(0, monotonic_ns - self._seen) * _STEERING_PPM // _MILLION
            floor = min(lead, self._floor + drift)
        if lead - floor > self._limit:
            raise ClockJumpError(lead - floor)
        if midpoint < self._t0 and self.last < 0:
            raise BeforeStartError(self._t0 - midpoint)
        tick = tick_at(max(midpoint, self._t0), self._t0, self._interval)
        self._floor = floor
        self._seen = monotonic_ns
        if tick < self.last:
            self.coasted += 1
        else:
            self.last = tick
        return self.last


class ClockAction(enum.Enum):
    """What to do while the clock cannot be trusted."""

    #: Seal on, with HOLDOVER set.
    FLAG = "flag"
    #: Seal nothing until it can be trusted again.
    HOLD = "hold"
    #: Close the stream.
    STOP = "stop"


class ClockVerdict(enum.Enum):
    """What a source does with the frame at hand."""

    #: Seal it.
    SEAL = "seal"
    #: Seal it with HOLDOVER set.
    FLAG = "flag"
    #: Do not seal now.
    HOLD = "hold"
    #: Close the stream.
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockPolicy:
    """What a source does when its clock is too uncertain or at odds with the gateway's.

    Args:
        action: what then.
        widest_ns: the widest uncertainty (half width) allowed, ns.
    """

    action: ClockAction = ClockAction.FLAG
    widest_ns: int = _SECOND // 2

    def judge(self, now: ClockInterval, *, disagrees: bool = False) -> ClockVerdict:
        """Return what to do at this reading; disagrees: the last clock check failed (7.5)."""
        if disagrees or now.uncertainty_ns > self.widest_ns:
            return ClockVerdict(self.action.value)
        return ClockVerdict.SEAL if now.is_synchronised else ClockVerdict.FLAG


def clocks_disagree(
    sent: ClockInterval, received: ClockInterval, peer_earliest_ns: int, peer_latest_ns: int
) -> bool:
    """Return whether a peer's reading contradicts ours (section 7.5).

    Args:
        sent, received: our readings when the ping left and when its pong arrived.
        peer_earliest_ns, peer_latest_ns: the peer's reading in the pong, ns TAI.
    """
    return peer_latest_ns < sent.earliest_ns or peer_earliest_ns > received.latest_ns


class GatewayTimeFilter:
    """TAI from ping and pong alone, for a device whose own clock is not synchronised (section 7.5).

    Each exchange bounds the gateway's lead over our monotonic clock; the bound widens with its age
    as a plain crystal drifts, and the narrowest of the recent ones is used.
    """

    __slots__ = ("_drift_ppm", "_samples")

    def __init__(self, *, samples: int = _SAMPLES, drift_ppm: int = CRYSTAL_PPM) -> None:
        self._drift_ppm = drift_ppm
        # (monotonic at the pong's arrival, twice the offset, twice the half width)
        self._samples: deque[tuple[int, int, int]] = deque(maxlen=samples)

    def add(
        self,
        *,
        sent_monotonic_ns: int,
        received_monotonic_ns: int,
        peer_earliest_ns: int,
        peer_latest_ns: int,
    ) -> None:
        """Take in one exchange.

        Args:
            sent_monotonic_ns, received_monotonic_ns: when the ping left and its pong came, ns.
            peer_earliest_ns, peer_latest_ns: the reading in the pong, ns TAI.
        Raises:
            LocalProtocolError: the pong came before its ping, or the bounds are out of order.
        """
        if received_monotonic_ns < sent_monotonic_ns or peer_latest_ns < peer_earliest_ns:
            raise LocalProtocolError("an exchange must end after it began, its bounds in order")
        # TAI - monotonic lies in [earliest - received, latest - sent].
        low = peer_earliest_ns - received_monotonic_ns
        high = peer_latest_ns - sent_monotonic_ns
        best = self._best(received_monotonic_ns)
        if best is not None and abs(best[0] - low - high) > best[1] + high - low:
            # No offset fits both: the gateway's clock was set meanwhile.
            self._samples.clear()
        self._samples.append((received_monotonic_ns, low + high, high - low))

    def now(self, monotonic_ns: int) -> ClockInterval | None:
        """Return the time by the gateway, or None before the first exchange.

        Args:
            monotonic_ns: now, by the clock that add() was given, ns.
        """
        best = self._best(monotonic_ns)
        if best is None:
            return None
        offset2, width2 = best
        return ClockInterval.around(
            monotonic_ns + offset2 // 2, (width2 + 2) // 2, ClockDiscipline.GATEWAY
        )

    def _best(self, monotonic_ns: int) -> tuple[int, int] | None:
        best: tuple[int, int] | None = None
        for at, offset2, width2 in self._samples:
            grown = width2 + 2 * abs(monotonic_ns - at) * self._drift_ppm // _MILLION
            if best is None or grown <= best[1]:
                best = (offset2, grown)
        return best

    def clear(self) -> None:
        """Forget all exchanges, as when the gateway restarted with another clock."""
        self._samples.clear()
