"""The last minutes of every series, so that a plot is not empty when the page is opened."""

import time
from collections import OrderedDict, deque
from collections.abc import Iterable

from tickseal_gateway.status import GatewayView, Json

#: Points of a series, and their smallest distance: five minutes.
_POINTS, _EVERY_NS = 300, 1_000_000_000
#: Series that are kept; the one that was quiet for longest gives way.
_SERIES_MOST = 2000
_STREAMS_MOST = 64


class History:
    """Rings of numbers by stream and name, taken from snapshots."""

    def __init__(self) -> None:
        self._series: OrderedDict[tuple[str, str], deque[tuple[int, float]]] = OrderedDict()

    async def follow(self, view: GatewayView) -> None:
        """Take in snapshots until cancelled, about one a second."""
        taken_s = float("-inf")
        async for snapshot in view.subscribe():
            if time.monotonic() - taken_s >= _EVERY_NS / 1e9:
                taken_s = time.monotonic()
                self.note(snapshot)

    def note(self, snapshot: Json) -> None:
        """Take in the numbers of one snapshot."""
        for stream in snapshot["streams"]:  # type: ignore[attr-defined]
            for reading in stream["latest"]:
                self._note(stream["id"], reading)

    def _note(self, stream_id: str, reading: dict[str, object]) -> None:
        value, time_ns = reading["value"], reading["time_ns"]
        if isinstance(value, bool) or not isinstance(value, int | float):
            return
        if not isinstance(time_ns, int):
            return
        key = (stream_id, str(reading["name"]))
        points = self._series.get(key)
        if points is None:
            points = self._series[key] = deque(maxlen=_POINTS)
            if len(self._series) > _SERIES_MOST:
                self._series.popitem(last=False)
        elif time_ns - points[-1][0] < _EVERY_NS * 9 // 10:
            return
        points.append((time_ns, float(value)))
        self._series.move_to_end(key)

    def of(self, stream_ids: Iterable[str]) -> Json:
        """Return, by stream and name, [[time in ms since 1970 UTC, value], ...]."""
        wanted = set(list(stream_ids)[:_STREAMS_MOST])
        found: dict[str, object] = {}
        for (stream_id, name), points in self._series.items():
            if stream_id in wanted:
                rows = [[time_ns // 1_000_000, value] for time_ns, value in points]
                found.setdefault(stream_id, {})[name] = rows  # type: ignore[index]
        return found
