"""Findings: what a check found, and what to do about it."""

import enum
from collections.abc import Sequence
from dataclasses import asdict, dataclass


class Level(enum.StrEnum):
    """How bad it is."""

    #: As it should be.
    WELL = "well"
    #: It works, but could be better.
    NOTE = "note"
    #: Something that is configured does not work.
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Args:
        about: what, in a word or two.
        level: how bad it is.
        found: what was found.
        mend: what to do; empty where nothing is to be done.
    """

    about: str
    level: Level
    found: str
    mend: str = ""


def well(about: str, found: str) -> Finding:
    """Return a finding that all is as it should be."""
    return Finding(about=about, level=Level.WELL, found=found)


def note(about: str, found: str, mend: str = "") -> Finding:
    """Return a finding that something could be better."""
    return Finding(about=about, level=Level.NOTE, found=found, mend=mend)


def bad(about: str, found: str, mend: str = "") -> Finding:
    """Return a finding that something does not work."""
    return Finding(about=about, level=Level.BAD, found=found, mend=mend)


def from_error(about: str, error: Exception) -> Finding:
    """Return a finding of an error, whose message says behind a ";" or ":" what to do."""
    found, _, mend = str(error).partition("; ")
    return bad(about, found, mend)


def as_text(findings: Sequence[Finding]) -> str:
    """Return them as lines for people."""
    marks = {Level.WELL: "ok  ", Level.NOTE: "note", Level.BAD: "BAD "}
    lines = []
    for one in findings:
        lines.append(f"{marks[one.level]}  {one.about:10} {one.found}")
        if one.mend:
            lines.append(f"      {'':10} -> {one.mend}")
    wrong = sum(one.level is Level.BAD for one in findings)
    lines.append("all is well" if not wrong else f"{wrong} to mend")
    return "\n".join(lines)


def as_json(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """Return them as values for JSON."""
    return [{name: str(value) for name, value in asdict(one).items()} for one in findings]
