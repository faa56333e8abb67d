"""Browsing: what is recorded of a stream as a bar of time, and spans of it opened for people.

Each question has a bound on its work: what is too much to open whole is opened as a sample, and
pictures come in parts.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median_low
from typing import TypeVar

from tickseal.core.errors import StoreError
from tickseal.streams.receiving import Frame
from tickseal_gateway.frames.readings import Batch, Content, content_of, read_frame
from tickseal_gateway.recordings.excerpts import Excerpt, Series, Shown, Span
from tickseal_gateway.recordings.library import Block, Library, Recorded
from tickseal_gateway.recordings.opening import RecordingOpener, ToUTC
from tickseal_gateway.recordings.playing import to_tai
from tickseal_gateway.recordings.shelf import Shelved

T = TypeVar("T")
_SECOND = 1_000_000_000
_HOUR_NS = 3600 * _SECOND
#: The names are read from the disk anew after so long, s.
_FRESH_S = 5.0
#: Hours whose blocks, and whose part of a bar, are remembered.
_HOURS_KEPT, _BARS_KEPT = 48, 2048
#: Spans of a bar, and points of a series.
_SPANS_MOST, _POINTS = 1000, 600
#: Silences that are no gap in the bar: this, or so many usual distances.
_GAP_NS, _GAP_TIMES = 5 * _SECOND, 5
#: Sealed bytes that one question opens; of more, a sample of about so many.
_SEALED_MOST, _SAMPLE = 2 << 20, 256 << 10
#: Opened bytes and pictures of one part, and how long making it may take, s.
_PART_BYTES, _PART_PICTURES, _LONGEST_S = 4 << 20, 150, 2.0
#: Pictures are opened by so much time at once; the last that stands by itself is so near.
_WINDOW_NS = 2 * _SECOND
_KEY_NS = 15 * _SECOND
#: Who says that it was taken further than this from its tick is not believed.
_TRUSTED_NS = 10 * _SECOND


class Browsing:
    """Answers questions about recordings; for one thread at a time."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._streams: dict[str, Recorded] = {}
        self._stale_s = float("-inf")
        self._contents: dict[Path, Content] = {}
        self._hours: OrderedDict[Path, tuple[int, list[Block]]] = OrderedDict()
        self._bars: OrderedDict[Path, tuple[int, tuple[list[tuple[int, int]], int]]] = OrderedDict()

    def streams(self) -> list[Recorded]:
        """Return what is recorded; a few seconds old at most.

        Raises:
            StoreError: the folder cannot be read, or holds what another key opens.
        """
        now_s = time.monotonic()
        if now_s >= self._stale_s:
            self._streams = {recorded.id: recorded for recorded in self.library.streams()}
            self._stale_s = time.monotonic() + _FRESH_S
        return list(self._streams.values())

    def find(self, stream_id: str) -> Recorded:
        """Return what is recorded of a stream.

        Raises:
            StoreError: nothing is.
        """
        self.streams()
        recorded = self._streams.get(stream_id)
        if recorded is None:
            raise StoreError(f"nothing is recorded of {stream_id!r}")
        return recorded

    def content(self, recorded: Recorded) -> Content:
        """Return what a stream's frames carry; opaque where that cannot be told.

        Raises:
            StoreError: its newest file cannot be read.
        """
        file = recorded.files[-1]
        known = self._contents.get(file.path)
        if known is None:
            hour = file.hour * _HOUR_NS, (file.hour + 1) * _HOUR_NS
            last = Recorded(id=recorded.id, device=recorded.device, files=(file,), size=0)
            piece = next(self.library.pieces(last, hour), None)
            if piece is None:
                return Content.OPAQUE
            known = self._contents[file.path] = content_of(piece.generation.metadata)
            if len(self._contents) > _BARS_KEPT:
                del self._contents[next(iter(self._contents))]
        return known

    def bounds(self, recorded: Recorded) -> Span | None:
        """Return from when to when there is something of a stream."""
        first, last = self._blocks_of(recorded.files[0]), self._blocks_of(recorded.files[-1])
        if not first or not last:
            return None
        to_utc = _utc_at(first[0].start_ns)
        return Span(
            to_utc(min(block.start_ns for block in first)),
            to_utc(max(block.end_ns for block in last)),
        )

    def bar(self, recorded: Recorded, span: Span) -> list[Span]:
        """Return what of a span is recorded, as spans with gaps between them.

        Raises:
            StoreError: a file cannot be read, or its grants are not as they were written.
        """
        hours = [self._hour_bar(file) for file in _within(recorded, span)]
        gap_ns = max((gap for _, gap in hours), default=_GAP_NS)
        rows = sorted(row for spans, _ in hours for row in spans)
        while len(found := _merged(rows, gap_ns)) > _SPANS_MOST:
            gap_ns *= 2
        to_utc = _utc_at(to_tai(span.start_ns))
        shown = [Span(to_utc(start), to_utc(end)) for start, end in found]
        return [
            Span(max(span.start_ns, start), min(span.end_ns, end))
            for start, end in shown
            if start < span.end_ns and end > span.start_ns
        ]

    def readings(self, recorded: Recorded, span: Span) -> Excerpt:
        """Open the readings of a span: all, or a sample where they are many, or the machine slow.

        Raises:
            StoreError: as of bar().
        """
        sealed = sum(block.size for block in self._blocks(recorded, span))
        sparse = max(2, -(-sealed // _SAMPLE))
        if sealed > _SEALED_MOST:
            return self._readings(recorded, span, sparse)
        whole = self._readings(recorded, span, 1)
        is_done = whole.reached_ns >= span.end_ns
        return whole if is_done else self._readings(recorded, span, sparse)

    def _readings(self, recorded: Recorded, span: Span, every: int) -> Excerpt:
        opened = Excerpt(
            every=every,
            reached_ns=span.end_ns,
            bucket_ns=max(1, (span.end_ns - span.start_ns) // _POINTS),
        )
        opener = RecordingOpener()
        deadline = time.monotonic() + _LONGEST_S
        for frame, batch in self._frames(recorded, span, opener, every):
            instant = _instant_of(frame)
            for reading in batch.readings:
                at_ns = _place(reading.time_ns, instant)
                series = opened.series.setdefault(reading.name, Series())
                series.unit, series.last = reading.unit, reading.value
                if isinstance(reading.value, int | float) and not isinstance(reading.value, bool):
                    series.add(at_ns // opened.bucket_ns, reading.value)
            if time.monotonic() > deadline:
                opened.reached_ns = instant
                break
        opened.found = list(opener.found.values())
        return opened

    def pictures(self, recorded: Recorded, span: Span, *, is_seek: bool = False) -> Excerpt:
        """Open the next pictures of a span, in the order of time: a part of it.

        Args:
            is_seek: begin with the picture that those at the start need to be decoded, if any.
        Raises:
            StoreError: as of bar().
        """
        opened = Excerpt(reached_ns=span.start_ns)
        if is_seek:
            opened.pictures = self._needed_at(recorded, span.start_ns)
        opener = RecordingOpener()
        deadline = time.monotonic() + _LONGEST_S
        size = count = 0
        for window in self._windows(recorded, span):
            shown = self._shown(recorded, window, opener)
            opened.pictures += shown
            opened.reached_ns = window.end_ns
            size += sum(len(each.picture.picture.data) for each in shown)
            count += len(shown)
            is_full = size >= _PART_BYTES or count >= _PART_PICTURES
            if is_full or time.monotonic() > deadline:
                break
        else:
            opened.reached_ns = span.end_ns
        opened.found = list(opener.found.values())
        return opened

    def _needed_at(self, recorded: Recorded, at_ns: int) -> list[Shown]:
        """Return the last pictures before an instant, from one on that stands by itself."""
        found: list[Shown] = []
        windows = list(self._windows(recorded, Span(at_ns - _KEY_NS, at_ns)))
        for window in reversed(windows):
            found = self._shown(recorded, window, RecordingOpener()) + found
            for place in range(len(found) - 1, -1, -1):
                if found[place].picture.picture.is_key:
                    return found[place:]
        return []

    def _windows(self, recorded: Recorded, span: Span) -> Iterator[Span]:
        """Yield short spans that hold something."""
        to_utc = _utc_at(to_tai(span.start_ns))
        at_ns = span.start_ns
        for block in self._blocks(recorded, span):
            start, end = max(at_ns, to_utc(block.start_ns)), min(span.end_ns, to_utc(block.end_ns))
            while start < end:
                at_ns = min(span.end_ns, start + _WINDOW_NS)
                yield Span(start, at_ns)
                start = at_ns

    def _shown(self, recorded: Recorded, span: Span, opener: RecordingOpener) -> list[Shown]:
        found = []
        for frame, batch in self._frames(recorded, span, opener, 1):
            instant = _instant_of(frame)
            for picture in batch.pictures:
                found.append(Shown(_place(picture.picture.time_ns, instant), picture))
        return sorted(found, key=lambda shown: shown.at_ns)

    def _frames(
        self, recorded: Recorded, span: Span, opener: RecordingOpener, every: int
    ) -> Iterator[tuple[Frame, Batch]]:
        tai = to_tai(span.start_ns), to_tai(span.end_ns)
        for piece in self.library.pieces(recorded, tai, every=every):
            content = content_of(piece.generation.metadata)
            for frame in opener.frames(piece):
                batch = Batch(received_ns=0)
                read_frame(frame, piece.device, content, batch)
                yield frame, batch

    def _blocks(self, recorded: Recorded, span: Span) -> list[Block]:
        start, end = to_tai(span.start_ns), to_tai(span.end_ns)
        return sorted(
            block
            for file in _within(recorded, span)
            for block in self._blocks_of(file)
            if block.start_ns < end and block.end_ns > start
        )

    def _blocks_of(self, file: Shelved) -> list[Block]:
        return _kept(self._hours, _HOURS_KEPT, file, lambda: self.library.blocks(file), [])

    def _hour_bar(self, file: Shelved) -> tuple[list[tuple[int, int]], int]:
        """Return what of an hour is recorded, and how long a silence is no gap in it, ns."""

        def read() -> tuple[list[tuple[int, int]], int]:
            rows = sorted((block.start_ns, block.end_ns) for block in self.library.blocks(file))
            steps = [after[0] - before[0] for before, after in pairwise(rows)]
            gap_ns = max(_GAP_NS, _GAP_TIMES * median_low(steps)) if len(steps) > 1 else _GAP_NS
            return _merged(rows, gap_ns), gap_ns

        return _kept(self._bars, _BARS_KEPT, file, read, ([], _GAP_NS))


def _within(recorded: Recorded, span: Span) -> list[Shelved]:
    start, end = to_tai(span.start_ns), to_tai(span.end_ns)
    return [
        file
        for file in recorded.files
        if file.hour * _HOUR_NS < end and (file.hour + 1) * _HOUR_NS > start
    ]


def _kept(
    kept: OrderedDict[Path, tuple[int, T]],
    most: int,
    file: Shelved,
    read: Callable[[], T],
    nothing: T,
) -> T:
    """Return what was read of a file, which is read again once it has grown."""
    try:
        size = file.path.stat().st_size
    except OSError:  # too old, and gone meanwhile
        return nothing
    known = kept.pop(file.path, None)
    if known is None or known[0] != size:
        known = size, read()
    kept[file.path] = known
    if len(kept) > most:
        kept.popitem(last=False)
    return known[1]


def _merged(rows: Iterable[tuple[int, int]], gap_ns: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, end in rows:
        if found and start - found[-1][1] <= gap_ns:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found


def _place(taken_ns: int, instant_ns: int) -> int:
    """Return when something was taken: as it says, unless its tick proves that wrong."""
    return taken_ns if abs(taken_ns - instant_ns) < _TRUSTED_NS else instant_ns


def _utc_at(tai_ns: int) -> ToUTC:
    # A leap second ago makes an old bar a second wrong, and no picture.
    return ToUTC((to_tai(tai_ns) - tai_ns) // _SECOND)


def _instant_of(frame: Frame) -> int:
    parameters = frame.source.parameters
    tai_ns = parameters.t0_ns + frame.tick * parameters.interval_ns
    return _utc_at(tai_ns)(tai_ns)
