"""Opening recordings: frames out of pieces, and what is missing among them."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tickseal.clock import ClockInterval
from tickseal.core import constants
from tickseal.core.errors import RemoteProtocolError
from tickseal.core.ticks import tick_start
from tickseal.streams.assembly import FrameAssembler
from tickseal.streams.generation import Generation
from tickseal.streams.opening import FrameOpener, Refused
from tickseal.streams.receiving import Frame
from tickseal.streams.summary import Summary
from tickseal_gateway.recordings.pieces import Piece

_NOW = ClockInterval(earliest_ns=0, latest_ns=0)
Span = tuple[int, int]


class Numbers:
    """A set of integers that mostly come in order, as spans."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, number: int) -> None:
        """Take one in."""
        place = bisect_right(self._starts, number)
        if place and number < self._ends[place - 1]:
            return
        touches_left = place > 0 and self._ends[place - 1] == number
        touches_right = place < len(self._starts) and self._starts[place] == number + 1
        if touches_left and touches_right:
            self._ends[place - 1] = self._ends.pop(place)
            del self._starts[place]
        elif touches_left:
            self._ends[place - 1] += 1
        elif touches_right:
            self._starts[place] -= 1
        else:
            self._starts.insert(place, number)
            self._ends.insert(place, number + 1)

    def missing(self, first: int, until: int) -> list[Span]:
        """Return the spans of [first, until) that are not in the set."""
        found = []
        for start, end in zip(self._starts, self._ends, strict=True):
            if first < min(start, until):
                found.append((first, min(start, until)))
            first = max(first, end)
        if first < until:
            found.append((first, until))
        return found

    @property
    def bounds(self) -> Span | None:
        """The lowest, and one more than the highest."""
        return (self._starts[0], self._ends[-1]) if self._starts else None


@dataclass(slots=True)
class Completeness:
    """What came of one generation, and what its summaries say that was sealed.

    Attributes:
        generation, device: whose it is.
        ticks: the span that was looked at.
        frames, payload_bytes: opened, summaries not counted.
        empty_ticks: ticks between frames that follow each other: nothing was sealed in them.
        refused: segments that did not open, by reason.
        summary: the last that was seen.
    """

    generation: Generation
    device: str
    ticks: Span
    frames: int = 0
    payload_bytes: int = 0
    empty_ticks: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    summary: Summary | None = None
    _whole: Numbers = field(default_factory=Numbers)
    _begun: set[int] = field(default_factory=set)
    _last: Span = (-1, 0)

    def begin(self, number: int) -> None:
        """Note a segment of a frame."""
        self._begun.add(number)

    def complete(self, number: int, tick: int, size: int | None) -> None:
        """Note a whole frame; of a summary the size is None."""
        self._begun.discard(number)
        self._whole.add(number)
        if number == self._last[0] + 1 and self._last[0] >= 0:
            self.empty_ticks += max(0, tick - self._last[1] - 1)
        self._last = (number, tick)
        if size is not None:
            self.frames += 1
            self.payload_bytes += size

    def summarise(self, summary: Summary) -> None:
        """Note what the source says that it sealed."""
        if self.summary is None or summary.until_frame > self.summary.until_frame:
            self.summary = summary

    @property
    def known(self) -> Span:
        """Frame numbers that were sealed in the span for certain: each must be there."""
        bounds = self._whole.bounds
        if bounds is None:
            return (0, 0)
        first, until = bounds
        summary = self.summary
        if summary is not None:
            if summary.from_tick >= self.ticks[0]:  # the span holds the generation's beginning
                first = summary.first_frame
            until = max(until, summary.until_frame)
        return first, until

    @property
    def incomplete(self) -> list[int]:
        """Frames of which some segments are there and some are not."""
        return sorted(self._begun)

    @property
    def missing(self) -> list[Span]:
        """Frames that were sealed and of which nothing whole is here: lost, or withheld."""
        return self._whole.missing(*self.known)

    @property
    def proved_until_tick(self) -> int:
        """Up to here it is known what was sealed; -1 where no summary is here."""
        return -1 if self.summary is None else self.summary.until_tick

    def to_json(self, to_utc: "ToUTC") -> dict[str, object]:
        """Return what machines are told; instants are ns since 1970 UTC."""
        missing = self.missing
        proved = self.proved_until_tick
        summary = self.summary
        return {
            "stream": self.generation.stream_id,
            "device": self.device,
            "generation": f"{self.generation.number:016x}",
            "from_ns": to_utc(self.instant(self.ticks[0])),
            "until_ns": to_utc(self.instant(self.ticks[1])),
            "frames": self.frames,
            "payload_bytes": self.payload_bytes,
            "missing": sum(until - first for first, until in missing),
            "missing_frames": [list(span) for span in missing],
            "incomplete_frames": self.incomplete,
            "empty_ticks": self.empty_ticks,
            "refused": dict(self.refused),
            "proved_until_ns": to_utc(self.instant(proved)) if proved >= 0 else None,
            "is_final": summary is not None and summary.is_final,
        }

    def instant(self, tick: int) -> int:
        """Return when a tick begins, ns TAI."""
        parameters = self.generation.parameters
        return tick_start(tick, parameters.t0_ns, parameters.interval_ns)


class ToUTC:
    """Turns ns TAI into ns since 1970 UTC.

    Args:
        offset_s: TAI - UTC.
    """

    def __init__(self, offset_s: int) -> None:
        self._offset_ns = offset_s * 1_000_000_000

    def __call__(self, tai_ns: int) -> int:
        """Return the instant."""
        return tai_ns - self._offset_ns


class RecordingOpener:
    """Opens pieces, one after the other.

    Attributes:
        found: what came of each generation, in the order of their first pieces.
    """

    def __init__(self) -> None:
        self.found: dict[tuple[int, int], Completeness] = {}

    def frames(self, piece: Piece) -> Iterator[Frame]:
        """Yield the whole frames of a piece; summaries are kept to what was found."""
        generation, ticks = piece.generation, piece.ticks
        found = self.found.setdefault(
            (generation.handle, generation.number),
            Completeness(generation, piece.device, ticks),
        )
        found.ticks = (min(found.ticks[0], ticks[0]), max(found.ticks[1], ticks[1]))
        assembler = FrameAssembler(generation.parameters)
        opener: FrameOpener | None = None
        announced = (0, 0)
        for row in piece.rows:
            if opener is None:
                before = row.frame - constants.REPLAY_WINDOW_FRAMES - 1
                opener = FrameOpener(generation, live=False, highest_frame=max(-1, before))
            if row.tick >= announced[1]:
                announced = _announced(generation, ticks, row.tick)
                opener.announce(*announced)
            opened = opener.open(row.segment, _NOW)
            if isinstance(opened, Refused):
                found.refused[opened.reason] += 1
                continue
            found.begin(opened.frame_number)
            payload = assembler.add(opened)
            if payload is None:
                continue
            if opened.kind == constants.KIND_FRAME:
                found.complete(opened.frame_number, opened.tick, len(payload))
                yield Frame(generation, opened.frame_number, opened.tick, payload, opened.flags)
                continue
            found.complete(opened.frame_number, opened.tick, None)
            try:
                found.summarise(Summary.decode(payload))
            except RemoteProtocolError:
                found.refused["malformed"] += 1
        if opener is not None:
            opener.clear()


def _announced(generation: Generation, ticks: Span, tick: int) -> Span:
    """Return a range about a tick, within a piece, that the header can tell apart."""
    parameters = generation.parameters
    widest = 1 << constants.TICK_BITS[parameters.profile] - 1
    # As far back as segments came late at the gateway.
    start = max(ticks[0], tick - min(parameters.window_ticks, widest // 2))
    return start, min(ticks[1], start + widest)
