"""StoreReader: what the store holds, in the order of its arrival, read beside the store."""

import contextlib
import sqlite3
from pathlib import Path

from tickseal.core.errors import StoreError
from tickseal_gateway.frames.readings import Reading
from tickseal_gateway.store.sqlite import TRUTH

_SELECT = """
SELECT number, device, stream, name, value, unit, time_ns, tick, frame, generation, flags
FROM samples JOIN series ON series.id = samples.series
WHERE number > ? AND number <= ? ORDER BY number LIMIT ?
"""


class StoreReader:
    """Reads a store's database; for use on one thread.

    Args:
        path: the SQLite file; opened when it is first read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def read(self, after: int, until: int, most: int) -> list[tuple[int, Reading]]:
        """Return samples with their numbers: the first ones above `after`, up to `until`.

        Raises:
            StoreError: it cannot be read.
        """
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True)
            rows = self._connection.execute(_SELECT, (after, until, most)).fetchall()
        except sqlite3.Error as error:
            self.close()
            raise StoreError(f"cannot read {self._path}: {error}; check the file") from None
        return [(row[0], _reading(*row[1:])) for row in rows]

    def close(self) -> None:
        """Close the file; it is opened again when it is read again."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


def _reading(  # noqa: PLR0917 - a row
    device: str,
    stream: str,
    name: str,
    value: float | int | str | None,
    unit: str,
    time_ns: int,
    tick: int,
    frame: int,
    generation: str,
    flags: int,
) -> Reading:
    truth = bool(value) if flags & TRUTH else value
    return Reading(
        device, stream, name, truth, unit or None, time_ns, tick, frame, int(generation, 16),
        flags & ~TRUTH,
    )  # fmt: skip
