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
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from tickseal.core import constants
from tickseal.core.errors import StoreError
from tickseal.payloads.samples import Measured
from tickseal_gateway.frames.readings import Batch, Reading
from tickseal_gateway.store.arrivals import Arrivals
from tickseal_gateway.store.room import Room
from tickseal_gateway.store.schema import prepare

_logger = logging.getLogger(__name__)
#: Series whose numbers are kept in memory.
_SERIES_MOST = 100_000

_INSERT = (
    "INSERT OR REPLACE INTO samples (series, time_ns, frame, value, tick, generation, flags)"
    " VALUES (?,?,?,?,?,?,?)"
)
_FLAGS = constants.FLAG_BACKFILL | constants.FLAG_HOLDOVER
#: Beside the flags of the frame: the value is a truth, which SQLite keeps as a number.
TRUTH = 1 << 8


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
        room: how much is kept; all, unless it is said.
        gather_s: longest time between a reading's arrival and its commit.
    Attributes:
        rows: samples written since it was opened.
        moved_aside: where a damaged database was put; None where there was none.
        notice: what befell the file, and what to do, for people; empty where nothing did.
        arrivals: where in the store each batch is, for outputs that catch up from it.
    Raises:
        StoreError: the database cannot be opened.
    """

    name = "store"
    keeps_newest = False

    def __init__(self, path: Path, *, room: Room | None = None, gather_s: float = 0.25) -> None:
        self.path = path
        self.gather_s = gather_s
        self.rows = 0
        self.moved_aside: Path | None = None
        self.notice = ""
        self._room = room or Room()
        self._series: dict[tuple[str, str, str, str], int] = {}
        self._pending_generations: dict[tuple[int, int], GenerationRow] = {}
        self._delivered: dict[str, int] = {}
        with _explained("open", path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                self._connection = self._open()
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._tell(self._move_aside(error))
                self._connection = self._open()

    def note_generations(self, rows: Iterable[GenerationRow]) -> None:
        """Take in the state of generations, on any thread; it is written with the next batch."""
        for row in rows:
            self._pending_generations[row.handle, row.generation] = row

    def write(self, batches: Sequence[Batch]) -> None:
        """Commit the readings of batches in one transaction; on return it is on the disk."""
        with _explained("write to", self.path):
            if not self._is_in_place():
                self._begin_anew(
                    "was removed or replaced while it was in use: a new one is begun; "
                    "stop the gateway before you touch it"
                )
            try:
                rows = self._commit(batches)
                if self._room.make(self._connection):
                    self._series.clear()
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                # Found only now, deep in the file. What was there stays in the file moved aside.
                self._connection.close()
                self._begin_anew(self._move_aside(error))
                rows = self._commit(batches)
            self.rows += rows

    def close(self) -> None:
        """Write what is known of generations, and close."""
        with contextlib.suppress(sqlite3.Error):
            with self._connection:
                self._insert_generations()
                self._insert_delivered()
            self._connection.close()

    def _open(self) -> sqlite3.Connection:
        connection = _connect(self.path)
        try:
            self._delivered = dict(connection.execute("SELECT * FROM delivered"))
            self.arrivals = Arrivals(_last_number(connection), dict(self._delivered))
        except BaseException:
            connection.close()
            raise
        self._file = _file_at(self.path)
        return connection

    def _is_in_place(self) -> bool:
        return _file_at(self.path) == self._file

    def _begin_anew(self, what: str) -> None:
        self._connection.close()
        self._connection = _connect(self.path)
        self._file = _file_at(self.path)
        self._series.clear()
        self._delivered = {}
        self.arrivals.begin_anew()
        self._tell(what)

    def _tell(self, what: str) -> None:
        self.notice = f"{self.path} {what}"
        _logger.error("%s", self.notice)

    def _commit(self, batches: Sequence[Batch]) -> int:
        try:
            with self._connection:
                before = _last_number(self._connection)
                counts = self._insert(batches)
                self._insert_generations()
                delivered = self._insert_delivered()
        except sqlite3.Error:
            self._series.clear()  # some may have been rolled back
            raise
        self._delivered = delivered
        ends = accumulate(counts, initial=before)
        next(ends)
        self.arrivals.committed(
            [(batch.serial, end) for batch, end in zip(batches, ends, strict=True) if batch.serial]
        )
        return sum(counts)

    def _move_aside(self, error: sqlite3.DatabaseError) -> str:
        """Move the file out of the way; return what happened, in words."""
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
        return (
            f"is damaged ({error}): it was moved to {aside}, and a new one is begun; check the "
            f"disk, and get out what can be had: sqlite3 {aside} .recover | sqlite3 recovered.db"
        )

    def _insert(self, batches: Sequence[Batch]) -> list[int]:
        """Insert the readings, each under the next number; return how many of each batch."""
        counts: list[int] = []
        rows: list[tuple[object, ...]] = []
        for batch in batches:
            before = len(rows)
            rows += [
                (
                    self._series_of(reading),
                    reading.time_ns,
                    reading.frame,
                    _value(reading.value),
                    reading.tick,
                    f"{reading.generation:016x}",
                    reading.flags & _FLAGS | (TRUTH if isinstance(reading.value, bool) else 0),
                )
                for reading in batch.readings
                if -(1 << 63) <= reading.time_ns < 1 << 63
            ]
            counts.append(len(rows) - before)
        self._connection.executemany(_INSERT, rows)
        return counts

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

    def _insert_delivered(self) -> dict[str, int]:
        """Keep the marks of the outputs that there are; return them."""
        delivered = self.arrivals.delivered()
        if delivered.keys() != self._delivered.keys():  # some output is there no longer
            self._connection.execute("DELETE FROM delivered")
        news = delivered.items() - self._delivered.items()
        self._connection.executemany("INSERT OR REPLACE INTO delivered VALUES (?,?)", news)
        return delivered


def _file_at(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _connect(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)
    connection = sqlite3.connect(path, timeout=2.0, check_same_thread=False)
    try:
        prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _last_number(connection: sqlite3.Connection) -> int:
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'samples'").fetchone()
    return int(found[0]) if found else 0


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
            step = "the disk is full: make room, or lower [store] size"
        elif "readonly" in text:
            step = "the disk or the file is read-only; a disk that has faults becomes so: see dmesg"
        elif "I/O" in text:
            step = "the disk has faults or was taken away: see dmesg"
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
