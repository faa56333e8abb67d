"""Admission: how many strangers, and how fast, may make the gateway do a handshake.

A handshake costs X25519, and ML-KEM-768 where it is hybrid, before it is known who asks. So nobody
comes to it faster than this allows; what is turned away costs an accept and a reset.
"""

from collections import Counter, OrderedDict

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
#: Sites that are remembered; the least recent is forgotten.
SITES_MOST = 4096


class Admission:
    """Counts handshakes under way, and their rate, by site (an IPv4 address, or a /64).

    Attributes:
        refused: connections that were not admitted, by reason.
    """

    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()
        self._half_open: Counter[str] = Counter()
        self._total = 0
        # Handshakes left, and when that was true, ns; the least recent site first.
        self._buckets: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._strangers = (float(STRANGERS_BURST), 0)
        # Sites from which a session came.
        self._known: OrderedDict[str, None] = OrderedDict()

    @property
    def half_open(self) -> int:
        """Handshakes under way."""
        return self._total

    def admits(self, site: str, monotonic_ns: int) -> bool:
        """Tell whether one more connection of a site is worth anything, and count it."""
        if self._is_full(site):
            return False
        tokens = _filled(
            self._buckets.pop(site, (float(BURST), monotonic_ns)), monotonic_ns, BURST, PER_SECOND
        )
        strangers = _filled(self._strangers, monotonic_ns, STRANGERS_BURST, STRANGERS_PER_SECOND)
        is_known = site in self._known
        admitted = tokens >= 1 and (is_known or strangers >= 1)
        self._buckets[site] = (tokens - admitted, monotonic_ns)
        if len(self._buckets) > SITES_MOST:
            self._buckets.popitem(last=False)
        self._strangers = (strangers - (admitted and not is_known), monotonic_ns)
        if not admitted:
            self.refused["rate"] += 1
        return admitted

    def enter(self, site: str) -> bool:
        """Tell whether a handshake may begin; if so, call leave() once."""
        if self._is_full(site):
            return False
        self._half_open[site] += 1
        self._total += 1
        return True

    def leave(self, site: str, *, has_session: bool = False) -> None:
        """Note that a handshake has become a session, or has ended."""
        self._total -= 1
        self._half_open[site] -= 1
        if not self._half_open[site]:
            del self._half_open[site]
        if has_session:
            self._known.pop(site, None)
            self._known[site] = None
            if len(self._known) > SITES_MOST:
                self._known.popitem(last=False)

    def _is_full(self, site: str) -> bool:
        is_full = self._total >= HALF_OPEN_MOST or (
            self._half_open.get(site, 0) >= HALF_OPEN_PER_SITE
        )
        if is_full:
            self.refused["half_open"] += 1
        return is_full


def _filled(bucket: tuple[float, int], now_ns: int, most: int, per_second: int) -> float:
    """Return what a bucket holds now."""
    tokens, since_ns = bucket
    return min(most, tokens + (now_ns - since_ns) / _SECOND * per_second)
