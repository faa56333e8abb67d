"""Throttle: how often a remedy is tried, so that forged segments cause no storm (7.3)."""

_SECOND = 1_000_000_000
#: Shortest time between two tries, ns.
FIRST_NS = 5 * _SECOND
#: What doubling leads to, ns.
LONGEST_NS = 60 * _SECOND


class Throttle:
    """Allows one try in 5 s; where it doubles, 10, 20, 40, then 60 s, until helped() is called.

    Args:
        doubles: whether the wait grows while it does not help.
    """

    __slots__ = ("_doubles", "_next_ns", "_wait_ns")

    def __init__(self, *, doubles: bool) -> None:
        self._doubles = doubles
        self._wait_ns = FIRST_NS
        self._next_ns: int | None = None

    def allow(self, monotonic_ns: int) -> bool:
        """Tell whether to try now; if so, the try counts."""
        if self._next_ns is not None and monotonic_ns < self._next_ns:
            return False
        self._next_ns = monotonic_ns + self._wait_ns
        if self._doubles:
            self._wait_ns = min(2 * self._wait_ns, LONGEST_NS)
        return True

    def helped(self) -> None:
        """Start again at 5 s, counted from the last try."""
        self._wait_ns = FIRST_NS
