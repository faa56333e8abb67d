"""Replay: readings from a file, again and again, for tests and demonstrations without hardware."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from tickseal.core.errors import LocalProtocolError
from tickseal.payloads.samples import Measured, Sample
from tickseal_edge.sensors.base import DeviceError

_HEADING = re.compile(r"\s*([^\[\]]+?)\s*(?:\[([^\[\]]+)\])?\s*\Z")


class ReplaySensor:
    """Rows of a CSV file, one a reading; behind the last comes the first.

    The first row names the columns, with their units: "temperature [Cel],humidity [%RH]". An empty
    cell is a reading that failed.

    Args:
        path: the file.
    Raises:
        DeviceError: there is none, or it is not such a file.
    """

    def __init__(self, path: Path) -> None:
        try:
            with path.open(newline="", encoding="utf-8") as file:
                heading, *rows = [row for row in csv.reader(file) if row]
        except OSError as error:
            raise DeviceError(f"cannot read {path}: {error.strerror}") from None
        except (ValueError, csv.Error):
            raise DeviceError(f"{path} is no CSV file with a row of names") from None
        if not rows:
            raise DeviceError(f"{path} has no rows of readings")
        self._columns = [_column(cell, path) for cell in heading]
        self._rows = rows
        self._place = 0

    def read(self, time_ns: int) -> Sequence[Sample]:
        """Return the next row."""
        row = self._rows[self._place]
        self._place = (self._place + 1) % len(self._rows)
        cells = [*row, *[""] * (len(self._columns) - len(row))]
        return [
            Sample(name=name, value=_measured(cell), unit=unit, time_ns=time_ns)
            for (name, unit), cell in zip(self._columns, cells, strict=False)
        ]

    def close(self) -> None:
        """Nothing is held."""


def _column(cell: str, path: Path) -> tuple[str, str | None]:
    match = _HEADING.match(cell)
    if match is None:
        raise DeviceError(f'{path}:1: "{cell}" is no name of a column, as in temperature [Cel]')
    try:
        Sample(name=match[1], value=None, time_ns=0)
    except LocalProtocolError as error:
        raise DeviceError(f"{path}:1: {error}") from None
    return match[1], match[2]


def _measured(cell: str) -> Measured | None:
    cell = cell.strip()
    if not cell:
        return None
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            pass
    return cell
