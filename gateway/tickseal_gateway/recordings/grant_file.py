"""Grant files: a span of a stream in one file, for somebody who opens it elsewhere, offline."""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from tickseal.core.errors import RemoteProtocolError, StoreError
from tickseal.sessions import control
from tickseal.streams.parameters import StreamParameters
from tickseal_gateway.recordings.blocks import Row, encode_block, hour_of
from tickseal_gateway.recordings.files import (
    GRANT_MAGIC,
    Entry,
    Kind,
    Record,
    RecordReader,
    encode_record,
    explained,
)
from tickseal_gateway.recordings.pieces import Piece, decode_grant, piece_of, rows_between
from tickseal_gateway.recordings.shelf import shelved

_BLOCK_BYTES = 1 << 20


class GrantEncoder:
    """Makes the bytes of a grant file.

    Args:
        with_segments: or the keys alone.
    Attributes:
        pieces, segments, size: so far; bytes.
    """

    def __init__(self, *, with_segments: bool = True) -> None:
        self.pieces = self.segments = self.size = 0
        self._with_segments = with_segments

    def encode(self, pieces: Iterable[Piece]) -> Iterator[bytes]:
        """Yield the file's bytes, in parts of about a megabyte at most."""
        yield self._counted(GRANT_MAGIC)
        for piece in pieces:
            self.pieces += 1
            grant, number = piece.grant(), piece.generation.number
            first, last = piece.ticks[0], piece.ticks[1] - 1
            yield self._record(Record(Kind.GRANT, number, first, last, control.encode(grant)))
            if self._with_segments:
                yield from self._blocks(number, piece.rows)

    def _blocks(self, number: int, rows: Iterable[Row]) -> Iterator[bytes]:
        waiting: list[Row] = []
        size = 0
        for row in rows:
            waiting.append(row)
            size += len(row.segment)
            if size >= _BLOCK_BYTES:
                yield self._block(number, waiting)
                waiting, size = [], 0
        if waiting:
            yield self._block(number, waiting)

    def _block(self, number: int, rows: list[Row]) -> bytes:
        ticks = [row.tick for row in rows]
        self.segments += len(rows)
        return self._record(Record(Kind.BLOCK, number, min(ticks), max(ticks), encode_block(rows)))

    def _record(self, record: Record) -> bytes:
        return self._counted(encode_record(record))

    def _counted(self, data: bytes) -> bytes:
        self.size += len(data)
        return data


def write_grant_file(path: Path, parts: Iterable[bytes]) -> None:
    """Write a grant file, of mode 0600: who has it can open what is in it.

    Raises:
        StoreError: it is there already, or the disk refuses; then there is none.
    """
    if path.exists():
        raise StoreError(f"{path} is there already; choose another name")
    with explained("write", path):
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.writelines(parts)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def read_grant_file(path: Path, recordings: Path | None = None) -> Iterator[Piece]:
    """Yield the pieces of a grant file; each must be gone through before the next is asked for.

    Args:
        recordings: folder with the sealed segments, for a file that holds the keys alone.
    Raises:
        StoreError: it is no grant file, or holds what no grant file holds.
    """
    with RecordReader(path) as reader:
        if reader.magic != GRANT_MAGIC:
            raise StoreError(
                f"{path} is a recording, which its gateway plays: tickseal play STREAM"
            )
        entries = reader.entries()
        if recordings is None and not any(entry.kind == Kind.BLOCK for entry in entries):
            raise StoreError(
                f"{path} holds keys, and no segments: say by --recordings where their folder is"
            )
        for place, entry in enumerate(entries):
            if entry.kind != Kind.GRANT:
                continue
            data = reader.payload(entry)
            if data is None:
                raise StoreError(f"{path} is damaged: the grant at byte {entry.offset} was changed")
            message = decode_grant(data, path)
            own = list(_blocks_of(entries[place + 1 :], entry.generation))
            if own or recordings is None:
                yield piece_of(message, rows_between(reader, own, message.ticks))
            else:
                yield from _beside(message, entry.generation, recordings)


def _blocks_of(following: Iterable[Entry], generation: int) -> Iterator[Entry]:
    for entry in following:
        if entry.kind != Kind.BLOCK or entry.generation != generation:
            return
        yield entry


def _beside(message: control.Grant, number: int, folder: Path) -> Iterator[Piece]:
    """Yield a piece whose segments lie in the recordings of its hours."""
    try:
        parameters = StreamParameters.decode(message.parameters)
    except RemoteProtocolError as error:
        raise StoreError(f"a grant in the file is not accepted: {error}") from None
    first, last = hour_of(parameters, message.ticks[0]), hour_of(parameters, message.ticks[1] - 1)
    with ExitStack() as stack:
        found: list[tuple[RecordReader, list[Entry]]] = []
        for hour, _, path in sorted(shelved(folder / f"{message.handle:08x}")):
            if first <= hour <= last:
                reader = stack.enter_context(RecordReader(path))
                mine = [entry for entry in reader.entries() if entry.generation == number]
                found.append((reader, mine))
        rows = (row for reader, mine in found for row in rows_between(reader, mine, message.ticks))
        yield piece_of(message, rows)
