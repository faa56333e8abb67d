"""The store: readings in SQLite, written in batches, in a form that people can query.

sqlite3 readings.db "SELECT * FROM readings ORDER BY time DESC LIMIT 20"
"""

import contextlib
import json
import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tickseal.core import constants
from tickseal.core.errors import StoreError
from tickseal.samples import Measured
from tickseal_gateway.readings import Batch, Reading

_logger = logging.getLogger(__name__)
_VERSION = 1
#: Often, so that each time there is little to delete.
_RETENTION_EVERY_S = 10.0
#: Series whose numbers are kept in memory.
_SERIES_MOST = 100_000

_SCHEMA = f"""
CREATE TABLE series (
    id INTEGER PRIMARY KEY, device TEXT NOT NULL, stream TEXT NOT NULL, name TEXT NOT NULL,
    unit TEXT NOT NULL, UNIQUE (device, stream, name, unit)
);
-- A backfilled frame that comes again after a crash replaces itself.
CREATE TABLE samples (
    series INTEGER NOT NULL REFERENCES series (id), time_ns INTEGER NOT NULL,
    frame INTEGER NOT NULL, value, tick INTEGER NOT NULL, generation TEXT NOT NULL,
    flags INTEGER NOT NULL, PRIMARY KEY (series, time_ns, frame)
) WITHOUT ROWID;
CREATE TABLE generations (
    handle INTEGER NOT NULL, generation TEXT NOT NULL, device TEXT NOT NULL, stream TEXT NOT NULL,
    opened TEXT NOT NULL, last_frame TEXT NOT NULL, frames INTEGER NOT NULL,
    payload_bytes INTEGER NOT NULL, missing INTEGER NOT NULL, refusals TEXT NOT NULL,
    PRIMARY KEY (handle, generation)
);
CREATE VIEW readings AS SELECT
    strftime('%Y-%m-%dT%H:%M:%f', time_ns / 1e9, 'unixepoch') || 'Z' AS time,
    device, stream, name, value, nullif(unit, '') AS unit, time_ns, tick, frame, generation,
    (flags & {constants.FLAG_BACKFILL}) != 0 AS backfilled,
    (flags & {constants.FLAG_HOLDOVER}) != 0 AS clock_in_holdover
    FROM samples JOIN series ON series.id = samples.series;
"""  # noqa: S608 - its only values are constants


class GenerationRow(NamedTuple):
    """What became of one generation, for the table `generations`; times are ns since 1970 UTC."""

    handle: int
    generation: int
    device: str
    stream: str
    opened_ns: int
    last_frame_ns: int
    frames: int
    payload_bytes: int
    missing: int
    refusals: dict[str, int]


class SQLiteStore:
    """An Output that keeps readings; for use on one thread, which need not be the one that made it.

    Args:
        path: the database file; made with mode 0600 where there is none.
        retention_ns: how long readings are kept; 0 for ever.
        gather_s: longest time between a reading's arrival and its commit.
    Attributes:
        rows: samples written since it was opened.
        moved_aside: where a damaged database was put; None where there was none.
    Raises:
        StoreError: the database cannot be opened.
    """

    name = "store"
    keeps_newest = False

    def __init__(self, path: Path, *, retention_ns: int = 0, gather_s: float = 0.25) -> None:
        self.path = path
        self.gather_s = gather_s
        self.rows = 0
        self.moved_aside: Path | None = None
        self._retention_ns = retention_ns
        self._series: dict[tuple[str, str, str, str], int] = {}
        self._pending_generations: dict[tuple[int, int], GenerationRow] = {}
        self._next_retention = time.monotonic() + _RETENTION_EVERY_S
        with _explained("open", path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                self._connection = _connect(path)
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._connection = self._begin_anew(error)

    def note_generations(self, rows: Iterable[GenerationRow]) -> None:
        """Take in the state of generations, on any thread; it is written with the next batch."""
        for row in rows:
            self._pending_generations[row.handle, row.generation] = row

    def write(self, batches: Sequence[Batch]) -> None:
        """Commit the readings of batches in one transaction; on return it is on the disk."""
        with _explained("write to", self.path):
            try:
                rows = self._commit(batches)
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                # Found only now, deep in the file. What was there stays in the file moved aside.
                self._connection.close()
                self._connection = self._begin_anew(error)
                rows = self._commit(batches)
            self.rows += rows
            if time.monotonic() >= self._next_retention:
                self._drop_old()

    def close(self) -> None:
        """Write what is known of generations, and close."""
        with contextlib.suppress(sqlite3.Error):
            with self._connection:
                self._insert_generations()
            self._connection.close()

    def _commit(self, batches: Sequence[Batch]) -> int:
        try:
            with self._connection:
                rows = self._insert(batches)
                self._insert_generations()
        except sqlite3.Error:
            self._series.clear()  # some may have been rolled back
            raise
        return rows

    def _begin_anew(self, error: sqlite3.DatabaseError) -> sqlite3.Connection:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        first = aside = self.path.with_name(f"{self.path.name}.damaged-{stamp}")
        number = 1
        while aside.exists():  # damaged twice within a second: keep both
            number += 1
            aside = first.with_name(f"{first.name}-{number}")
        for suffix in ("", "-wal", "-shm"):
            part = Path(f"{self.path}{suffix}")
            if part.exists():
                part.replace(f"{aside}{suffix}")
        self.moved_aside = aside
        _logger.error(
            "%s is damaged (%s): it was moved to %s, and a new one is begun; "
            "sqlite3's .recover may get readings out of it",
            self.path, error, aside,
        )  # fmt: skip
        return _connect(self.path)

    def _insert(self, batches: Sequence[Batch]) -> int:
        rows = [
            (
                self._series_of(reading),
                reading.time_ns,
                reading.frame,
                _value(reading.value),
                reading.tick,
                f"{reading.generation:016x}",
                reading.flags & (constants.FLAG_BACKFILL | constants.FLAG_HOLDOVER),
            )
            for batch in batches
            for reading in batch.readings
            if -(1 << 63) <= reading.time_ns < 1 << 63
        ]
        self._connection.executemany("INSERT OR REPLACE INTO samples VALUES (?,?,?,?,?,?,?)", rows)
        return len(rows)

    def _series_of(self, reading: Reading) -> int:
        key = (reading.device, reading.stream, reading.name, reading.unit or "")
        number = self._series.get(key)
        if number is None:
            if len(self._series) >= _SERIES_MOST:
                self._series.clear()
            execute = self._connection.execute
            execute(
                "INSERT OR IGNORE INTO series (device, stream, name, unit) VALUES (?,?,?,?)", key
            )
            number = self._series[key] = execute(
                "SELECT id FROM series WHERE device=? AND stream=? AND name=? AND unit=?", key
            ).fetchone()[0]
        return number

    def _insert_generations(self) -> None:
        rows = []
        while self._pending_generations:
            _, row = self._pending_generations.popitem()
            rows.append(
                (
                    row.handle, f"{row.generation:016x}", row.device, row.stream,
                    _iso(row.opened_ns), _iso(row.last_frame_ns), row.frames, row.payload_bytes,
                    row.missing, json.dumps(row.refusals),
                )
            )  # fmt: skip
        self._connection.executemany(
            "INSERT OR REPLACE INTO generations VALUES (?,?,?,?,?,?,?,?,?,?)", rows
        )

    def _drop_old(self) -> None:
        self._next_retention = time.monotonic() + _RETENTION_EVERY_S
        if not self._retention_ns:
            return
        before = time.time_ns() - self._retention_ns
        series = self._connection.execute("SELECT id FROM series").fetchall()
        with self._connection:
            self._connection.executemany(
                "DELETE FROM samples WHERE series = ? AND time_ns < ?",
                [(number, before) for (number,) in series],
            )


def _connect(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)
    connection = sqlite3.connect(path, timeout=2.0, check_same_thread=False)
    try:
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    # FULL: what a device is told to be stored must outlive a power cut.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise sqlite3.OperationalError(f"it was made by a newer tickseal (version {version})")
    if version == 0:
        connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    # The low byte is the primary code; the rest says more.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@contextlib.contextmanager
def _explained(doing: str, path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        if "locked" in text:
            step = "another program holds it: close that program"
        elif "full" in text:
            step = "the disk is full: make room, or shorten [store] retention"
        else:
            step = "check the disk and the rights to the file"
        raise StoreError(f"cannot {doing} {path}: {text}; {step}") from None
    except OSError as error:
        raise StoreError(f"cannot {doing} {path}: {error.strerror}; check the path") from None


def _value(value: Measured | None) -> Measured | None:
    # SQLite's integers have 64 bits, CBOR's any number of them.
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        return float(value) if abs(value) < 1 << 1000 else None
    return value


def _iso(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest // 1_000_000:03d}Z"
