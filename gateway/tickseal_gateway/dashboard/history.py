"""What was before the page was opened, read from the store: a few hundred points of any span."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

#: One series: rows of [middle of the bucket in ms since 1970 UTC, mean, lowest, highest].
Points: TypeAlias = list[list[float]]

#: Points of one series.
_POINTS = 600
_SECONDS_MOST = 366 * 86_400
_STREAMS_MOST = 32
#: A question that takes longer gets no answer: the gateway has better things to do.
_LONGEST_S = 3.0
_STEPS = 20_000

_SELECT = """
SELECT series.stream, series.name, samples.time_ns / :bucket AS bucket,
    avg(value), min(value), max(value)
FROM series JOIN samples ON samples.series = series.id
WHERE series.stream = :stream AND (:name = '' OR series.name = :name)
    AND samples.time_ns BETWEEN :since AND :until AND typeof(value) IN ('integer', 'real')
GROUP BY series.stream, series.name, bucket ORDER BY series.name, bucket
"""


class History:
    """Reads the store's database beside the store, one question at a time.

    Args:
        path: the SQLite file; None where nothing is stored.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._one_at_a_time = asyncio.Lock()

    async def read(
        self, streams: Sequence[str], *, seconds: int, name: str = ""
    ) -> dict[str, dict[str, Points]]:
        """Return the numbers of the last seconds, by stream and by name.

        Args:
            streams: ids; of more than 32 the first.
            name: one name; empty for all.
        """
        path = self._path
        if path is None:
            return {}
        seconds = min(max(1, seconds), _SECONDS_MOST)
        async with self._one_at_a_time:
            return await asyncio.to_thread(_read, path, streams[:_STREAMS_MOST], seconds, name)


def _read(
    path: Path, streams: Sequence[str], seconds: int, name: str
) -> dict[str, dict[str, Points]]:
    until = time.time_ns()
    span = seconds * 1_000_000_000
    bucket = max(span // _POINTS, 1)
    found: dict[str, dict[str, Points]] = {}
    deadline = time.monotonic() + _LONGEST_S
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)
        ) as connection:
            connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
            for stream in streams:
                given = {
                    "stream": stream,
                    "name": name,
                    "bucket": bucket,
                    "since": until - span,
                    "until": until + span,  # a device's clock may be ahead
                }
                for row in connection.execute(_SELECT, given):
                    at = (row[2] + 0.5) * bucket / 1e6
                    found.setdefault(row[0], {}).setdefault(row[1], []).append([at, *row[3:]])
    except sqlite3.Error:  # interrupted, locked, or not there: a plot then begins with now
        pass
    return found
