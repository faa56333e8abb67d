"""The store: readings that people can query, whole batches or nothing, through kills and damage."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from tickseal_gateway.readings import Batch, Reading
from tickseal_gateway.store.sqlite import GenerationRow, SQLiteStore

from tickseal.core import constants
from tickseal.core.errors import StoreError
from tickseal.samples import Measured

NOON_NS = 1_700_000_000_000_000_000


def reading(
    value: Measured | None, number: int = 0, *, time_ns: int = NOON_NS, flags: int = 0
) -> Reading:
    return Reading("shed", "garden", "t", value, "Cel", time_ns + number, 5, number, 255, flags)


def write(store: SQLiteStore, *readings: Reading) -> None:
    store.write([Batch(received_ns=NOON_NS, readings=list(readings))])


def query(path: Path, text: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(text).fetchall()


def test_readings_can_be_read_by_a_person(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "readings.db"
    store = SQLiteStore(path)
    write(store, reading(21.5), reading(None, 1, flags=constants.FLAG_HOLDOVER))
    store.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert query(path, "SELECT * FROM readings ORDER BY time_ns") == [
        ("2023-11-14T22:13:20.000Z", "shed", "garden", "t", 21.5, "Cel", NOON_NS, 5, 0,
         "00000000000000ff", 0, 0),
        ("2023-11-14T22:13:20.000Z", "shed", "garden", "t", None, "Cel", NOON_NS + 1, 5, 1,
         "00000000000000ff", 0, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "value", [True, "open", 1 << 63, -(1 << 200), 1e300, "a\0b", "\N{SNOWMAN}"]
)
def test_any_value_that_a_device_may_send_is_stored(tmp_path: Path, value: Measured) -> None:
    store = SQLiteStore(tmp_path / "readings.db")
    write(store, reading(value), reading(1, 1))
    store.close()
    assert len(query(tmp_path / "readings.db", "SELECT value FROM readings")) == 2


def test_a_value_beyond_all_numbers_becomes_none(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "readings.db")
    write(store, reading(1 << 2000), reading(3, 1, time_ns=1 << 70))
    store.close()
    assert query(tmp_path / "readings.db", "SELECT value FROM readings") == [(None,)]


def test_a_frame_that_is_stored_again_stays_one(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "readings.db")
    for _ in range(2):
        write(store, reading(1), reading(2, 1))
    store.close()
    assert query(tmp_path / "readings.db", "SELECT count(*) FROM readings") == [(2,)]


def test_generations_are_counted(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "readings.db")
    for frames in (5, 9):
        store.note_generations(
            [GenerationRow(7, 255, "shed", "garden", NOON_NS, NOON_NS, frames, 90, 1, {"late": 2})]
        )
        write(store)
    store.close()
    rows = query(tmp_path / "readings.db", "SELECT frames, missing, refusals FROM generations")
    assert rows == [(9, 1, '{"late": 2}')]


def test_what_is_older_than_the_retention_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SQLiteStore(tmp_path / "readings.db", retention_ns=3600 * 10**9)
    write(store, reading(1), reading(2, time_ns=time.time_ns()))
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + 3600)
    write(store)
    store.close()
    assert query(tmp_path / "readings.db", "SELECT value FROM readings") == [(2,)]


def test_a_damaged_database_is_moved_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    path = tmp_path / "readings.db"
    path.write_bytes(b"this is no database" * 1000)
    store = SQLiteStore(path)
    write(store, reading(1))
    store.close()
    assert store.moved_aside is not None
    assert store.moved_aside.read_bytes().startswith(b"this is no database")
    assert query(path, "SELECT value FROM readings") == [(1,)]


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "readings.db")) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="made by a newer tickseal"):
        SQLiteStore(tmp_path / "readings.db")


def test_a_disk_that_is_full_is_named_and_recovered_from(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "readings.db")
    write(store, reading(1))
    # SQLite's own limit gives the very error of a full disk.
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    many = [reading("x" * 400, number) for number in range(1, 100)]
    with pytest.raises(StoreError, match="the disk is full: make room"):
        write(store, *many)
    store._connection.execute("PRAGMA max_page_count = 100000")
    write(store, *many)
    store.close()
    assert query(tmp_path / "readings.db", "SELECT count(*) FROM readings") == [(100,)]


def test_what_a_failed_write_began_is_not_taken_for_done(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "readings.db")
    store._connection.execute(
        "CREATE TEMP TRIGGER fault BEFORE INSERT ON samples BEGIN SELECT RAISE(ROLLBACK, 'x'); END"
    )
    with pytest.raises(StoreError):
        write(store, reading(1))
    store._connection.execute("DROP TRIGGER fault")
    write(store, reading(1))
    store.close()
    assert query(tmp_path / "readings.db", "SELECT value FROM readings") == [(1,)]


WRITER = """
import sys
from pathlib import Path
from tickseal_gateway.readings import Batch, Reading
from tickseal_gateway.store.sqlite import SQLiteStore
store = SQLiteStore(Path(sys.argv[1]))
number = 0
while True:
    batch = [Reading("d", "s", f"n{i}", 1.0, None, number, 0, number, 1, 0) for i in range(50)]
    store.write([Batch(received_ns=0, readings=batch)])
    print(number, flush=True)
    number += 1
"""


def test_a_kill_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "readings.db"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout
    said = [int(writer.stdout.readline()) for _ in range(20)]
    os.kill(writer.pid, signal.SIGKILL)
    said += [int(line) for line in writer.communicate()[0].split()]
    rows = query(path, "SELECT frame, count(*) FROM samples GROUP BY frame ORDER BY frame")
    assert [row[0] for row in rows[: len(said)]] == said
    # No batch is there in part.
    assert {row[1] for row in rows} == {50}
    assert len(rows) - len(said) <= 1
