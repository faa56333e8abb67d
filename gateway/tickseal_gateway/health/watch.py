"""Watch: tells people, once a change, what goes wrong: refusals, outputs that fail, overload."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

from tickseal.core import errors
from tickseal.links.udp import UDPLink
from tickseal_gateway.alarms import Alarms
from tickseal_gateway.ingest.table import StreamTable
from tickseal_gateway.outputs.base import OutputRunner
from tickseal_gateway.store.sqlite import SQLiteStore

_logger = logging.getLogger(__name__)
#: Seconds without a refusal, or a dropped datagram, after which it is over.
_QUIET_S = 10
#: A datagram that comes again is the network's doing, and nobody's fault.
_HARMLESS = (errors.REPLAYED,)


class Watch:
    """Looks once a second at what may go wrong.

    Args:
        store: tells what befell its file; None where there is none.
    """

    def __init__(
        self,
        table: StreamTable,
        alarms: Alarms,
        outputs: Sequence[OutputRunner],
        udp: UDPLink,
        store: SQLiteStore | None = None,
    ) -> None:
        self._store = store
        self._table = table
        self._alarms = alarms
        self._outputs = outputs
        self._udp = udp
        self._dropped = 0
        self._dropped_ago_s = _QUIET_S
        # By stream, "" for segments of none: what was refused, and for how long nothing more was.
        self._refused: dict[str, Counter[str]] = {}
        self._quiet_s: dict[str, int] = {}

    def tick(self) -> None:
        """Look; call once a second."""
        self._note_refusals("", self._table.refusals)
        for stream in self._table:
            if stream.is_refused:
                self._note_refusals(stream.id, stream.refusals)
        for output in self._outputs:
            if output.counters.error:
                self._alarms.set(f"output_{output.name}", "", output.counters.error)
            else:
                self._alarms.clear(f"output_{output.name}", "")
        if self._store is not None and self._store.notice:
            self._alarms.set("store", "", self._store.notice)
        self._note_drops()

    def _note_refusals(self, key: str, refusals: Mapping[str, int]) -> None:
        before = self._refused.get(key)
        if before == refusals:
            if self._quiet_s.get(key, _QUIET_S) < _QUIET_S:
                self._quiet_s[key] += 1
                if self._quiet_s[key] == _QUIET_S:
                    _logger.info("no more segments of %s are refused", _named(key))
            return
        self._refused[key] = Counter(refusals)
        news = self._refused[key] - Counter(before or {})
        for reason in _HARMLESS:
            del news[reason]
        if not news:
            return
        if self._quiet_s.get(key, _QUIET_S) == _QUIET_S:
            words = ", ".join(f"{reason} {count}" for reason, count in news.most_common())
            _logger.warning("segments of %s are refused: %s", _named(key), words)
        self._quiet_s[key] = 0

    def _note_drops(self) -> None:
        dropped = self._udp.kernel_dropped
        if dropped != self._dropped:
            self._dropped_ago_s = 0
            self._alarms.set(
                "overload",
                "",
                f"{dropped} datagrams were dropped before they were read: this machine is too "
                "slow for what comes, or net.core.rmem_max (now good for "
                f"{self._udp.receive_buffer_bytes >> 10} KiB) is too low",
            )
        elif self._dropped_ago_s < _QUIET_S:
            self._dropped_ago_s += 1
            if self._dropped_ago_s == _QUIET_S:
                self._alarms.clear("overload", "")
        self._dropped = dropped


def _named(stream_id: str) -> str:
    return repr(stream_id) if stream_id else "no known stream"
