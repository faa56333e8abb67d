"""Room: the store keeps within its size, and each device within its own; space is given back."""

import itertools
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tickseal_gateway.frames.readings import Batch, Reading
from tickseal_gateway.ingest.quotas import Quota
from tickseal_gateway.store.room import Room
from tickseal_gateway.store.sqlite import GenerationRow, SQLiteStore

MOST = 2 << 20
START_NS = 1_700_000_000_000_000_000
_numbers = itertools.count()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Moves the monotonic clock on by a minute."""
    passed = [0.0]
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + passed[0])

    def move() -> None:
        passed[0] += 61

    return move  # type: ignore[return-value]


def fill(store: SQLiteStore, count: int, stream: str = "garden") -> None:
    readings = [
        Reading("shed", stream, "t", n / 3, "Cel", START_NS + n * 10**9, n, n, 255, 0)
        for n in itertools.islice(_numbers, count)
    ]
    store.write([Batch(received_ns=0, readings=readings)])


def query(store: SQLiteStore, text: str) -> list[tuple[int, ...]]:
    with closing(sqlite3.connect(store.path)) as database:
        return database.execute(text).fetchall()


def on_disk(store: SQLiteStore) -> int:
    with closing(sqlite3.connect(store.path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return store.path.stat().st_size


def test_the_readings_that_came_first_go_and_the_disk_gets_their_space_back(
    tmp_path: Path, later: Callable[[], None]
) -> None:
    store = SQLiteStore(tmp_path / "readings.db", room=Room(size_most=MOST))
    fill(store, 60_000)
    assert on_disk(store) > 2 * MOST
    last = query(store, "SELECT max(number) FROM samples")
    later()
    for _ in range(20):
        fill(store, 1)
    assert on_disk(store) < MOST * 1.5
    ((first, until, count),) = query(
        store, "SELECT min(number), max(number), count(*) FROM samples"
    )
    assert (until, until - first + 1) == (last[0][0] + 20, count), "the newest, without a gap"
    assert count > 10_000, "and not more went than had to"
    later()
    fill(store, 1)
    assert query(store, "SELECT min(number) FROM samples") == [(first,)], "within it nothing goes"
    store.close()


def test_it_never_grows_beyond_its_size_while_readings_come(
    tmp_path: Path, later: Callable[[], None]
) -> None:
    store = SQLiteStore(tmp_path / "readings.db", room=Room(size_most=MOST))
    sizes = []
    for _ in range(30):
        fill(store, 3000)
        later()
        sizes.append(on_disk(store))
    store.close()
    assert max(sizes) < MOST * 1.5


def test_the_counts_of_generations_go_with_their_readings(
    tmp_path: Path, later: Callable[[], None]
) -> None:
    room = Room(retention_ns=3600 * 10**9)
    store = SQLiteStore(tmp_path / "readings.db", room=room)
    now_ns = time.time_ns()
    for number, last_ns in enumerate((0, now_ns - 7200 * 10**9, now_ns)):
        opened_ns = now_ns if last_ns == 0 else last_ns - 10**9
        store.note_generations(
            [GenerationRow(7, number, "shed", "garden", opened_ns, last_ns, 1, 1, 0, {})]
        )
    fill(store, 1)
    later()
    fill(store, 1)
    assert len(query(store, "SELECT generation FROM generations")) == 2
    store.close()


def test_one_device_keeps_within_its_own_limit(tmp_path: Path, later: Callable[[], None]) -> None:
    told: list[str] = []
    quota = Quota(
        device="shed", handles=frozenset(), streams=frozenset({"garden"}), size_most=MOST // 4
    )
    room = Room(quotas=lambda: [quota], over_quota=lambda one: told.append(one.device))
    store = SQLiteStore(tmp_path / "readings.db", room=room)
    for _ in range(4):
        fill(store, 5000)
        fill(store, 5000, stream="yard")
    later()
    fill(store, 1)
    store.close()
    assert told == ["shed"]
    kept = dict(query(store, "SELECT stream, count(*) FROM readings GROUP BY stream"))
    assert kept["yard"] == 20_000, "no other device's"
    assert 3000 < kept["garden"] < 10_000
    newest = query(store, "SELECT max(frame) FROM readings WHERE stream = 'garden'")
    assert newest == query(store, "SELECT max(frame) FROM readings")


def test_names_that_a_device_made_up_give_their_room_back(
    tmp_path: Path, later: Callable[[], None]
) -> None:
    """Or the store would be full of names for ever, and keep no reading of anybody."""
    room = Room(retention_ns=3600 * 10**9)
    store = SQLiteStore(tmp_path / "readings.db", room=room)
    now_ns = time.time_ns()

    def write(name: str, time_ns: int) -> None:
        reading = Reading("shed", "garden", name, 1.0, "Cel", time_ns, 0, next(_numbers), 255, 0)
        store.write([Batch(received_ns=0, readings=[reading])])

    for number in range(50):
        write(f"made-up-{number}", START_NS)
    write("t", now_ns)
    later()
    write("t", now_ns + 1)
    assert query(store, "SELECT count(*) FROM series") == [(1,)]
    # A name that comes again is another series.
    write("made-up-7", now_ns + 2)
    write("t", now_ns + 3)
    assert query(store, "SELECT count(*) FROM readings WHERE name = 'made-up-7'") == [(1,)]
    assert query(store, "SELECT count(*) FROM readings WHERE name = 't'") == [(3,)]
