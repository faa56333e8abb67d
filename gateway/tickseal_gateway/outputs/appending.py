"""A file that lines are appended to: whole after every kill, and renamed when it is full."""

import os
from pathlib import Path

from tickseal.core.errors import StoreError

_CHUNK = 1 << 16


class AppendedFile:
    """One file and its predecessors, path.1 being the youngest.

    Args:
        path: made, with its folder, where there is none.
        head: first line of every file.
        size_most: bytes; a file that would be longer is renamed first.
        keep: how many renamed ones are kept.
    Raises (every method):
        StoreError: the disk refuses; nothing of what was to be appended is there.
    """

    def __init__(self, path: Path, *, head: bytes = b"", size_most: int, keep: int) -> None:
        self._path = path
        self._head = head
        self._most = size_most
        self._keep = keep
        self._file: int | None = None
        self._size = 0

    def append(self, lines: bytes) -> None:
        """Append whole lines: all of them, or on an error none."""
        try:
            if self._file is not None and not self._is_in_place(self._file):
                self.close()
            if self._file is None:
                self._open()
            if self._size > len(self._head) and self._size + len(lines) > self._most:
                self._turn_over()
            self._write(lines)
        except OSError as error:
            self.close()
            raise StoreError(
                f"cannot write {self._path}: {error.strerror}; make room, or see to its rights"
            ) from None

    def close(self) -> None:
        """Close the file; append() opens it again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _is_in_place(self, file: int) -> bool:
        """Tell whether the path still leads to the open file, which somebody may have moved."""
        try:
            return os.path.samestat(self._path.stat(), os.fstat(file))
        except FileNotFoundError:
            return False

    def _open(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = _end_of_lines(self._file)
        # What a kill left behind the last whole line is cut off.
        os.ftruncate(self._file, self._size)
        os.lseek(self._file, self._size, os.SEEK_SET)
        if not self._size and self._head:
            self._write(self._head)

    def _write(self, data: bytes) -> None:
        assert self._file is not None  # noqa: S101 - for the type checker
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            os.ftruncate(self._file, self._size)
            os.lseek(self._file, self._size, os.SEEK_SET)
            raise
        self._size += len(data)

    def _turn_over(self) -> None:
        self.close()
        names = [self._path, *(Path(f"{self._path}.{n + 1}") for n in range(self._keep))]
        names[-1].unlink(missing_ok=True)
        for younger, older in zip(reversed(names[:-1]), reversed(names[1:]), strict=True):
            if younger.exists():
                younger.replace(older)
        self._open()


def _end_of_lines(file: int) -> int:
    """Return the place behind the last line end."""
    end = os.fstat(file).st_size
    while end:
        start = max(0, end - _CHUNK)
        found = os.pread(file, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
