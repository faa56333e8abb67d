"""A directory of state: one process owns it, and each file in it is whole at every instant."""

import contextlib
import errno
import fcntl
import os
import re
import stat
import tempfile
from collections.abc import Generator
from pathlib import Path
from types import TracebackType

from tickseal.core.errors import LocalProtocolError, StoreError

_LOCK = "lock"
_UNFINISHED = ".unfinished"
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_NEXT_STEP = {
    errno.EACCES: "give this user the right to it, or choose another state directory",
    errno.EPERM: "give this user the right to it, or choose another state directory",
    errno.ENOSPC: "the disk is full: make room",
    errno.EDQUOT: "this user's quota is used up: make room",
    errno.EROFS: "the disk is mounted read-only: remount it, and check it for errors",
    errno.ENOTDIR: "something on the way there is a file: choose another state directory",
    errno.EIO: "the disk fails: check and replace it",
}


@contextlib.contextmanager
def _explained(doing: str, path: Path) -> Generator[None, None, None]:
    try:
        yield
    except OSError as error:
        step = _NEXT_STEP.get(error.errno or 0, "check the disk and the path")
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise StoreError(f"cannot {doing} {path}: {reason}; {step}") from error


class StateDirectory:
    """The files that must outlive the process: keys, devices, streams. Mode 0700, files 0600.

    Names are one or more parts of letters, digits and `._-`, joined by "/". A write is atomic: a
    kill or a power cut at any instant leaves the old content or the new one.

    Raises (every method):
        StoreError: the disk refuses; the message names the path and the next step.
        LocalProtocolError: a name that is not allowed, or the directory was closed.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock: int | None = lock

    @classmethod
    def open(cls, path: Path) -> "StateDirectory":
        """Make the directory if need be and own it until close() or the end of the process.

        Raises:
            StoreError: another process owns it, or the disk refuses.
        """
        path = path.absolute()
        with _explained("make the state directory", path):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                _close_to_others(path)
        lock_path = path / _LOCK
        with _explained("open", lock_path):
            lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with _explained("lock", lock_path):
                _take(lock, path)
                os.ftruncate(lock, 0)
                os.pwrite(lock, b"%d\n" % os.getpid(), 0)
                for leftover in path.rglob(f".*{_UNFINISHED}"):
                    leftover.unlink()
        except BaseException:
            os.close(lock)
            raise
        return cls(path, lock)

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, or None if there is none."""
        path = self._path(name)
        with _explained("read", path):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None

    def write(self, name: str, data: bytes) -> None:
        """Put a file in place; when this returns it is on the disk."""
        path = self._path(name)
        with _explained("write", path):
            self._make_folders(path.parent)
            handle, unfinished = tempfile.mkstemp(
                prefix=".", suffix=_UNFINISHED, dir=path.parent
            )  # mode 0600
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                Path(unfinished).replace(path)
            except BaseException:
                Path(unfinished).unlink(missing_ok=True)
                raise
            _sync_folder(path.parent)

    def delete(self, name: str) -> None:
        """Remove a file; one that is not there is fine."""
        path = self._path(name)
        with _explained("delete", path):
            if path.exists():
                path.unlink()
                _sync_folder(path.parent)

    def names(self, folder: str = "") -> list[str]:
        """Return the names of the files in a folder ("" is the directory itself), sorted."""
        path = self._path(folder) if folder else self.path
        prefix = f"{folder}/" if folder else ""
        with _explained("list", path):
            try:
                entries = [entry.name for entry in path.iterdir() if entry.is_file()]
            except FileNotFoundError:
                return []
        return sorted(
            prefix + name for name in entries if _PART.match(name) and prefix + name != _LOCK
        )

    def close(self) -> None:
        """Let another process own the directory."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> "StateDirectory":
        """Return self; leaving the block closes."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def _path(self, name: str) -> Path:
        if self._lock is None:
            raise LocalProtocolError(f"the state directory {self.path} was closed")
        if name == _LOCK or not all(_PART.match(part) for part in name.split("/")):
            raise LocalProtocolError(f"{name!r} is not allowed as a name in the state directory")
        return self.path / name

    def _make_folders(self, folder: Path) -> None:
        if folder.exists():
            return
        self._make_folders(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(folder.parent)


def _close_to_others(path: Path) -> None:
    # Somebody may have named /tmp or a home directory by mistake.
    if any(path.iterdir()) and not (path / _LOCK).exists():
        raise StoreError(
            f"{path} holds files of others and is open to other users; choose an empty or a new "
            "directory for the state"
        )
    path.chmod(0o700)


def _take(lock: int, path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(lock, 32, 0).strip()
        who = f"process {int(owner)}" if owner.isdigit() else "another process"
        raise StoreError(
            f"the state directory {path} is in use by {who}; stop that process, or choose another "
            "state directory"
        ) from None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
