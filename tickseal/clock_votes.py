"""Votes: which sources of time are at odds, and who is to blame as far as that can be known."""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

from tickseal.clock import ClockInterval


class Vote(NamedTuple):
    """What one source says.

    Attributes:
        name: of the source.
        basis: of the clock that it reads; votes of one basis count as one.
        interval: its reading; all votes are of about the same instant.
    """

    name: str
    basis: str
    interval: ClockInterval


class Apart(NamedTuple):
    """Two sources whose readings exclude each other, and the gap between them, ns."""

    one: str
    other: str
    gap_ns: int


def judge(votes: Sequence[Vote]) -> tuple[set[str], list[Apart]]:
    """Return who is outvoted, and who is at odds with whom.

    A source is outvoted where at least two others, of different clocks, agree with each other and
    not with it. Two alone that disagree cannot be told apart.
    """
    apart = [
        Apart(one.name, other.name, gap)
        for one, other in combinations(votes, 2)
        if (gap := _gap_ns(one.interval, other.interval)) > 0
    ]
    if not apart:
        return set(), []
    best: tuple[int, list[Vote]] = (0, [])
    is_tied = False
    for vote in votes:
        # All that contain one point: the start of this vote's interval will do.
        point = vote.interval.earliest_ns
        agreeing = [
            one for one in votes if one.interval.earliest_ns <= point <= one.interval.latest_ns
        ]
        strength = len({one.basis for one in agreeing})
        if strength > best[0]:
            best, is_tied = (strength, agreeing), False
        elif strength == best[0] and {one.name for one in agreeing} != {
            one.name for one in best[1]
        }:
            is_tied = is_tied or not _share(agreeing, best[1])
    if best[0] < 2 or is_tied:
        return set(), apart
    truth = best[1]
    liars = {
        vote.name
        for vote in votes
        if all(_gap_ns(vote.interval, one.interval) > 0 for one in truth if one is not vote)
    }
    return liars, apart


def describe(liars: set[str], apart: Sequence[Apart]) -> str:
    """Return a sentence for people; empty where all agree."""
    if not apart:
        return ""
    widest = max(apart, key=lambda pair: pair.gap_ns)
    text = (
        f"{widest.one} and {widest.other} disagree by {widest.gap_ns / 1e9:.6f} s "
        "beyond what both state"
    )
    if liars:
        return f"{text}; the others agree against {' and '.join(sorted(liars))}"
    return f"{text}; who is right cannot be told"


def _gap_ns(one: ClockInterval, other: ClockInterval) -> int:
    return max(one.earliest_ns - other.latest_ns, other.earliest_ns - one.latest_ns)


def _share(some: Sequence[Vote], others: Sequence[Vote]) -> bool:
    return all(_gap_ns(one.interval, other.interval) <= 0 for one in some for other in others)
