"""Admission: how many strangers, and how fast, may make the gateway do a handshake."""

from collections import Counter, OrderedDict

_SECOND = 1_000_000_000
#: Handshakes at once that have not become a session, in all.
HALF_OPEN_MOST = 256
#: The same from one site.
HALF_OPEN_PER_SITE = 32
#: Handshakes of one site: a fleet behind one address after a restart, then so many a second.
BURST, PER_SECOND = 128, 20
#: Sites that are remembered; the least recent is forgotten.
_SITES_MOST = 4096


class Admission:
    """Counts handshakes under way, and their rate, by site (an IPv4 address, or a /64).

    Attributes:
        refused: connections that were not admitted, by reason.
    """

    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()
        self._half_open: Counter[str] = Counter()
        self._total = 0
        # Site: tokens left, and when that was true.
        self._buckets: OrderedDict[str, tuple[float, int]] = OrderedDict()

    @property
    def half_open(self) -> int:
        """Handshakes under way."""
        return self._total

    def enter(self, site: str, monotonic_ns: int) -> bool:
        """Tell whether a connection of a site may begin a handshake; if so, call leave() once."""
        if self._total >= HALF_OPEN_MOST or self._half_open[site] >= HALF_OPEN_PER_SITE:
            self.refused["half_open"] += 1
            return False
        tokens, since = self._buckets.pop(site, (float(BURST), monotonic_ns))
        tokens = min(BURST, tokens + (monotonic_ns - since) / _SECOND * PER_SECOND)
        admitted = tokens >= 1
        self._buckets[site] = (tokens - admitted, monotonic_ns)
        if len(self._buckets) > _SITES_MOST:
            self._buckets.popitem(last=False)
        if not admitted:
            self.refused["rate"] += 1
            return False
        self._half_open[site] += 1
        self._total += 1
        return True

    def leave(self, site: str) -> None:
        """Note that a handshake has become a session, or has ended."""
        self._total -= 1
        self._half_open[site] -= 1
        if not self._half_open[site]:
            del self._half_open[site]
