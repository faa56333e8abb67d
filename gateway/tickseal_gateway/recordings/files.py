"""Record files: whole records, appended one after the other, and beside them an index by tick.

A file is a magic line, for a recording 32 bytes of salt, then records:

    u32 length of body || u8 kind || body || u32 CRC-32 of kind and body
    body = u64 generation || u64 first tick || u64 last tick || payload

A kill leaves at most one torn record at the end, which is cut off before more is appended.
"""

import contextlib
import enum
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tickseal.core.errors import StoreError

RECORDING_MAGIC = b"tickseal recording 1\n"
GRANT_MAGIC = b"tickseal grant 1\n"
SALT_BYTES = 32
SUFFIX, INDEX_SUFFIX = ".rec", ".idx"
_HEAD, _SPAN, _CRC = struct.Struct(">IB"), struct.Struct(">QQQ"), struct.Struct(">I")
_INDEX_ROW = struct.Struct(">BQIQQQ")
#: Far above what is ever written at once, so that a damaged length is noticed.
_BODY_MOST = 256 << 20


class Kind(enum.IntEnum):
    """What a record holds."""

    #: A grant under the recording key.
    SEALED_GRANT = 1
    #: Segments of one generation.
    BLOCK = 2
    #: A grant in clear, in a grant file only.
    GRANT = 3


class Record(NamedTuple):
    """A record to be written."""

    kind: Kind
    generation: int
    first_tick: int
    last_tick: int
    payload: bytes


class Entry(NamedTuple):
    """Where a record lies: kind, place and size in the file, and which ticks it is of."""

    kind: int
    offset: int
    size: int
    generation: int
    first_tick: int
    last_tick: int


def encode_record(record: Record) -> bytes:
    """Return the bytes of a record."""
    body = _SPAN.pack(record.generation, record.first_tick, record.last_tick) + record.payload
    head = _HEAD.pack(len(body), record.kind)
    return b"".join((head, body, _CRC.pack(zlib.crc32(body, zlib.crc32(head[4:])))))


class RecordReader:
    """Reads one record file, which may be appended to meanwhile.

    Attributes:
        magic: of what kind the file is.
        salt: of a recording; empty for a grant file.
        damaged: records that were found changed.
    Raises:
        StoreError: it cannot be read, or is no such file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0
        with explained("read", path):
            self._file: BinaryIO = path.open("rb")
            self.magic = self._file.readline(64)
            self.salt = self._file.read(SALT_BYTES) if self.magic == RECORDING_MAGIC else b""
            self._start = self._file.tell()
        if self.magic not in (RECORDING_MAGIC, GRANT_MAGIC) or (
            self.magic == RECORDING_MAGIC and len(self.salt) < SALT_BYTES
        ):
            self._file.close()
            raise StoreError(f"{path} is no recording and no grant of tickseal")

    def __enter__(self) -> "RecordReader":
        """Return self; leaving the block closes."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self._file.close()

    def entries(self) -> list[Entry]:
        """Return the whole records, in the order of the file: by the index, and what is beyond."""
        size = os.fstat(self._file.fileno()).st_size
        rows = []
        with contextlib.suppress(OSError):
            index = self.path.with_suffix(INDEX_SUFFIX).read_bytes()
            whole = len(index) - len(index) % _INDEX_ROW.size
            rows = [Entry(*row) for row in _INDEX_ROW.iter_unpack(index[:whole])]
        end = self._start
        known: list[Entry] = []
        for row in rows:
            if row.offset != end or row.offset + row.size > size:
                break
            known.append(row)
            end = row.offset + row.size
        return known + list(self._scan(end, size))

    def payload(self, entry: Entry) -> bytes | None:
        """Return what a record holds; None, and count it, where it was changed."""
        self._file.seek(entry.offset)
        data = self._file.read(entry.size)
        body = data[_HEAD.size : -_CRC.size]
        if len(data) != entry.size or not _is_whole(data):
            self.damaged += 1
            return None
        return body[_SPAN.size :]

    def _scan(self, offset: int, size: int) -> Iterator[Entry]:
        while offset + _HEAD.size + _SPAN.size + _CRC.size <= size:
            self._file.seek(offset)
            head = self._file.read(_HEAD.size)
            length, kind = _HEAD.unpack(head)
            total = _HEAD.size + length + _CRC.size
            if not _SPAN.size <= length <= _BODY_MOST or offset + total > size:
                return
            data = head + self._file.read(total - _HEAD.size)
            if not _is_whole(data):
                return
            yield Entry(kind, offset, total, *_SPAN.unpack_from(data, _HEAD.size))
            offset += total


class RecordWriter:
    """Appends to recording files; each is looked over, and cut where it is torn, when first met."""

    def __init__(self) -> None:
        self._ends: dict[Path, int] = {}

    def salt(self, path: Path) -> bytes:
        """Return the salt of a file, which is begun where there is none.

        Raises:
            StoreError: the disk refuses.
        """
        with explained("write", path):
            if path not in self._ends:
                self._begin(path)
            with path.open("rb") as file:
                file.seek(len(RECORDING_MAGIC))
                return file.read(SALT_BYTES)

    def append(self, path: Path, records: Iterable[Record]) -> int:
        """Append records to a file that salt() was asked for; return how many bytes.

        Raises:
            StoreError: the disk refuses; what was written in part is cut off again.
        """
        offset = self._ends[path]
        rows, parts = [], []
        for record in records:
            data = encode_record(record)
            rows.append(_INDEX_ROW.pack(record.kind, offset, len(data), *record[1:4]))
            parts.append(data)
            offset += len(data)
        with explained("write", path):
            try:
                with path.open("ab", buffering=0) as file:
                    _write_all(file, b"".join(parts))
                with path.with_suffix(INDEX_SUFFIX).open("ab", buffering=0) as file:
                    _write_all(file, b"".join(rows))
            except OSError:
                self._ends.pop(path, None)
                with contextlib.suppress(OSError):
                    self._begin(path)
                raise
        written = offset - self._ends[path]
        self._ends[path] = offset
        return written

    def forget(self, path: Path) -> None:
        """Forget a file that is removed, or not written any more."""
        self._ends.pop(path, None)

    def _begin(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists() or path.stat().st_size < len(RECORDING_MAGIC) + SALT_BYTES:
            handle = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(RECORDING_MAGIC + os.urandom(SALT_BYTES))
            self._write_index(path, [])
        with RecordReader(path) as reader:
            entries = reader.entries()
            end = entries[-1].offset + entries[-1].size if entries else reader._start  # noqa: SLF001
        os.truncate(path, end)
        self._write_index(path, entries)
        self._ends[path] = end

    def _write_index(self, path: Path, entries: Iterable[Entry]) -> None:
        index = path.with_suffix(INDEX_SUFFIX)
        handle = os.open(index, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(b"".join(_INDEX_ROW.pack(*entry) for entry in entries))


@contextlib.contextmanager
def explained(doing: str, path: Path) -> Iterator[None]:
    """Turn the disk's errors into a StoreError that says what to do."""
    try:
        yield
    except FileNotFoundError:
        raise StoreError(f"cannot {doing} {path}: there is no such file or folder") from None
    except OSError as error:
        raise StoreError(
            f"cannot {doing} {path}: {error.strerror}; see to its rights, and make room"
        ) from None


def _is_whole(data: bytes) -> bool:
    return _CRC.pack(zlib.crc32(data[4 : -_CRC.size])) == data[-_CRC.size :]


def _write_all(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
