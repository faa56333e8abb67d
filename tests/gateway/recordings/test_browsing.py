"""Looking at recordings: the bar of time and its gaps, and spans opened within a bound of work."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import SECOND, START, Recorded, encoded, jpeg, names, seconds
from tickseal_gateway.frames.readings import Content
from tickseal_gateway.recordings import browsing as module
from tickseal_gateway.recordings.browsing import Browsing
from tickseal_gateway.recordings.excerpts import Span
from tickseal_gateway.recordings.library import _Ticks

from tickseal.core import keytree
from tickseal.core.errors import StoreError

STREAM = "shed/air"
CAMERA = "shed/camera"


def span(first_s: float, until_s: float) -> Span:
    return Span(START + round(first_s * SECOND), START + round(until_s * SECOND))


def in_seconds(spans: list[Span]) -> list[tuple[float, float]]:
    return [((a - START) / SECOND, (b - START) / SECOND) for a, b in spans]


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    return Recorded(tmp_path / "recordings")


def test_streams_are_listed_with_what_they_carry(recorded: Recorded) -> None:
    recorded.record(STREAM, seconds(0, 4))
    recorded.record(CAMERA, seconds(0, 2), jpeg)
    look = Browsing(recorded.library)
    assert names(look.streams()) == [STREAM, CAMERA]
    assert look.content(look.find(STREAM)) is Content.READINGS
    assert look.content(look.find(CAMERA)) is Content.PICTURES
    bounds = look.bounds(look.find(STREAM))
    assert bounds is not None
    assert in_seconds([bounds]) == [(0, 4)]
    with pytest.raises(StoreError, match="nothing is recorded of 'other'"):
        look.find("other")


def test_the_bar_shows_gaps_and_no_more_than_is_asked_for(recorded: Recorded) -> None:
    recorded.record(STREAM, [*seconds(0, 30), *seconds(90, 100), *seconds(3650, 3660)])
    look = Browsing(recorded.library)
    stream = look.find(STREAM)
    assert in_seconds(look.bar(stream, span(-60, 4000))) == [(0, 30), (90, 100), (3650, 3660)]
    assert in_seconds(look.bar(stream, span(20, 95))) == [(20, 30), (90, 95)]
    assert look.bar(stream, span(40, 80)) == []
    assert look.bar(stream, span(20_000, 30_000)) == []


def test_a_stream_with_a_reading_a_minute_has_no_gap_after_each(recorded: Recorded) -> None:
    recorded.record(STREAM, [*seconds(0, 1800, 60), *seconds(5400, 7200, 60)], together=1)
    look = Browsing(recorded.library)
    bar = in_seconds(look.bar(look.find(STREAM), span(0, 7200)))
    assert [(round(a), round(b)) for a, b in bar] == [(0, 1740), (5400, 7140)]


def test_the_bar_grows_with_the_recording(recorded: Recorded) -> None:
    recorded.record(STREAM, seconds(0, 10))
    look = Browsing(recorded.library)
    assert in_seconds(look.bar(look.find(STREAM), span(0, 60))) == [(0, 10)]
    recorded.record(STREAM, seconds(10, 20))
    assert in_seconds(look.bar(look.find(STREAM), span(0, 60))) == [(0, 20)]


@settings(max_examples=30)
@given(
    rows=st.lists(st.tuples(st.integers(0, 500), st.integers(1, 30)), max_size=40),
    gap=st.integers(0, 20),
)
def test_merging_keeps_what_is_covered_and_fills_only_short_silences(
    rows: list[tuple[int, int]], gap: int
) -> None:
    blocks = sorted((start, start + length) for start, length in rows)
    merged = module._merged(blocks, gap)
    covered = {at for start, end in blocks for at in range(start, end)}
    shown = {at for start, end in merged for at in range(start, end)}
    assert covered <= shown
    assert all(b[0] - a[1] > gap for a, b in pairwise(merged))
    for at in shown - covered:
        before = max(other for other in covered if other < at)
        after = min(other for other in covered if other > at)
        assert after - before - 1 <= gap


def test_readings_of_a_span_and_of_nothing_else(recorded: Recorded) -> None:
    recorded.record(STREAM, seconds(0, 20))
    look = Browsing(recorded.library)
    found = look.readings(look.find(STREAM), span(5, 8))
    series = found.series["air"]
    assert (series.unit, series.last) == ("Cel", 79.0)
    assert [row[1] for row in series.points(found.bucket_ns)] == list(range(50, 80))
    report = found.report()
    assert (report["frames"], report["missing"], report["is_whole"]) == (30, 0, True)
    assert report["proved_until_ms"] is None


def test_frames_that_were_sealed_and_are_not_here_are_told(recorded: Recorded) -> None:
    recorded.record(STREAM, seconds(0, 10), leave_out=[30, 31, 70])
    look = Browsing(recorded.library)
    assert look.readings(look.find(STREAM), span(0, 10)).report()["missing"] == 3
    assert look.readings(look.find(STREAM), span(5, 10)).report()["missing"] == 1


def test_a_span_that_is_too_long_is_opened_as_a_sample(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded.record(STREAM, seconds(0, 200))
    look = Browsing(recorded.library)
    stream = look.find(STREAM)
    monkeypatch.setattr(module, "_SEALED_MOST", stream.size // 2)
    monkeypatch.setattr(module, "_SAMPLE", stream.size // 8)
    found = look.readings(stream, span(0, 200))
    report = found.report()
    assert report["is_whole"] is False
    assert report["missing"] is None, "of a sample nobody knows"
    assert 2000 / 12 <= int(str(report["frames"])) <= 2000 / 5
    values = [row[1] for row in found.series["air"].points(found.bucket_ns)]
    assert min(values) < 50
    assert max(values) > 1900


def test_a_sample_opens_no_more_grants_than_it_needs(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded.record(STREAM, seconds(0, 400))
    library = recorded.library
    opened = 0
    real = library._grant

    def counted(*arguments: Any) -> Any:
        nonlocal opened
        opened += 1
        return real(*arguments)

    monkeypatch.setattr(library, "_grant", counted)
    found = library.pieces(library.find(STREAM), (0, 1 << 63), every=20)
    rows = [row.frame for piece in found for row in piece.rows]
    assert rows == [n for first in range(0, 4000, 400) for n in range(first, first + 20)]
    assert opened <= 10 + 3, "of 200"


@given(
    spans=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=8),
    first=st.integers(0, 80),
    length=st.integers(1, 20),
)
def test_spans_are_met_exactly_where_they_share_a_tick(
    spans: list[tuple[int, int]], first: int, length: int
) -> None:
    ticks = {at for start, size in spans for at in range(start, start + size)}
    asked = _Ticks((start, start + size) for start, size in spans)
    assert asked.meet(first, first + length) == bool(ticks & set(range(first, first + length)))


def test_on_a_slow_machine_a_sample_is_opened(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded.record(STREAM, seconds(0, 200))
    look = Browsing(recorded.library)
    now_s = 0.0

    def monotonic() -> float:
        nonlocal now_s
        now_s += 0.0015  # a look at the clock a frame: 2000 frames take 3 s, a sample less
        return now_s

    monkeypatch.setattr(module.time, "monotonic", monotonic)
    monkeypatch.setattr(module, "_LONGEST_S", 2.0)
    found = look.readings(look.find(STREAM), span(0, 200))
    assert found.every == 2
    assert found.reached_ns == START + 200 * SECOND
    assert found.report()["frames"] == 1000


def test_opening_ends_when_it_takes_too_long(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded.record(STREAM, seconds(0, 20))
    look = Browsing(recorded.library)
    stream = look.find(STREAM)
    monkeypatch.setattr(module, "_LONGEST_S", -1.0)
    found = look.readings(stream, span(5, 20))
    assert found.report()["frames"] == 1
    assert found.reached_ns == START + 5 * SECOND


def test_pictures_come_in_parts_that_follow_each_other(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded.record(CAMERA, [*seconds(0, 10), *seconds(300, 310)], jpeg)
    look = Browsing(recorded.library)
    stream = look.find(CAMERA)
    monkeypatch.setattr(module, "_PART_PICTURES", 45)
    seen: list[int] = []
    at = span(0, 400)
    while at.start_ns < at.end_ns:
        part = look.pictures(stream, at)
        assert len(part.pictures) <= 45 + 20
        seen += [shown.picture.picture.sequence for shown in part.pictures]
        assert part.reached_ns > at.start_ns
        at = Span(part.reached_ns, at.end_ns)
    assert seen == list(range(200))


def test_a_part_is_bounded_in_bytes(recorded: Recorded) -> None:
    recorded.record(CAMERA, seconds(0, 60), lambda n, at: jpeg(n, at, size=200_000))
    look = Browsing(recorded.library)
    part = look.pictures(look.find(CAMERA), span(0, 60))
    size = sum(len(shown.picture.picture.data) for shown in part.pictures)
    assert 4 << 20 <= size <= (4 << 20) + 21 * 201_000
    assert part.reached_ns < START + 60 * SECOND


def test_seeking_a_video_gives_the_key_picture_before(recorded: Recorded) -> None:
    recorded.record(
        CAMERA,
        seconds(0, 20),
        lambda n, at: encoded("h264", n, at, b"x" * 20, is_key=n % 50 == 0),
    )
    look = Browsing(recorded.library)
    stream = look.find(CAMERA)

    def sequences(*, first_s: float, is_seek: bool) -> list[int]:
        part = look.pictures(stream, span(first_s, first_s + 1), is_seek=is_seek)
        return [shown.picture.picture.sequence for shown in part.pictures]

    assert sequences(first_s=12, is_seek=True) == list(range(100, 130))
    assert sequences(first_s=12, is_seek=False) == list(range(120, 130))
    recorded.record("plain", seconds(0, 20), jpeg)
    part = look.pictures(Browsing(recorded.library).find("plain"), span(12, 13), is_seek=True)
    shown = [each.picture.picture.sequence for each in part.pictures]
    assert shown == list(range(119, 130)), "one that stands by itself needs one before it at most"


def test_who_lies_about_the_time_is_placed_by_its_tick(recorded: Recorded) -> None:
    recorded.record(CAMERA, seconds(0, 2), lambda n, at: jpeg(n, at + 3600 * SECOND))
    look = Browsing(recorded.library)
    part = look.pictures(look.find(CAMERA), span(0, 10))
    assert in_seconds([Span(part.pictures[5].at_ns, 0)])[0][0] == 0.5


def test_a_seek_derives_few_keys_however_much_is_recorded(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded.record(STREAM, seconds(0, 600, 0.5), together=100)
    look = Browsing(recorded.library)
    stream = look.find(STREAM)
    steps = 0
    real = keytree.children

    def counted(*arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        return real(*arguments)

    monkeypatch.setattr(keytree, "children", counted)
    look.readings(stream, span(500, 501))
    assert 0 < steps < 6 * 32


def test_the_bar_of_a_week_costs_little_the_second_time(recorded: Recorded) -> None:
    for hour in range(0, 48, 4):
        recorded.record(STREAM, seconds(hour * 3600, hour * 3600 + 600, 5), together=4)
    look = Browsing(recorded.library)
    stream = look.find(STREAM)
    first = look.bar(stream, span(-5 * 86400, 2 * 86400))
    assert len(first) == 12
    reads = 0

    def count(_: object) -> list[object]:
        nonlocal reads
        reads += 1
        return []

    look.library.blocks = count  # type: ignore[method-assign,assignment]
    assert look.bar(stream, span(-5 * 86400, 2 * 86400)) == first
    assert reads == 0
