"""The past of a plot: what the store has, in a few hundred points, without waiting for long."""

import asyncio
import time
from pathlib import Path

import pytest
from tickseal_gateway.dashboard import history
from tickseal_gateway.dashboard.history import History
from tickseal_gateway.frames.readings import Batch, Reading
from tickseal_gateway.store.sqlite import SQLiteStore

SECOND = 10**9


def stored(path: Path, rows: list[tuple[str, int, float | str | None]]) -> History:
    """A history over a store with rows of stream, age in ms, and value."""
    now = time.time_ns()
    store = SQLiteStore(path)
    readings = [
        Reading("garden", stream, "air", value, "Cel", now - age_ms * 1_000_000, 0, n, 1, 0)
        for n, (stream, age_ms, value) in enumerate(rows)
    ]
    store.write([Batch(received_ns=now, readings=readings)])
    store.close()
    return History(path)


def read(
    source: History, *streams: str, seconds: int = 300
) -> dict[str, dict[str, list[list[float]]]]:
    return asyncio.run(source.read(list(streams), seconds=seconds))


def test_a_series_is_read_with_its_extremes(tmp_path: Path) -> None:
    rows = [("yard", 1000 * n, float(n % 60)) for n in range(3600)]
    found = read(stored(tmp_path / "readings.db", rows), "yard", seconds=7200)
    points = found["yard"]["air"]
    assert 200 < len(points) <= 601
    times = [point[0] for point in points]
    assert times == sorted(times)
    assert abs(times[-1] - time.time() * 1000) < 20_000
    inner = points[5]
    assert inner[2] < inner[1] < inner[3], "lowest, mean, highest of a dozen readings"


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    source = stored(
        tmp_path / "readings.db",
        [("yard", 1000, 1.0), ("hall", 1000, 2.0), ("yard", 400_000, 3.0)],
    )
    assert {stream: len(names["air"]) for stream, names in read(source, "yard").items()} == {
        "yard": 1
    }
    assert set(read(source, "yard", "hall", "none", seconds=3600)) == {"yard", "hall"}


def test_what_is_no_number_is_left_out(tmp_path: Path) -> None:
    rows = [("yard", 3000, None), ("yard", 2000, "open"), ("yard", 1000, 4.0)]
    points = read(stored(tmp_path / "readings.db", rows), "yard")["yard"]["air"]
    assert [point[1:] for point in points] == [[4.0, 4.0, 4.0]]


def test_without_a_store_there_is_no_past(tmp_path: Path) -> None:
    assert read(History(None), "yard") == {}
    assert read(History(tmp_path / "none.db"), "yard") == {}


def test_a_question_that_takes_too_long_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [("yard", n, float(n)) for n in range(20_000)]
    source = stored(tmp_path / "readings.db", rows)
    monkeypatch.setattr(history, "_LONGEST_S", 0.0)
    assert read(source, "yard") == {}
