"""Readings as Parquet files, one an hour and at the end; a kill loses none that was written.

A Parquet file is readable once it is whole. So readings go to an Arrow stream first, which is
readable up to its last whole batch, and which becomes the Parquet file when it is full; a stream
that a kill has left behind becomes one at the next start.
"""

import datetime
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import parquet

from tickseal.core import constants
from tickseal.core.errors import StoreError
from tickseal_gateway.frames.readings import Batch, Reading

_logger = logging.getLogger(__name__)
# Tools that read the folder as a data set leave out what begins with _.
_UNDER_WAY, _UNFINISHED = "_under-way.arrows", "_unfinished"
_INTEGER = 1 << 63

SCHEMA = pa.schema(
    [
        pa.field("time", pa.timestamp("ns", tz="UTC"), nullable=False),
        pa.field("device", pa.string(), nullable=False),
        pa.field("stream", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("text", pa.string()),
        pa.field("unit", pa.string()),
        pa.field("tick", pa.uint64(), nullable=False),
        pa.field("frame", pa.uint64(), nullable=False),
        pa.field("generation", pa.string(), nullable=False),
        pa.field("backfilled", pa.bool_(), nullable=False),
        pa.field("clock_in_holdover", pa.bool_(), nullable=False),
    ]
)


class ParquetFiles:
    """An Output that writes FOLDER/date=YYYY-MM-DD/TIME.parquet, a dataset that tools know.

    Truths are the values 0 and 1; texts stand in a column of their own.

    Args:
        every_s: how long a file is under way at most.
        rows_most: how many readings it holds at most.
    """

    keeps_newest = False
    catches_up = True
    gather_s = 1.0

    def __init__(
        self, folder: Path, *, every_s: float, rows_most: int, name: str = "parquet"
    ) -> None:
        self.name = name
        self._folder = folder
        self._every_s = every_s
        self._rows_most = rows_most
        self._stream: pa.RecordBatchStreamWriter | None = None
        self._file: pa.OSFile | None = None
        self._rows = 0
        self._since_s = 0.0

    def write(self, batches: Sequence[Batch]) -> None:
        """Add the readings of batches to the file under way."""
        readings = [
            reading
            for batch in batches
            for reading in batch.readings
            if 0 <= reading.time_ns < _INTEGER
        ]
        try:
            if self._stream is None:
                self._begin()
            if readings:
                self._append(_table(readings))
            if self._rows and (
                self._rows >= self._rows_most or time.monotonic() - self._since_s >= self._every_s
            ):
                self._finish()
        except (OSError, pa.ArrowException) as error:
            self._abandon()
            raise StoreError(
                f"cannot write Parquet in {self._folder}: {error}; make room, or see to its rights"
            ) from None

    def close(self) -> None:
        """Finish the file under way."""
        if self._stream is not None:
            self._finish()

    @property
    def _under_way(self) -> Path:
        return self._folder / _UNDER_WAY

    def _begin(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._under_way.exists():
            self._convert()
        self._file = pa.OSFile(str(self._under_way), "wb")
        self._under_way.chmod(0o600)
        self._stream = pa.ipc.new_stream(self._file, SCHEMA)
        self._rows, self._since_s = 0, time.monotonic()

    def _append(self, table: pa.Table) -> None:
        assert self._stream is not None  # noqa: S101 - for the type checker
        assert self._file is not None  # noqa: S101
        self._stream.write_table(table)
        self._file.flush()
        self._rows += table.num_rows

    def _finish(self) -> None:
        self._abandon()
        self._convert()

    def _abandon(self) -> None:
        """Let go of the stream; what is in it stays on the disk."""
        stream, file, self._stream, self._file = self._stream, self._file, None, None
        for each in (stream, file):
            try:
                if each is not None:
                    each.close()
            except (OSError, pa.ArrowException):  # the disk is full: it is cut off, not spoilt
                pass

    def _convert(self) -> None:
        """Turn the stream on the disk into a Parquet file, and remove it."""
        table = read_stream(self._under_way)
        if table.num_rows:
            now = datetime.datetime.now(datetime.UTC)
            folder = self._folder / f"date={now:%Y-%m-%d}"
            folder.mkdir(mode=0o700, exist_ok=True)
            path = folder / f"{now:%Y%m%dT%H%M%S.%fZ}.parquet"
            unfinished = self._folder / _UNFINISHED
            # Sorted, so that a question about one series reads little.
            ordered = table.sort_by(
                [("stream", "ascending"), ("name", "ascending"), ("time", "ascending")]
            )
            parquet.write_table(ordered, unfinished, compression="zstd")
            with unfinished.open("rb") as written:
                os.fsync(written.fileno())
            unfinished.replace(path)
            _logger.info("%s: %d readings", path, table.num_rows)
        self._under_way.unlink()


def read_stream(path: Path) -> pa.Table:
    """Return the whole batches of an Arrow stream, however it ends."""
    batches: list[pa.RecordBatch] = []
    try:
        with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as stream:
            while True:
                batches.append(stream.read_next_batch())
    except (StopIteration, pa.ArrowInvalid, OSError):
        pass
    return pa.Table.from_batches(batches, SCHEMA)


def _table(readings: Sequence[Reading]) -> pa.Table:
    values = [reading.value for reading in readings]
    columns = [
        [reading.time_ns for reading in readings],
        [reading.device for reading in readings],
        [reading.stream for reading in readings],
        [reading.name for reading in readings],
        [_number(value) for value in values],
        [value if isinstance(value, str) else None for value in values],
        [reading.unit for reading in readings],
        [reading.tick for reading in readings],
        [reading.frame for reading in readings],
        [f"{reading.generation:016x}" for reading in readings],
        [bool(reading.flags & constants.FLAG_BACKFILL) for reading in readings],
        [bool(reading.flags & constants.FLAG_HOLDOVER) for reading in readings],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _number(value: object) -> float | None:
    if isinstance(value, bool | int | float) and abs(value) < 1e308:
        return float(value)
    return None
