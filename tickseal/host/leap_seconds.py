"""TAI - UTC: the bundled figure, or the system's table where that is newer."""

from dataclasses import dataclass
from pathlib import Path

from tickseal.core.errors import StoreError

#: Where tzdata puts the IERS table.
SYSTEM_TABLE = Path("/usr/share/zoneinfo/leap-seconds.list")
#: The table counts seconds since 1900, Unix since 1970.
_NTP_TO_UNIX_S = 2_208_988_800
#: More than any real table; a file beyond this is something else.
_TABLE_MAX_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class LeapSeconds:
    """TAI - UTC over time.

    Args:
        changes: (Unix second from which it holds, TAI - UTC in s), ascending, at least one.
        expires_unix_s: the first second for which a change may be missing.
        origin: where it comes from, for people.
    """

    changes: tuple[tuple[int, int], ...]
    expires_unix_s: int
    origin: str

    def offset_at(self, unix_s: int) -> int:
        """Return TAI - UTC in s; before the first change, as on a clock not yet set, the last."""
        for since, offset in reversed(self.changes):
            if since <= unix_s:
                return offset
        return self.changes[-1][1]


#: IERS Bulletin C of July 2026, as in tzdata 2026: no change since 1 January 2017; good until
#: 28 June 2027.
BUNDLED = LeapSeconds(
    changes=((1_483_228_800, 37),), expires_unix_s=1_814_140_800, origin="bundled with tickseal"
)


def load_leap_seconds(path: Path = SYSTEM_TABLE) -> LeapSeconds:
    """Return the system's table if it is readable and newer than the bundled one, else that one."""
    try:
        with path.open("rb") as file:
            table = parse_leap_seconds(file.read(_TABLE_MAX_BYTES), str(path))
    except (OSError, StoreError):
        return BUNDLED
    return table if table.expires_unix_s > BUNDLED.expires_unix_s else BUNDLED


def parse_leap_seconds(data: bytes, origin: str) -> LeapSeconds:
    """Return the content of a leap-seconds.list as IERS publishes it.

    Raises:
        StoreError: any bytes that are no such table.
    """
    expires = 0
    changes: list[tuple[int, int]] = []
    try:
        for line in data.decode("ascii").splitlines():
            if line.startswith("#@"):
                expires = int(line[2:]) - _NTP_TO_UNIX_S
            elif line.strip() and not line.startswith("#"):
                since, offset = line.split("#")[0].split()
                changes.append((int(since) - _NTP_TO_UNIX_S, int(offset)))
    except ValueError:
        raise StoreError(f"{origin} is no table of leap seconds; install tzdata again") from None
    if not changes or expires <= 0 or changes != sorted(changes):
        raise StoreError(f"{origin} is no whole table of leap seconds; install tzdata again")
    return LeapSeconds(changes=tuple(changes), expires_unix_s=expires, origin=origin)
