"""The store: readings that people can query, whole batches or nothing, through kills and damage."""

import contextlib
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from tickseal_gateway.frames.readings import Batch, Reading
from tickseal_gateway.store.room import Room
from tickseal_gateway.store.sqlite import GenerationRow, SQLiteStore

from tickseal.core import constants
from tickseal.core.errors import StoreError
from tickseal.payloads.samples import Measured

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
    store = SQLiteStore(tmp_path / "readings.db", room=Room(retention_ns=3600 * 10**9))
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
from tickseal_gateway.frames.readings import Batch, Reading
from tickseal_gateway.store.sqlite import SQLiteStore
store = SQLiteStore(Path(sys.argv[1]))
number = 1_000_000 * int(sys.argv[2])
while True:
    batch = [Reading("d", "s", f"n{i}", 1.0, None, number, 0, number, 1, 0) for i in range(50)]
    store.write([Batch(received_ns=0, readings=batch)])
    print(number, flush=True)
    number += 1
"""


def test_kills_at_random_moments_lose_nothing_that_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "readings.db"
    chance = random.Random(3)
    said: set[int] = set()
    for life in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, path, str(life)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout
        said.add(int(writer.stdout.readline()))
        # Somewhere within the next few writes, which take a millisecond each.
        with contextlib.suppress(subprocess.TimeoutExpired):
            writer.wait(chance.uniform(0, 0.02))
        os.kill(writer.pid, signal.SIGKILL)
        said |= {int(line) for line in writer.communicate()[0].split()}
    rows = query(path, "SELECT frame, count(*) FROM samples GROUP BY frame")
    assert said <= {row[0] for row in rows}
    # No batch is there in part, and of each life at most one is there that was not said.
    assert {row[1] for row in rows} == {50}
    assert len(rows) - len(said) <= 5
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


FULL = """
import resource, signal, sys
from pathlib import Path
from tickseal.core.errors import StoreError
from tickseal_gateway.frames.readings import Batch, Reading
from tickseal_gateway.store.sqlite import SQLiteStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = SQLiteStore(Path(sys.argv[1]))
def write(number):
    reading = Reading("d", "s", "n", "x" * 4000, None, number, 0, number, 1, 0)
    store.write([Batch(received_ns=0, readings=[reading])])
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
number = 0
try:
    while number < 10_000:
        write(number)
        number += 1
except StoreError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
write(number)
store.close()
print(number)
"""


def test_a_file_that_cannot_grow_loses_nothing_and_goes_on_when_it_can(tmp_path: Path) -> None:
    path = tmp_path / "readings.db"
    done = subprocess.run(
        [sys.executable, "-c", FULL, path], capture_output=True, text=True, check=True
    )
    says, number = done.stdout.splitlines()
    assert says.startswith(f"cannot write to {path}: ")
    assert 0 < int(number) < 10_000
    assert query(path, "SELECT count(*) FROM samples") == [(int(number) + 1,)]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_database_that_another_holds_is_named_and_written_later(tmp_path: Path) -> None:
    path = tmp_path / "readings.db"
    store = SQLiteStore(path)
    store._connection.execute("PRAGMA busy_timeout = 1")
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another program holds it: close that program"):
            write(store, reading(1))
    write(store, reading(1))
    store.close()
    assert query(path, "SELECT value FROM readings") == [(1,)]


def test_damage_deep_in_the_file_is_found_at_a_write_and_moved_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "readings.db"
    store = SQLiteStore(path)
    write(store, *(reading("x" * 400, number) for number in range(500)))
    store.close()
    with path.open("r+b") as file:  # all but the first page and the schema's
        file.seek(4096 * 3)
        file.write(b"\xa5" * (path.stat().st_size - 4096 * 3))
    store = SQLiteStore(path)
    for number in range(3):
        write(store, reading(number, 1000 + number))
    store.close()
    assert store.moved_aside is not None
    assert b"\xa5" * 4096 in store.moved_aside.read_bytes()
    assert query(path, "SELECT value FROM readings ORDER BY time_ns") == [(0,), (1,), (2,)]
    assert len([r for r in caplog.records if "is damaged" in r.message]) == 1
