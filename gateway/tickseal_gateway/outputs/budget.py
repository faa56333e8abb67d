"""A folder that holds no more than so many bytes: the oldest files go."""

import os
from collections import deque
from pathlib import Path

_SCANNED_MOST = 1_000_000


class Budget:
    """Counts the files of a folder and removes the oldest of them.

    Args:
        folder: everything in it with the suffix counts, in folders below it too.
        suffix: such as ".mp4".
        most: bytes.
    """

    def __init__(self, folder: Path, suffix: str, most: int) -> None:
        self._folder = folder
        self._suffix = suffix
        self._most = most
        self._files: deque[tuple[Path, int]] | None = None
        self._total = 0

    def add(self, path: Path) -> None:
        """Count a file that was finished, and remove the oldest ones where it is too much."""
        if self._files is None:
            self._scan()
        elif path.exists():
            self._count(path, path.stat().st_size)
        assert self._files is not None  # noqa: S101 - for the type checker
        while self._total > self._most and len(self._files) > 1:
            oldest, size = self._files.popleft()
            self._total -= size
            oldest.unlink(missing_ok=True)
            for folder in oldest.parents:
                if folder == self._folder or any(folder.iterdir()):
                    break
                folder.rmdir()

    def _scan(self) -> None:
        self._files = deque()
        found: list[tuple[float, Path, int]] = []
        for folder, _, names in os.walk(self._folder):
            for name in names:
                if name.endswith(self._suffix) and len(found) < _SCANNED_MOST:
                    path = Path(folder, name)
                    state = path.stat()
                    found.append((state.st_mtime, path, state.st_size))
        for _, path, size in sorted(found):
            self._count(path, size)

    def _count(self, path: Path, size: int) -> None:
        assert self._files is not None  # noqa: S101 - for the type checker
        self._files.append((path, size))
        self._total += size
