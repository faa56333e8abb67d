"""Readings as lines of text: JSON objects, or comma-separated values."""

import csv
import io
import json
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from tickseal.core import constants
from tickseal_gateway.frames.readings import Batch, Reading
from tickseal_gateway.outputs.appending import AppendedFile

_COLUMNS = (
    "time", "device", "stream", "name", "value", "unit", "time_ns", "tick", "frame", "generation",
    "backfilled", "clock_in_holdover",
)  # fmt: skip
#: What spreadsheets take for the beginning of a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
HEADS = {"jsonl": b"", "csv": (",".join(_COLUMNS) + "\r\n").encode()}


class TextFile:
    """An Output that appends each reading as a line.

    Args:
        file: taken over; with the head of HEADS[kind].
        name: see Output.
    """

    keeps_newest = False
    catches_up = True
    gather_s = 0.25

    def __init__(self, file: AppendedFile, kind: Literal["jsonl", "csv"], name: str) -> None:
        self.name = name
        self._file = file
        self._format: Callable[[Iterable[Reading]], str] = (
            as_json_lines if kind == "jsonl" else as_csv
        )

    def write(self, batches: Sequence[Batch]) -> None:
        """Append the readings of batches."""
        text = self._format(reading for batch in batches for reading in batch.readings)
        if text:
            self._file.append(text.encode())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def as_json_lines(readings: Iterable[Reading]) -> str:
    """Return one JSON object a line."""
    return "".join(
        json.dumps(dict(zip(_COLUMNS, _row(reading), strict=True)), ensure_ascii=False) + "\n"
        for reading in readings
    )


def as_csv(readings: Iterable[Reading]) -> str:
    """Return RFC 4180 lines; truth is true and false, no value is empty, no text a formula."""
    out = io.StringIO()
    writer = csv.writer(out)
    for reading in readings:
        writer.writerow(map(_cell, _row(reading)))
    return out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def iso(time_ns: int) -> str:
    """Return an instant, ns since 1970 UTC, as RFC 3339 with microseconds."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest // 1000:06d}Z"


def _row(reading: Reading) -> tuple[object, ...]:
    return (
        iso(reading.time_ns),
        reading.device,
        reading.stream,
        reading.name,
        reading.value,
        reading.unit,
        reading.time_ns,
        reading.tick,
        reading.frame,
        f"{reading.generation:016x}",
        bool(reading.flags & constants.FLAG_BACKFILL),
        bool(reading.flags & constants.FLAG_HOLDOVER),
    )
