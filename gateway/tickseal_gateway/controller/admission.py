"""Admission: how many strangers, and how fast, may make the gateway do a handshake.

A handshake costs X25519, and ML-KEM-768 where it is hybrid, before it is known who asks. So nobody
comes to it faster than this allows; what is turned away costs an accept and a reset. No cookie is
needed as in WireGuard or DTLS: that somebody answers at an address, TCP has proved already.

Whoever connects and then says nothing keeps nobody out: where too many do, the oldest go.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable

_SECOND = 1_000_000_000
#: Handshakes at once that have not become a session, in all.
HALF_OPEN_MOST = 256
#: The same from one site.
HALF_OPEN_PER_SITE = 32
#: Handshakes of one site: a fleet behind one address after a restart, then so many a second.
BURST, PER_SECOND = 128, 20
#: Handshakes of all sites together from which no session has come yet: whoever has many addresses
#: has no more of them. 100 hybrid ones take about a tenth of a second.
STRANGERS_BURST, STRANGERS_PER_SECOND = 512, 100
#: Further ones for sites that have not been heard for a while: they have a chance beside a flood.
NEWCOMERS_BURST, NEWCOMERS_PER_SECOND = 100, 20
_NEW_AFTER_NS = 60 * _SECOND
#: Sites that are remembered; the least recent is forgotten.
SITES_MOST = 4096


class Admitted:
    """A handshake under way.

    Args:
        site: where it comes from.
        end: ends it, where it has to make room.
    """

    __slots__ = ("end", "site")

    def __init__(self, site: str, end: Callable[[], None]) -> None:
        self.site = site
        self.end = end


class Admission:
    """Counts handshakes under way, and their rate, by site (an IPv4 address, or a /64).

    Attributes:
        refused: connections that were not admitted, or had to make room, by reason.
    """

    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()
        # The oldest first.
        self._half_open: dict[Admitted, None] = {}
        self._by_site: Counter[str] = Counter()
        # Handshakes left, and when that was true, ns; the least recent site first.
        self._buckets: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._strangers = (float(STRANGERS_BURST), 0)
        self._newcomers = (float(NEWCOMERS_BURST), 0)
        # Sites from which a session came.
        self._known: OrderedDict[str, None] = OrderedDict()

    @property
    def half_open(self) -> int:
        """Handshakes under way."""
        return len(self._half_open)

    def admits(self, site: str, monotonic_ns: int) -> bool:
        """Tell whether one more connection of a site is worth anything, and count it."""
        bucket = self._buckets.pop(site, None)
        is_new = bucket is None or monotonic_ns - bucket[1] > _NEW_AFTER_NS
        tokens = _filled(bucket or (float(BURST), monotonic_ns), monotonic_ns, BURST, PER_SECOND)
        admitted = tokens >= 1 and (
            site in self._known or self._admits_stranger(monotonic_ns, is_new=is_new)
        )
        self._buckets[site] = (tokens - admitted, monotonic_ns)
        if len(self._buckets) > SITES_MOST:
            self._buckets.popitem(last=False)
        if not admitted:
            self.refused["rate"] += 1
        return admitted

    def enter(self, site: str, end: Callable[[], None]) -> Admitted:
        """Let a handshake begin; call leave() when it is over.

        Args:
            end: called where it has to make room for another.
        """
        if self._by_site[site] >= HALF_OPEN_PER_SITE:
            self._displace(lambda other: other.site == site)
        elif len(self._half_open) >= HALF_OPEN_MOST:
            self._displace(lambda other: other.site not in self._known)
        admitted = Admitted(site, end)
        self._half_open[admitted] = None
        self._by_site[site] += 1
        return admitted

    def leave(self, admitted: Admitted, *, has_session: bool = False) -> None:
        """Note that a handshake has become a session, or has ended; again is fine."""
        if admitted in self._half_open:
            self._forget(admitted)
        if has_session:
            self._known.pop(admitted.site, None)
            self._known[admitted.site] = None
            if len(self._known) > SITES_MOST:
                self._known.popitem(last=False)

    def _admits_stranger(self, monotonic_ns: int, *, is_new: bool) -> bool:
        strangers = _filled(self._strangers, monotonic_ns, STRANGERS_BURST, STRANGERS_PER_SECOND)
        self._strangers = (strangers - (strangers >= 1), monotonic_ns)
        if strangers >= 1 or not is_new:
            return strangers >= 1
        newcomers = _filled(self._newcomers, monotonic_ns, NEWCOMERS_BURST, NEWCOMERS_PER_SECOND)
        self._newcomers = (newcomers - (newcomers >= 1), monotonic_ns)
        return newcomers >= 1

    def _displace(self, which: Callable[[Admitted], bool]) -> None:
        """End the oldest of some; where there is none, the oldest of all."""
        oldest = next(filter(which, self._half_open), None) or next(iter(self._half_open))
        self._forget(oldest)
        self.refused["displaced"] += 1
        oldest.end()

    def _forget(self, admitted: Admitted) -> None:
        del self._half_open[admitted]
        self._by_site[admitted.site] -= 1
        if not self._by_site[admitted.site]:
            del self._by_site[admitted.site]


def _filled(bucket: tuple[float, int], now_ns: int, most: int, per_second: int) -> float:
    """Return what a bucket holds now."""
    tokens, since_ns = bucket
    return min(most, tokens + (now_ns - since_ns) / _SECOND * per_second)
