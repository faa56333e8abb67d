"""A recall under way: the parts of a grant file, as they come, into a file of mode 0600."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from tickseal.core.errors import LinkError, StoreError, TicksealError
from tickseal.sessions.events import RecallReceived
from tickseal_gateway.recordings.files import explained

_FILE = "recalled.grant"
_EVERY_S = 1.0
_REASONS = {
    "policy": "the gateway does not allow it; there: tickseal gateway allow SINK STREAM --since",
    "none": "the gateway has no recording of it from that span",
    "pending": "this sink waits to be approved at the gateway",
    "error": "the gateway could not read its recording; its log says why",
}


class Recall:
    """One recall at a time, by its session's rule.

    Args:
        folder: the state directory; the file in it is the asker's to move away.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._file: BinaryIO | None = None
        self._size = 0
        self._fault: TicksealError | None = None
        self._changed = asyncio.Event()

    async def begin(self, stream_id: str) -> AsyncIterator[object]:
        """Yield {"bytes": n} about once a second, and at last {"path": file, "bytes": n}.

        Raises:
            LinkError: the session ended.
            StoreError: there is no recording, or the disk refuses.
        """
        self._size, self._fault = 0, None
        with explained("write", self._path):
            flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC
            self._file = os.fdopen(os.open(self._path, flags, 0o600), "wb")
        while self._file is not None:
            self._changed.clear()
            try:
                async with asyncio.timeout(_EVERY_S):
                    await self._changed.wait()
            except TimeoutError:
                yield {"bytes": self._size}
        if self._fault is not None:
            raise type(self._fault)(f"{stream_id}: {self._fault}")
        yield {"path": str(self._path), "bytes": self._size}

    def take(self, event: RecallReceived) -> None:
        """Take in a part; what nobody waits for any more is let go."""
        if self._file is None:
            return
        try:
            self._file.write(event.part)
            self._size += len(event.part)
            if event.is_last:
                self._file.close()
        except OSError as error:
            self._end(StoreError(f"cannot write {self._path}: {error.strerror}"))
            return
        if event.reason:
            self._end(StoreError(_REASONS.get(event.reason, event.reason)))
        elif event.is_last:
            self._end(None)

    def fail(self, why: str) -> None:
        """End it without a file, where one is under way."""
        if self._file is not None:
            self._end(LinkError(why))

    def _end(self, fault: TicksealError | None) -> None:
        file, self._file = self._file, None
        self._fault = fault
        if fault is not None:
            if file is not None:
                file.close()
            self._path.unlink(missing_ok=True)
        self._changed.set()
