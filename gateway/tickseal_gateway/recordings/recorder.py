"""The recorder: follows what the gateway opens, and files it sealed, with grants of what is past.

It walks a copy of each generation's keys behind the segments that it files: the keys on the disk
open what was recorded, never what is still to come, and those in memory go as they are written.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase

from tickseal.host.state import StateDirectory
from tickseal.sessions import control
from tickseal.streams.opening import Buffer, OpenedSegment
from tickseal_gateway.alarms import Alarms
from tickseal_gateway.config import Config
from tickseal_gateway.frames.readings import Batch, Sealed
from tickseal_gateway.ingest.quotas import Quotas
from tickseal_gateway.ingest.streams import Held, LiveStream
from tickseal_gateway.ingest.table import StreamTable
from tickseal_gateway.outputs.base import OutputRunner
from tickseal_gateway.recordings.blocks import Row, encode_block, hour_of, ticks_of
from tickseal_gateway.recordings.files import Kind, Record, RecordWriter
from tickseal_gateway.recordings.keys import GrantBox, load_key
from tickseal_gateway.recordings.recorded import RecordedGeneration
from tickseal_gateway.recordings.shelf import Shelf, recording_path

_SPAN_PLACE = "{}:{}:{}:{}"


class RecordingOutput:
    """An Output that files sealed segments by stream and hour, each with the grants that open it.

    Args:
        key: the recording key, 32 bytes.
        gather_s: how much is written at once, and may be lost by a kill.
    """

    name = "recordings"
    keeps_newest = False

    def __init__(self, shelf: Shelf, key: bytes, *, gather_s: float) -> None:
        self.gather_s = gather_s
        self._shelf = shelf
        self._key = key
        self._writer = RecordWriter()

    def write(self, batches: Sequence[Batch]) -> None:
        """File the segments of batches."""
        rows: dict[RecordedGeneration, list[Row]] = {}
        for batch in batches:
            for sealed in batch.sealed:
                rows.setdefault(sealed.source, []).append(
                    Row(sealed.tick, sealed.frame, sealed.payload)
                )
        for source, of_source in rows.items():
            self._file(source, of_source)
        for path in self._shelf.drop_old(time.time_ns()):
            self._writer.forget(path)

    def close(self) -> None:
        """Nothing is held open."""

    def _file(self, source: RecordedGeneration, rows: Iterable[Row]) -> None:
        parameters = source.generation.parameters
        by_hour: dict[int, list[Row]] = {}
        for row in rows:
            by_hour.setdefault(hour_of(parameters, row.tick), []).append(row)
        for hour, of_hour in sorted(by_hour.items()):
            ticks = [row.tick for row in of_hour]
            # What may still come late for the hours before must find its keys there.
            earliest = hour_of(parameters, max(0, min(ticks) - parameters.window_ticks))
            before = {source.hour, *range(max(source.hour + 1, earliest), hour)}
            for passed in sorted(before - {-1}):
                if passed < hour:
                    self._append(source, passed, [], ticks_of(parameters, passed)[1])
            self._append(source, hour, of_hour, max(ticks) + 1)
            source.hour = max(source.hour, hour)

    def _append(
        self, source: RecordedGeneration, hour: int, rows: list[Row], until_tick: int
    ) -> None:
        generation = source.generation
        path = recording_path(self._shelf.folder, generation.handle, hour)
        box = GrantBox(self._key, self._writer.salt(path))
        records = []
        grant = source.grant(ticks_of(generation.parameters, hour)[0], until_tick)
        if grant is not None:
            records.append(sealed_grant(box, generation.number, grant))
        if rows:
            ticks = [row.tick for row in rows]
            block = encode_block(rows)
            records.append(Record(Kind.BLOCK, generation.number, min(ticks), max(ticks), block))
        if records:
            self._shelf.count(path, self._writer.append(path, records))
        if grant is not None:  # not before: what cannot be written comes again
            source.erase_until(grant.ticks[1])


def sealed_grant(box: GrantBox, number: int, grant: control.Grant) -> Record:
    """Return the record of a grant under the recording key."""
    first, last = grant.ticks[0], grant.ticks[1] - 1
    sealed = box.seal(control.encode(grant), grant_place(number, first, last))
    return Record(Kind.SEALED_GRANT, number, first, last, sealed)


def grant_place(number: int, first_tick: int, last_tick: int) -> bytes:
    """Return what a sealed grant is bound to."""
    return _SPAN_PLACE.format(Kind.SEALED_GRANT.value, number, first_tick, last_tick).encode()


class Recorder:
    """An Observer that gives what is to be recorded to a RecordingOutput.

    Args:
        runner: runs the output.
        patterns: shell patterns of stream ids; none for every stream.
        cannot: told the name of a stream that cannot be recorded.
    """

    takes_segments = True

    def __init__(
        self, runner: OutputRunner, patterns: Sequence[str], cannot: Callable[[LiveStream], None]
    ) -> None:
        self.runner = runner
        self._patterns = patterns
        self._cannot = cannot
        self._sources: dict[tuple[int, int], RecordedGeneration] = {}
        self._batch = Batch(received_ns=0)
        self._is_due = False

    def installed(self, stream: LiveStream, held: Held) -> None:
        """Copy the keys of a generation that is to be recorded."""
        generation = held.generation
        if self._patterns and not any(fnmatchcase(stream.id, one) for one in self._patterns):
            return
        if not generation.parameters.depth:
            self._cannot(stream)
            return
        self._sources[generation.handle, generation.number] = RecordedGeneration(
            generation, stream.device
        )

    def opened(self, stream: LiveStream, held: Held, segment: Buffer, what: OpenedSegment) -> None:
        """Queue a segment."""
        generation = held.generation
        source = self._sources.get((generation.handle, generation.number))
        if source is None or (stream.is_withheld and not held.is_backfilled):
            return
        self._batch.sealed.append(Sealed(source, what.tick, what.frame_number, bytes(segment)))
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self.flush)

    def erased(self, stream: LiveStream, held: Held) -> None:
        """Let a generation go; what is queued of it is written still."""
        generation = held.generation
        self._sources.pop((generation.handle, generation.number), None)

    def flush(self) -> None:
        """Give what is queued to the output."""
        self._is_due = False
        if len(self._batch):
            self.runner.offer(self._batch)
            self._batch = Batch(received_ns=time.time_ns())


def make_recorder(
    config: Config,
    state: StateDirectory,
    table: StreamTable,
    alarms: Alarms,
    quotas: Quotas,
) -> Recorder | None:
    """Return the recorder of a gateway, which watches its streams; None where it does not record.

    Raises:
        StoreError: the folder or the key cannot be read.
    """
    given = config.recordings
    if not given.record:
        return None
    shelf = Shelf(
        config.recordings_path,
        retention_ns=given.retention_ns,
        size_most=given.size_bytes,
        quotas=quotas.all,
        over_quota=quotas.over,
    )
    output = RecordingOutput(shelf, load_key(state), gather_s=given.commit_ns / 1e9)

    def cannot(stream: LiveStream) -> None:
        alarms.set(
            f"recording {stream.id}",
            stream.device,
            f"{stream.id} cannot be recorded: it has depth 0, one key for all",
        )

    recorder = Recorder(OutputRunner(output), given.streams, cannot)
    table.watch(recorder)
    return recorder
