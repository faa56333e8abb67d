"""Integer arithmetic of time: instants to ticks, numbers from their low bits (section 4)."""

from tickseal.core.errors import ClockError


def tick_at(tai_ns: int, t0_ns: int, interval_ns: int) -> int:
    """Return the tick in which an instant lies.

    Args:
        tai_ns: the instant, nanoseconds TAI.
        t0_ns: start of tick 0, nanoseconds TAI.
        interval_ns: renewal interval, nanoseconds, at least 1.
    Raises:
        ClockError: the instant is before t0_ns.
    Source: docs/protocol.md section 4.
    """
    if tai_ns < t0_ns:
        raise ClockError(
            "the clock is %d ns before the stream's t0: it is not set, or the stream was opened by "
            "a clock that is ahead; let it synchronise, then open the stream again"
            % (t0_ns - tai_ns)
        )
    return (tai_ns - t0_ns) // interval_ns


def tick_start(tick: int, t0_ns: int, interval_ns: int) -> int:
    """Return the first instant of a tick, nanoseconds TAI."""
    return t0_ns + tick * interval_ns


def tick_window(
    earliest_ns: int,
    latest_ns: int,
    *,
    t0_ns: int,
    interval_ns: int,
    past_ns: int,
    skew_ns: int,
    bits: int,
) -> "tuple[int, int]":
    """Return (lower, upper), the ticks that a sink accepts now; (0, -1) where it accepts none.

    Args:
        earliest_ns, latest_ns: the sink's clock reading, nanoseconds TAI.
        t0_ns, interval_ns: as in tick_at.
        past_ns, skew_ns: how late and how early a segment may be, nanoseconds.
        bits: low bits of the tick in the header; a wider window is narrowed about its middle.
    Source: docs/protocol.md section 4.
    """
    if latest_ns + skew_ns < t0_ns:
        return (0, -1)
    lower = max(0, earliest_ns - past_ns - t0_ns) // interval_ns
    upper = (latest_ns + skew_ns - t0_ns) // interval_ns
    if upper - lower >= (1 << bits) - 1:
        middle = (lower + upper) // 2
        half = (1 << (bits - 1)) - 1
        lower, upper = middle - half, middle + half
    return (lower, upper)


def rebuild(low: int, base: int, bits: int) -> int:
    """Return the only number in [base, base + 2^bits) that has these low bits."""
    return base + ((low - base) & ((1 << bits) - 1))


def tick_base(lower: int, upper: int, bits: int) -> int:
    """Return the base of rebuild() for a tick in the window [lower, upper]; may be negative."""
    return (lower + upper) // 2 - (1 << (bits - 1))


def frame_number_base(highest: int, bits: int) -> int:
    """Return the base of rebuild() for a frame number; highest is -1 before the first frame."""
    return max(0, highest + 1 - (1 << (bits - 1)))
