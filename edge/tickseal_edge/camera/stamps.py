"""Stamps: from a camera's own time, which counts from the start of the machine, to UTC."""

import time

from tickseal.host.kernel_clock import boottime_ns

#: A stamp that says that a picture is older than this, or of the future, is in another clock.
_OLD_NS = 10_000_000_000


def utc_of(stamp_ns: int, ahead_ns: int) -> int:
    """Return when a picture was taken, ns since 1970 UTC.

    Cameras stamp by CLOCK_MONOTONIC or, on a Raspberry Pi, by CLOCK_BOOTTIME; the two differ by the
    time that the machine has slept. Where a stamp fits neither, now is returned.

    Args:
        stamp_ns: the camera's stamp.
        ahead_ns: how far the clock that the other frames are stamped by is ahead of CLOCK_BOOTTIME.
            The time at which a picture was asked for would not do: it comes at any time after that.
    """
    now_utc_ns = ahead_ns + boottime_ns()
    for clock in (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME):
        age_ns = time.clock_gettime_ns(clock) - stamp_ns
        if 0 <= age_ns < _OLD_NS:
            return max(0, now_utc_ns - age_ns)
    return now_utc_ns
