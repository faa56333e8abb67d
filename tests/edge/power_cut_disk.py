"""A spool's disk that records what is done to it, and shows what a power cut would leave."""

import random
from collections.abc import Callable

from tickseal_edge.spool.spool_folder import DiskFullError

from tickseal.core.errors import StoreError

#: What is written between two syncs may reach the disk in any order, in units of this size.
_SECTOR = 512


class PowerCutDisk:
    """A Folder in memory.

    A power cut during an append leaves any of its sectors; a deletion may be undone, until the
    next append to any file has returned.

    Attributes:
        cut_at: the number of the append during which the power is cut; -1 for never.
        room: bytes that fit; None for no limit.
        fault: raised by the next append.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.files: dict[str, bytes] = {}
        self._deleted: dict[str, bytes] = {}
        self._random = random.Random(seed)
        self.appends = 0
        self.written = 0
        self.cut_at = -1
        self.room: int | None = None
        self.fault: StoreError | None = None
        self.on_append: Callable[[], None] = lambda: None

    def names(self) -> list[str]:
        return sorted(self.files)

    def size(self, name: str) -> int:
        return len(self.files[name])

    def read(self, name: str, start: int, end: int) -> bytes:
        return self.files[name][max(0, start) : end]

    def append(self, name: str, offset: int, data: bytes) -> None:
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        if self.room is not None and sum(map(len, self.files.values())) + len(data) > self.room:
            raise DiskFullError("full")
        before = self.files.get(name, b"")[:offset]
        if self.appends == self.cut_at:
            self._leave_some(name, before, data)
            raise PowerCutError
        self.files[name] = before + data
        self._deleted.clear()
        self.appends += 1
        self.written += len(data)

    def delete(self, name: str) -> None:
        if name in self.files:
            self._deleted[name] = self.files.pop(name)

    def after_power_cut(self) -> "PowerCutDisk":
        """Return the disk as it is found at the next start."""
        disk = PowerCutDisk()
        disk.files = dict(self.files)
        for name, data in self._deleted.items():
            if self._random.random() < 0.5:
                disk.files[name] = data
        return disk

    def _leave_some(self, name: str, before: bytes, data: bytes) -> None:
        """Leave a length of any size, in which any sector may be old: zeros, or what was there."""
        reached = self._random.randint(0, len(data))
        torn = bytearray(data[:reached])
        for start in range(0, reached, _SECTOR):
            if self._random.random() < 0.3:
                size = min(_SECTOR, reached - start)
                torn[start : start + size] = bytes(size)
        if before or reached or self._random.random() < 0.5:
            self.files[name] = before + bytes(torn)


class PowerCutError(Exception):
    """The power is gone: nothing runs after it."""
