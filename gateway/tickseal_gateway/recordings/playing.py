"""Playing: pieces to a player, and in words what was found and what is missing."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tickseal.host.leap_seconds import load_leap_seconds
from tickseal_gateway.commands import printing
from tickseal_gateway.frames.readings import Batch, content_of, read_frame
from tickseal_gateway.recordings.opening import Completeness, RecordingOpener, ToUTC
from tickseal_gateway.recordings.pieces import Piece
from tickseal_gateway.recordings.players import Player

_SECOND = 1_000_000_000
_BATCH = 256
_SPANS_SHOWN = 10


def play(pieces: Iterable[Piece], player: Player) -> list[Completeness]:
    """Open pieces into a player; return what was found, generation by generation."""
    opener = RecordingOpener()
    try:
        for piece in pieces:
            content = content_of(piece.generation.metadata)
            batch = Batch(received_ns=0)
            for frame in opener.frames(piece):
                read_frame(frame, piece.device, content, batch)
                if len(batch) >= _BATCH:
                    player.write(batch)
                    batch = Batch(received_ns=0)
            if len(batch):
                player.write(batch)
    finally:
        player.close()
    return list(opener.found.values())


def to_tai(utc_ns: int) -> int:
    """Return ns TAI of ns since 1970 UTC."""
    return utc_ns + load_leap_seconds().offset_at(utc_ns // _SECOND) * _SECOND


def utc_of(found: Sequence[Completeness]) -> ToUTC:
    """Return what turns the instants of a recording into UTC."""
    at_ns = found[0].instant(found[0].ticks[0]) if found else time.time_ns()
    return ToUTC(load_leap_seconds().offset_at(at_ns // _SECOND))


def as_json(found: Sequence[Completeness], player: Player, out: Path | None) -> dict[str, Any]:
    """Return a report for machines."""
    to_utc = utc_of(found)
    return {
        "out": str(out) if out else None,
        "written": player.written,
        "skipped": player.skipped,
        "generations": [one.to_json(to_utc) for one in found],
        "frames": sum(one.frames for one in found),
        "missing": sum(until - first for one in found for first, until in one.missing),
    }


def as_text(found: Sequence[Completeness]) -> str:
    """Return a report for people."""
    if not found:
        return "nothing was recorded in that span"
    to_utc = utc_of(found)
    return "\n".join(line for one in found for line in _lines(one, to_utc))


def _lines(one: Completeness, to_utc: ToUTC) -> list[str]:
    def local(tick: int) -> str:
        ns = to_utc(one.instant(tick))
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ns // _SECOND))
        return f"{stamp}.{ns % _SECOND // 100_000_000}"

    lines = [
        f"{one.generation.stream_id} of {one.device}, {local(one.ticks[0])} to "
        f"{local(one.ticks[1])}, generation {one.generation.number:016x}",
        f"  opened       {one.frames} frames, {printing.size(one.payload_bytes)}",
    ]
    missing = one.missing
    count = sum(until - first for first, until in missing)
    if count:
        lines.append(
            f"  missing      {count} frames that were sealed: {_spans(missing)}; lost on the way, "
            "or withheld"
        )
        if one.incomplete:
            parts = [(number, number + 1) for number in one.incomplete]
            lines.append(f"  of these     {len(parts)} are here in part: {_spans(parts)}")
    else:
        lines.append("  missing      none of the frames that are known to be sealed")
    if one.empty_ticks:
        lines.append(f"  never sent   in {one.empty_ticks} ticks nothing was sealed")
    proved = one.proved_until_tick
    if proved < 0:
        lines.append("  not proved   no summary is here: frames at the ends may be missing unseen")
    elif one.summary is not None and one.summary.is_final:
        lines.append("  proved       to the generation's end")
    elif proved < one.ticks[1]:
        lines.append(f"  proved       until {local(proved)}; what was sealed later may be missing")
    if one.refused:
        lines.append(f"  refused      segments: {printing.counts(dict(one.refused))}")
    return lines


def _spans(spans: Sequence[tuple[int, int]]) -> str:
    shown = [
        str(first) if until == first + 1 else f"{first}-{until - 1}"
        for first, until in spans[:_SPANS_SHOWN]
    ]
    return ", ".join(shown) + (", ..." if len(spans) > _SPANS_SHOWN else "")
