"""Throttle: how often a remedy is tried, so that forged segments cause no storm (7.3)."""

_SECOND = 1_000_000_000
#: Shortest time between two tries, ns.
FIRST_NS = 5 * _SECOND
#: What doubling leads to, ns.
LONGEST_NS = 60 * _SECOND
_DOUBLINGS_MAX = 4


class Throttle:
    """Allows one try in 5 s; where it doubles, 10, 20, 40, then 60 s, until helped() is called.

    Args:
        doubles: whether the wait grows while it does not help.
    """

    __slots__ = ("_doubles", "_last_ns", "_tries")

    def __init__(self, *, doubles: bool) -> None:
        self._doubles = doubles
        self._last_ns: int | None = None
        # Since it helped.
        self._tries = 0

    def allow(self, monotonic_ns: int) -> bool:
        """Tell whether to try now; if so, the try counts."""
        doublings = min(max(self._tries - 1, 0), _DOUBLINGS_MAX) if self._doubles else 0
        wait_ns = min(FIRST_NS << doublings, LONGEST_NS)
        if self._last_ns is not None and monotonic_ns < self._last_ns + wait_ns:
            return False
        self._last_ns = monotonic_ns
        self._tries += 1
        return True

    def helped(self) -> None:
        """Start again at 5 s, counted from the last try."""
        self._tries = 0
