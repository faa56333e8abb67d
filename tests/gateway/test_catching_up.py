"""Catching up: an output that failed, blocked or was away gets from the store what it missed."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import pytest
from tickseal_gateway.frames.readings import Batch, Reading
from tickseal_gateway.outputs.base import OutputRunner, stop_all
from tickseal_gateway.outputs.configured import run_beside
from tickseal_gateway.outputs.selection import SelectedOutput
from tickseal_gateway.store.reader import StoreReader
from tickseal_gateway.store.sqlite import SQLiteStore
from waiting import PATIENCE_S, eventually

from tickseal.core import constants
from tickseal.core.errors import LinkError


class Archive:
    """An output that is to have everything, and can be told to block or fail."""

    name = "archive"
    gather_s = 0.0
    keeps_newest = False
    catches_up = True

    def __init__(self) -> None:
        self.got: list[object] = []
        self.fault: Exception | None = None
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.entered = threading.Event()

    def write(self, batches: Sequence[Batch]) -> None:
        self.entered.set()
        assert self.may_go_on.wait(PATIENCE_S)
        if self.fault is not None:
            raise self.fault
        self.got += [reading.value for batch in batches for reading in batch.readings]

    def close(self) -> None:
        pass


def reading(value: float | str | bool | None, number: int = 0) -> Reading:
    return Reading("shed", "garden", "t", value, "Cel", number, number, number, 1, 0)


class Gateway:
    """A store and an archive, fed with readings that are numbered for ever, a batch each."""

    def __init__(self, path: Path, archive: Archive, *, queue: int = 10, start: int = 0) -> None:
        self.archive = archive
        self.store = SQLiteStore(path, gather_s=0.0)
        self.stored = OutputRunner(self.store, ends_last=True)
        beside = run_beside(archive, self.store)
        self.archived = OutputRunner(archive, queue_most=queue, catch_up=beside._catch_up)
        self._serials = count(1)
        self._values = count(start)

    def feed(self, times: int, *, to_store: bool = True) -> list[int]:
        values = [next(self._values) for _ in range(times)]
        for value in values:
            batch = Batch(received_ns=0, readings=[reading(value, value)])
            batch.serial = next(self._serials)
            if to_store:
                self.stored.offer(batch)
            self.archived.offer(batch)
        return values

    def start(self) -> None:
        self.stored.start()
        self.archived.start()


@contextlib.contextmanager
def gateway(path: Path, archive: Archive, *, start: int = 0, queue: int = 10) -> Iterator[Gateway]:
    made = Gateway(path, archive, start=start, queue=queue)
    made.start()
    yield made
    stop_all([made.stored, made.archived], PATIENCE_S)


def test_what_a_blocked_output_missed_comes_from_the_store_in_order(tmp_path: Path) -> None:
    archive = Archive()
    with gateway(tmp_path / "readings.db", archive) as given:
        archive.may_go_on.clear()
        given.feed(1)
        assert archive.entered.wait(PATIENCE_S)
        given.feed(500)
        assert given.archived.counters.missed == 490
        archive.may_go_on.set()
        # Nothing new need come for that.
        eventually(lambda: len(archive.got) == 501)
        given.feed(3)
    assert archive.got == list(range(504))
    counters = given.archived.counters
    assert (counters.missed, counters.caught_up, counters.written) == (490, 490, 504)


def test_what_a_failing_output_missed_comes_once_it_works(tmp_path: Path) -> None:
    archive = Archive()
    with gateway(tmp_path / "readings.db", archive) as given:
        archive.fault = LinkError("the database is away")
        given.feed(300)
        eventually(lambda: given.archived.counters.failures > 0)
        archive.fault = None
        eventually(lambda: len(archive.got) == 300)
    assert archive.got == list(range(300))


def test_what_was_not_delivered_before_the_end_comes_at_the_next_start(tmp_path: Path) -> None:
    path, archive = tmp_path / "readings.db", Archive()
    with gateway(path, archive) as given:
        given.feed(5)
        eventually(lambda: len(archive.got) == 5)
        archive.fault = LinkError("the database is away")
        given.feed(300)
        eventually(lambda: given.store.arrivals.serial == 305)
    archive.fault = None
    with gateway(path, archive, start=305) as given:
        given.feed(5)
        eventually(lambda: len(archive.got) >= 310)
    assert archive.got == list(range(310))
    with gateway(path, archive, start=310):
        pass
    assert archive.got == list(range(310))


def test_an_output_that_is_new_begins_with_what_comes(tmp_path: Path) -> None:
    path, archive = tmp_path / "readings.db", Archive()
    store = SQLiteStore(path)
    store.write([Batch(received_ns=0, readings=[reading(n, n) for n in range(50)])])
    store.close()
    with gateway(path, archive, start=50) as given:
        given.feed(5)
    assert archive.got == list(range(50, 55))
    # And one that was taken out of the configuration is new again.
    store = SQLiteStore(path)
    store.write([Batch(received_ns=0, readings=[reading(55, 55)])])
    store.close()
    with gateway(path, archive, start=56) as given:
        given.feed(1)
    assert archive.got == [*range(50, 55), 56]


def test_what_is_not_in_the_store_either_is_given_up_and_stays_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickseal_gateway.outputs.catching_up._PATIENCE_S", 0.1)
    archive = Archive()
    with gateway(tmp_path / "readings.db", archive) as given:
        archive.may_go_on.clear()
        given.feed(1)
        assert archive.entered.wait(PATIENCE_S)
        given.feed(100, to_store=False)
        archive.may_go_on.set()
        eventually(lambda: len(archive.got) == 11)
        given.feed(1)
        eventually(lambda: len(archive.got) == 12)
    assert archive.got == [*range(11), 101]
    assert (given.archived.counters.missed, given.archived.counters.caught_up) == (90, 0)


def test_a_fault_of_an_output_does_not_come_again(tmp_path: Path) -> None:
    archive = Archive()
    with gateway(tmp_path / "readings.db", archive) as given:
        archive.fault = ZeroDivisionError("a bug")
        given.feed(1)
        eventually(lambda: given.archived.counters.failures == 1)
        archive.fault = None
        given.feed(2)
        eventually(lambda: len(archive.got) == 2)
    assert archive.got == [1, 2]


def test_a_store_that_begins_anew_meanwhile_costs_what_was_in_it_and_no_more(
    tmp_path: Path,
) -> None:
    path, archive = tmp_path / "readings.db", Archive()
    with gateway(path, archive) as given:
        archive.may_go_on.clear()
        given.feed(1)
        assert archive.entered.wait(PATIENCE_S)
        given.feed(300)
        eventually(lambda: given.store.arrivals.serial == 301)
        given.store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * (path.stat().st_size - 4096))
        given.store._connection.close()
        given.store._connection = sqlite3.connect(path, check_same_thread=False)
        given.feed(1)
        eventually(lambda: given.store.moved_aside is not None)
        archive.may_go_on.set()
        given.feed(5)
        eventually(lambda: 306 in archive.got)
    assert archive.got[:11] == list(range(11))
    assert archive.got[-6:] == list(range(301, 307))


@pytest.mark.parametrize("value", [20.5, 3, "open", True, False, None])
def test_a_reading_comes_from_the_store_as_it_was(
    tmp_path: Path, value: float | str | bool | None
) -> None:
    given = reading(value, 7)._replace(
        unit=None, generation=(1 << 64) - 1, flags=constants.FLAG_BACKFILL
    )
    store = SQLiteStore(tmp_path / "readings.db")
    store.write([Batch(received_ns=0, readings=[given])])
    reader = StoreReader(tmp_path / "readings.db")
    ((number, found),) = reader.read(0, 10, 10)
    assert (number, found, type(found.value)) == (1, given, type(value))
    reader.close()
    store.close()


def test_an_output_of_chosen_streams_catches_up_as_well() -> None:
    assert SelectedOutput(Archive(), ["*"]).catches_up


OLD = """
CREATE TABLE series (
    id INTEGER PRIMARY KEY, device TEXT NOT NULL, stream TEXT NOT NULL, name TEXT NOT NULL,
    unit TEXT NOT NULL, UNIQUE (device, stream, name, unit)
);
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
CREATE VIEW readings AS SELECT device, value FROM samples JOIN series ON series.id = series;
INSERT INTO series VALUES (1, 'shed', 'garden', 't', 'Cel'), (2, 'shed', 'garden', 'h', '%RH');
INSERT INTO samples VALUES (1, 20, 20, 20.5, 2, '00000000000000ff', 4), (2, 10, 1, 50, 1, 'ff', 0);
PRAGMA user_version = 1;
"""


def test_a_store_of_version_1_is_turned_into_one_of_today(tmp_path: Path) -> None:
    path = tmp_path / "readings.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript(OLD)
    store = SQLiteStore(path)
    assert store.arrivals.number == 2
    store.write([Batch(received_ns=0, readings=[reading(21.0, 30), reading(20.5, 20)])])
    store.close()
    with contextlib.closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT name, value, time_ns FROM readings ORDER BY time_ns")
        assert rows.fetchall() == [("h", 50, 10), ("t", 20.5, 20), ("t", 21.0, 30)]
