"""SpoolFolder: the few operations that a spool asks of a disk; each that returns has reached it."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from tickseal.core.errors import StoreError

_SUFFIX = ".spool"
_FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFullError(StoreError):
    """There is no room; deleting makes some."""


class Folder(Protocol):
    """Files that are created, appended to, read and deleted; nothing else is done to them."""

    def names(self) -> list[str]:
        """Return the names of the files, the oldest first."""

    def size(self, name: str) -> int:
        """Return a file's size, bytes."""

    def read(self, name: str, start: int, end: int) -> bytes:
        """Return the bytes from start to end of a file, or as many as there are."""

    def append(self, name: str, offset: int, data: bytes) -> None:
        """Write at the end of a file, which is made if there is none; then it is on the disk.

        Args:
            offset: where the file ends; what lies behind, left by a write that failed, is cut off.
        """

    def delete(self, name: str) -> None:
        """Delete a file; that it comes back after a power cut does no harm."""


class SpoolFolder:
    """A folder of the real disk; mode 0700, files 0600.

    Raises (every method):
        DiskFullError, StoreError: the disk refuses; the message names the path.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _explained("make the spool", path):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def names(self) -> list[str]:
        """Return the names of the files, the oldest first."""
        with _explained("list the spool", self._path):
            return sorted(entry.name for entry in self._path.iterdir() if entry.suffix == _SUFFIX)

    def size(self, name: str) -> int:
        """Return a file's size, bytes."""
        with _explained("look at", self._path / name):
            return (self._path / name).stat().st_size

    def read(self, name: str, start: int, end: int) -> bytes:
        """Return the bytes from start to end of a file, or as many as there are."""
        with _explained("read", self._path / name), (self._path / name).open("rb") as file:
            start = max(0, start)
            file.seek(start)
            return file.read(max(0, end - start))

    def append(self, name: str, offset: int, data: bytes) -> None:
        """Write at the end of a file, which is made if there is none; then it is on the disk."""
        path = self._path / name
        with _explained("write", path):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(handle, offset)
                view = memoryview(data)
                while view:
                    written = os.pwrite(handle, view, offset)
                    offset += written
                    view = view[written:]
                os.fdatasync(handle)
            finally:
                os.close(handle)
            if offset == len(data):  # a new file: its name must last too
                self._sync()

    def delete(self, name: str) -> None:
        """Delete a file; one that is not there is fine."""
        with _explained("delete", self._path / name):
            (self._path / name).unlink(missing_ok=True)

    def _sync(self) -> None:
        handle = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def _explained(doing: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        if error.errno in _FULL:
            raise DiskFullError(f"cannot {doing} {path}: {reason}; make room") from error
        raise StoreError(f"cannot {doing} {path}: {reason}; check the disk") from error
