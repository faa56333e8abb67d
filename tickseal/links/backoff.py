"""How long to wait before the next attempt: numbers only, the caller waits."""

import random
from collections.abc import Callable

_MILLISECOND = 1_000_000


class Backoff:
    """Waits that double from attempt to attempt, with jitter: a fleet does not knock at once.

    Args:
        first_ns: the longest first wait, ns.
        most_ns: the longest wait ever, ns.
        random_unit: gives numbers in [0, 1).
    Attributes:
        attempts: waits given since the last reset.
    """

    def __init__(
        self,
        *,
        first_ns: int = 500 * _MILLISECOND,
        most_ns: int = 60_000 * _MILLISECOND,
        random_unit: Callable[[], float] = random.random,
    ) -> None:
        self._first_ns = first_ns
        self._most_ns = most_ns
        self._random_unit = random_unit
        self.attempts = 0

    def next_ns(self) -> int:
        """Return how long to wait now, ns: between half and all of what has doubled so far."""
        # The exponent is bounded, or months of failures would make a number of a million bits.
        longest = min(self._most_ns, self._first_ns << min(self.attempts, 62))
        self.attempts += 1
        return longest // 2 + int(self._random_unit() * (longest - longest // 2))

    def reset(self) -> None:
        """Begin anew, once a session has proved itself: not as soon as a connection opens."""
        self.attempts = 0
