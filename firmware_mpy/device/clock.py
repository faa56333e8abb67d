"""TAI on a board without a clock: from the gateway's answers to pings, and a PPS pin where wired.

An exchange of ping and pong bounds how far the gateway's clock leads the board's counter
(docs/protocol.md section 7.5). Two of them far apart also tell how fast the crystal runs.
"""

import time

_SECOND = 1_000_000_000
#: Exchanges that are remembered.
_SAMPLES = 5
#: How far a crystal runs off, parts per thousand million: before its rate is known, at most at all,
#: and with its rate known, by the temperature.
_CRYSTAL_PPB = 50_000
_RATE_MOST_PPB = 200_000
_WANDER_PPB = 2_000
#: Two exchanges must lie so far apart for a rate, ns.
_RATE_LEAST_NS = 16 * _SECOND
_RATE_MOST_NS = 600 * _SECOND
#: Without an exchange for so long the clock is in holdover, ns.
_HOLDOVER_NS = 10 * _SECOND
#: A pulse counts for so long, ns; its edge is known to so many ns (interrupt latency).
_PPS_NS = 3 * _SECOND
_PPS_ERROR_NS = 50_000
#: Which second a pulse begins must be beyond doubt, ns.
_PPS_DOUBT_NS = 400_000_000
_U64_MAX = (1 << 64) - 1


class Monotonic:
    """A counter of ns that never wraps; ask at least every eight minutes."""

    __slots__ = ("_last", "_us")

    def __init__(self) -> None:
        self._last = time.ticks_us()
        self._us = 0

    def ns(self) -> int:
        """Return ns since the board started."""
        now = time.ticks_us()
        self._us += time.ticks_diff(now, self._last)
        self._last = now
        return self._us * 1000

    def at(self, ticks_us: int) -> int:
        """Return the ns of a moment that time.ticks_us() told, minutes ago at most."""
        return self.ns() + time.ticks_diff(ticks_us, self._last) * 1000


class Clock:
    """What the board knows of the time.

    Attributes:
        rate_ppb: by how much the gateway's second is longer than the board's.
    """

    __slots__ = ("_anchor", "_pulse", "_rate_error_ppb", "_samples", "rate_ppb")

    def __init__(self) -> None:
        # When (ns of the counter), the gateway's lead then, half the width of its bounds.
        self._samples: "list[tuple[int, int, int]]" = []
        self._anchor: "tuple[int, int, int] | None" = None
        self._pulse: "tuple[int, int] | None" = None
        self._rate_error_ppb = _CRYSTAL_PPB
        self.rate_ppb = 0

    def exchange(self, sent_ns: int, received_ns: int, earliest_ns: int, latest_ns: int) -> None:
        """Take in a ping and its pong.

        Args:
            sent_ns, received_ns: by the counter, when the ping left and its pong came.
            earliest_ns, latest_ns: the gateway's reading in between, ns TAI.
        """
        low, high = earliest_ns - received_ns, latest_ns - sent_ns
        sample = (received_ns, (low + high) // 2, (high - low + 1) // 2)
        best = self._best(received_ns)
        if best is not None and abs(best[0] - sample[1]) > best[1] + sample[2]:
            # No lead fits both: the gateway's clock was set meanwhile.
            self._samples = []
            self._anchor = self._pulse = None
            self.rate_ppb, self._rate_error_ppb = 0, _CRYSTAL_PPB
        self._samples.append(sample)
        if len(self._samples) > _SAMPLES:
            self._samples.pop(0)
        self._learn_rate(sample)

    def pulse(self, at_ns: int) -> None:
        """Take in a rising edge of the PPS pin, by the counter: a second of TAI began then."""
        best = self._best(at_ns)
        if best is None or best[1] > _PPS_DOUBT_NS:
            return
        tai = at_ns + best[0]
        second = (tai + _SECOND // 2) // _SECOND * _SECOND
        if abs(second - tai) <= best[1]:
            self._pulse = (at_ns, second - at_ns)

    def now(self, at_ns: int) -> "tuple[int, int, str]":
        """Return (earliest, latest, discipline): bounds of TAI in ns at a moment of the counter."""
        pulse = self._pulse
        if pulse is not None and at_ns - pulse[0] <= _PPS_NS:
            error = _PPS_ERROR_NS + (at_ns - pulse[0]) * self._rate_error_ppb // _SECOND
            lead = pulse[1] + (at_ns - pulse[0]) * self.rate_ppb // _SECOND
            return at_ns + lead - error, at_ns + lead + error, "pps"
        best = self._best(at_ns)
        if best is None:
            return 0, _U64_MAX, "none"
        fresh = at_ns - self._samples[-1][0] < _HOLDOVER_NS
        earliest = max(0, at_ns + best[0] - best[1])
        return earliest, at_ns + best[0] + best[1], "gateway" if fresh else "holdover"

    def _best(self, at_ns: int) -> "tuple[int, int] | None":
        """Return the lead that is known best, and how well, ns."""
        best = None
        for when, lead, half in self._samples:
            age = at_ns - when
            error = half + abs(age) * self._rate_error_ppb // _SECOND
            if best is None or error <= best[1]:
                best = (lead + age * self.rate_ppb // _SECOND, error)
        return best

    def _learn_rate(self, sample: "tuple[int, int, int]") -> None:
        anchor = self._anchor
        if anchor is None:
            self._anchor = sample
            return
        apart = sample[0] - anchor[0]
        if apart < _RATE_LEAST_NS:
            if sample[2] < anchor[2]:
                self._anchor = sample
            return
        error = (sample[2] + anchor[2]) * _SECOND // apart + _WANDER_PPB
        rate = (sample[1] - anchor[1]) * _SECOND // apart
        if error <= self._rate_error_ppb and abs(rate) <= _RATE_MOST_PPB:
            self.rate_ppb, self._rate_error_ppb = rate, error
        if apart > _RATE_MOST_NS:
            self._anchor = sample
