"""UTC from TAI: samples and pictures carry the time that people and other tools read."""

from tickseal.host.leap_seconds import LeapSeconds, load_leap_seconds

_SECOND = 1_000_000_000


class UTC:
    """Turns TAI into UTC.

    Args:
        leap_seconds: by default the system's table or the bundled one, whichever is newer.
    """

    def __init__(self, leap_seconds: LeapSeconds | None = None) -> None:
        self._table = leap_seconds or load_leap_seconds()

    def at(self, tai_ns: int) -> int:
        """Return UTC, ns since 1970, at least 0, of an instant in ns TAI."""
        second = tai_ns // _SECOND
        offset = self._table.offset_at(second - self._table.offset_at(second))
        return max(0, tai_ns - offset * _SECOND)
