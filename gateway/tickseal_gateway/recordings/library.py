"""The library: what was recorded, found by a stream's id and a span of time."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from tickseal.core.errors import StoreError
from tickseal.host.state import StateDirectory
from tickseal.sessions import control
from tickseal.streams.generation import Generation
from tickseal.streams.metadata import StreamMetadata
from tickseal.streams.parameters import StreamParameters
from tickseal_gateway.config import Config
from tickseal_gateway.recordings.blocks import tick_from
from tickseal_gateway.recordings.files import Entry, Kind, RecordReader
from tickseal_gateway.recordings.keys import GrantBox, load_key
from tickseal_gateway.recordings.pieces import Piece, cut, decode_grant, rows_between
from tickseal_gateway.recordings.recorder import grant_place
from tickseal_gateway.recordings.shelf import Shelved, shelved

_HOUR_NS = 3600 * 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What is recorded of one stream.

    Attributes:
        id, device: names, as they last were.
        files: hour by hour.
        size: bytes.
    """

    id: str
    device: str
    files: tuple[Shelved, ...]
    size: int

    @property
    def span_ns(self) -> tuple[int, int]:
        """The hours that it lies in, ns TAI."""
        return self.files[0].hour * _HOUR_NS, (self.files[-1].hour + 1) * _HOUR_NS


class Block(NamedTuple):
    """What was written at once: when its ticks begin and end, ns TAI, and its bytes."""

    start_ns: int
    end_ns: int
    size: int


def open_library(config: Config, state: StateDirectory) -> "Library | None":
    """Return the recordings of a gateway that owns its state; None where it does not record."""
    if not config.recordings.record:
        return None
    return Library(config.recordings_path, load_key(state))


class Library:
    """Recordings below a folder.

    Args:
        key: the recording key, 32 bytes.
    """

    def __init__(self, folder: Path, key: bytes) -> None:
        self._folder = folder
        self._key = key
        # A handle is one stream's for life, so its name is read from the disk once a file.
        self._names: dict[int, tuple[Path, tuple[str, str] | None]] = {}

    def streams(self) -> list[Recorded]:
        """Return what is recorded.

        Raises:
            StoreError: the folder cannot be read, or holds what another key opens.
        """
        by_handle: dict[int, list[Shelved]] = {}
        for found in sorted(shelved(self._folder)):
            by_handle.setdefault(found.handle, []).append(found)
        by_id: dict[str, list[tuple[Shelved, str]]] = {}
        for handle, files in by_handle.items():
            newest = files[-1].path
            if self._names.get(handle, (None,))[0] != newest:
                self._names[handle] = (newest, self._name_of(files))
            named = self._names[handle][1]
            if named is not None:
                by_id.setdefault(named[0], []).extend((file, named[1]) for file in files)
        made = []
        for stream_id, files_of in sorted(by_id.items()):
            ordered = sorted(files_of)
            shelf = tuple(file for file, _ in ordered)
            size = sum(file.path.stat().st_size for file in shelf)
            made.append(Recorded(id=stream_id, device=ordered[-1][1], files=shelf, size=size))
        return made

    def find(self, stream_id: str) -> Recorded:
        """Return what is recorded of a stream.

        Raises:
            StoreError: nothing is.
        """
        known = self.streams()
        for recorded in known:
            if recorded.id == stream_id:
                return recorded
        names = ", ".join(recorded.id for recorded in known[:20]) or "nothing"
        raise StoreError(f"nothing is recorded of {stream_id!r}; recorded: {names}")

    def of_handles(self, stream_id: str, handles: Iterable[int]) -> Recorded | None:
        """Return what is recorded of a stream whose handles are known; None where nothing is.

        Raises:
            StoreError: the folder cannot be read.
        """
        files = sorted(
            found for handle in handles for found in shelved(self._folder / f"{handle:08x}")
        )
        return Recorded(id=stream_id, device="", files=tuple(files), size=0) if files else None

    def blocks(self, file: Shelved) -> list[Block]:
        """Return the blocks of an hour, in the order of the file.

        Raises:
            StoreError: the file cannot be read, or its grants are not as they were written.
        """
        with RecordReader(file.path) as reader:
            box = GrantBox(self._key, reader.salt)
            found = []
            for entries in _by_generation(reader.entries()).values():
                first = self._first_grant(reader, box, entries)
                if first is None:
                    continue
                parameters = StreamParameters.decode(first.parameters)
                t0_ns, interval_ns = parameters.t0_ns, parameters.interval_ns
                found += [
                    Block(
                        t0_ns + entry.first_tick * interval_ns,
                        t0_ns + (entry.last_tick + 1) * interval_ns,
                        entry.size,
                    )
                    for entry in entries
                    if entry.kind == Kind.BLOCK
                ]
            return found

    def pieces(
        self, recorded: Recorded, span_ns: tuple[int, int], *, every: int = 1
    ) -> Iterator[Piece]:
        """Yield what a span of time holds, with the keys of just that.

        Each piece must be gone through before the next is asked for.

        Args:
            span_ns: half-open, ns TAI.
            every: take one block of so many: a sample of a span that is too long to open whole.
        Raises:
            StoreError: a file cannot be read, or its grants are not as they were written.
        """
        for file in recorded.files:
            if file.hour * _HOUR_NS < span_ns[1] and (file.hour + 1) * _HOUR_NS > span_ns[0]:
                with RecordReader(file.path) as reader:
                    yield from self._of_file(reader, file.handle, span_ns, every)

    def _of_file(
        self, reader: RecordReader, handle: int, span_ns: tuple[int, int], every: int
    ) -> Iterator[Piece]:
        box = GrantBox(self._key, reader.salt)
        for entries in _by_generation(reader.entries()).values():
            first = self._first_grant(reader, box, entries)
            if first is None:
                continue
            parameters = StreamParameters.decode(first.parameters)
            ticks = tick_from(parameters, span_ns[0]), tick_from(parameters, span_ns[1])
            if ticks[0] >= ticks[1]:
                continue
            blocks = [entry for entry in entries if entry.kind == Kind.BLOCK][::every]
            # Opening every grant would take most of the time of a sample.
            needed = _Ticks([ticks] if every == 1 else _ticks_of(blocks, ticks))
            grants = [
                grant
                for entry in entries
                if entry.kind == Kind.SEALED_GRANT
                and needed.meet(*_opened_by(entry, parameters))
                and (grant := self._grant(reader, box, entry)) is not None
            ]
            for part, nodes in cut(grants, parameters, ticks):
                generation = Generation.from_grant(
                    StreamMetadata.decode(first.metadata), parameters, nodes, handle=handle
                )
                rows = rows_between(reader, blocks, part)
                yield Piece(generation=generation, device=first.device, ticks=part, rows=rows)

    def _name_of(self, files: list[Shelved]) -> tuple[str, str] | None:
        for file in reversed(files):
            with RecordReader(file.path) as reader:
                box = GrantBox(self._key, reader.salt)
                grant = self._first_grant(reader, box, reader.entries())
                if grant is not None:
                    return StreamMetadata.decode(grant.metadata).id, grant.device
        return None

    def _first_grant(
        self, reader: RecordReader, box: GrantBox, entries: list[Entry]
    ) -> control.Grant | None:
        for entry in entries:
            if entry.kind == Kind.SEALED_GRANT:
                grant = self._grant(reader, box, entry)
                if grant is not None:
                    return grant
        return None

    def _grant(self, reader: RecordReader, box: GrantBox, entry: Entry) -> control.Grant | None:
        sealed = reader.payload(entry)
        if sealed is None:
            return None
        place = grant_place(entry.generation, entry.first_tick, entry.last_tick)
        try:
            return decode_grant(box.open(sealed, place), reader.path)
        except StoreError as error:
            raise StoreError(f"{reader.path}: {error}") from None


def _by_generation(entries: Iterable[Entry]) -> dict[int, list[Entry]]:
    found: dict[int, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.generation, []).append(entry)
    return found


def _ticks_of(blocks: Iterable[Entry], within: tuple[int, int]) -> list[tuple[int, int]]:
    spans = [(max(b.first_tick, within[0]), min(b.last_tick + 1, within[1])) for b in blocks]
    return [span for span in spans if span[0] < span[1]]


def _opened_by(entry: Entry, parameters: StreamParameters) -> tuple[int, int]:
    """Return the ticks that a grant opens, which are those of whole epochs."""
    bits = parameters.epoch_bits
    return entry.first_tick >> bits << bits, (entry.last_tick >> bits) + 1 << bits


class _Ticks:
    """Spans of ticks, to be asked whether another meets one of them."""

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        ordered = sorted(spans)
        self._starts = [start for start, _ in ordered]
        self._ends = list(accumulate((end for _, end in ordered), max))

    def meet(self, first: int, until: int) -> bool:
        place = bisect_left(self._starts, until)
        return place > 0 and self._ends[place - 1] > first
