"""Excerpts: what opening a span of a recording gave, for a page to show."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from tickseal.payloads.samples import Measured
from tickseal_gateway.frames.readings import Picture
from tickseal_gateway.recordings.opening import Completeness
from tickseal_gateway.recordings.playing import utc_of


class Span(NamedTuple):
    """Half-open, ns since 1970 UTC."""

    start_ns: int
    end_ns: int


class Shown(NamedTuple):
    """A picture, and its place in time: ns since 1970 UTC."""

    at_ns: int
    picture: Picture


@dataclass(slots=True)
class Series:
    """Readings of one name.

    Attributes:
        unit: SenML unit, or None.
        last: the newest value.
        points: rows of [middle of the bucket in ms since 1970 UTC, mean, lowest, highest].
    """

    unit: str | None = None
    last: Measured | None = None
    buckets: dict[int, list[float]] = field(default_factory=dict)

    def add(self, bucket: int, value: float) -> None:
        """Take a number in."""
        total = self.buckets.setdefault(bucket, [0.0, 0.0, value, value])
        total[0] += value
        total[1] += 1
        total[2] = min(total[2], value)
        total[3] = max(total[3], value)

    def points(self, bucket_ns: int) -> list[list[float]]:
        """Return the rows, in the order of time."""
        return [
            [(bucket + 0.5) * bucket_ns / 1e6, total / count, lowest, highest]
            for bucket, (total, count, lowest, highest) in sorted(self.buckets.items())
        ]


@dataclass(slots=True, kw_only=True)
class Excerpt:
    """What opening a span gave.

    Attributes:
        every: one block of so many was opened.
        reached_ns: up to where, ns since 1970 UTC.
        found: what came of each generation.
    """

    every: int = 1
    reached_ns: int
    found: list[Completeness] = field(default_factory=list)
    series: dict[str, Series] = field(default_factory=dict)
    pictures: list[Shown] = field(default_factory=list)
    bucket_ns: int = 1

    def report(self) -> dict[str, object]:
        """Return what was found and what is missing, for JSON; of a sample no losses are known."""
        to_utc = utc_of(self.found)
        refused: Counter[str] = Counter()
        for one in self.found:
            refused.update(one.refused)
        proved = [
            to_utc(one.instant(one.proved_until_tick))
            for one in self.found
            if one.proved_until_tick >= 0
        ]
        is_whole = self.every == 1
        return {
            "frames": sum(one.frames for one in self.found),
            "payload_bytes": sum(one.payload_bytes for one in self.found),
            "is_whole": is_whole,
            "missing": sum(b - a for one in self.found for a, b in one.missing)
            if is_whole
            else None,
            "empty_ticks": sum(one.empty_ticks for one in self.found) if is_whole else None,
            "generations": len(self.found),
            "refused": dict(refused) if is_whole else {},
            "proved_until_ms": max(proved) / 1e6 if proved and is_whole else None,
            "reached_ms": self.reached_ns / 1e6,
        }
