"""Output: anything that opened frames go to; OutputRunner isolates it behind a bounded queue."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tickseal.core.errors import TicksealError
from tickseal.host.logs import Once
from tickseal_gateway.frames.readings import Batch
from tickseal_gateway.outputs.catching_up import CatchUp

_logger = logging.getLogger(__name__)

#: Items (readings, pictures, frames) that may wait for one output.
QUEUE_MOST = 50_000
#: Bytes of pictures and opaque frames that may wait for one output.
QUEUE_BYTES_MOST = 64 << 20
_RETRY_FIRST_S, _RETRY_MOST_S = 0.5, 30.0


class Output(Protocol):
    """One place that opened frames go to. All methods are called on a thread of its own.

    Attributes:
        name: for people, for example "store" or "mqtt".
        gather_s: how long to collect before a write, s; 0 to write at once.
        keeps_newest: what is dropped where the output does not keep up: the oldest that waits, or
            else what would come to wait.
    """

    name: str
    gather_s: float
    keeps_newest: bool

    def write(self, batches: Sequence[Batch]) -> None:
        """Take batches in, in order. May block: the other outputs do not notice.

        Raises:
            TicksealError: not now; the same batches come again later.
            Exception: a fault of the output; the batches are given up and counted.
        """

    def close(self) -> None:
        """Finish; nothing is written any more."""


@dataclass(slots=True)
class OutputCounters:
    """What became of what an output was given.

    Attributes:
        written: items taken in.
        missed: items that it did not get when they came.
        caught_up: readings that it got later, from the store; those of an earlier life included.
        failures: writes that failed.
        error: the last failure in words; empty while it works.
    """

    written: int = 0
    missed: int = 0
    caught_up: int = 0
    failures: int = 0
    error: str = ""


class OutputRunner:
    """Runs one output on its own thread, behind a queue that is bounded in items and bytes.

    Args:
        output: taken over.
        on_written: called, on the output's thread, with the batches of each write that succeeded.
        catch_up: where what it missed is; None where that is lost.
        ends_last: it notes what the others have got.
    """

    def __init__(
        self,
        output: Output,
        *,
        queue_most: int = QUEUE_MOST,
        queue_bytes_most: int = QUEUE_BYTES_MOST,
        on_written: Callable[[Sequence[Batch]], None] | None = None,
        catch_up: CatchUp | None = None,
        ends_last: bool = False,
    ) -> None:
        self.counters = OutputCounters()
        self._output = output
        self._on_written = on_written
        self._catch_up = catch_up
        self.ends_last = ends_last
        self._most = queue_most
        self._bytes_most = queue_bytes_most
        self._queue: deque[tuple[Batch, int]] = deque()
        self._items = 0
        self._bytes = 0
        self._changed = threading.Condition()
        self._is_ending = False
        self._hurry = threading.Event()
        self._once = Once(_logger)
        self._thread = threading.Thread(target=self._run, name=f"output-{output.name}", daemon=True)

    @property
    def name(self) -> str:
        """The output's name."""
        return self._output.name

    @property
    def waiting(self) -> int:
        """Items that wait now."""
        return self._items

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def offer(self, batch: Batch) -> bool:
        """Queue a batch without blocking; return False, and count it, where there is no room."""
        size = _bytes_of(batch)
        with self._changed:
            if self._has_room(batch, size):
                self._append(batch, size)
                return True
            if self._output.keeps_newest:
                while self._queue and not self._has_room(batch, size):
                    self._drop_oldest()
                if self._has_room(batch, size):
                    self._append(batch, size)
                    return True
        self._miss(batch)
        return False

    async def room_for(self, batch: Batch) -> None:
        """Wait until a batch can be offered: for what can be slowed down, such as backfill."""
        size = _bytes_of(batch)
        while True:
            with self._changed:
                if self._has_room(batch, size):
                    return
            await asyncio.sleep(0.05)

    def end(self) -> None:
        """Let it write what waits, then close."""
        with self._changed:
            self._is_ending = True
            self._changed.notify()
        self._hurry.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for that end; return False where it did not come in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _has_room(self, batch: Batch, size: int) -> bool:
        if not self._queue:  # however large
            return True
        return self._items + len(batch) <= self._most and self._bytes + size <= self._bytes_most

    def _append(self, batch: Batch, size: int) -> None:
        self._queue.append((batch, size))
        self._items += len(batch)
        self._bytes += size
        self._changed.notify()

    def _drop_oldest(self) -> None:
        batch, size = self._queue.popleft()
        self._items -= len(batch)
        self._bytes -= size
        self._miss(batch)

    def _miss(self, batch: Batch) -> None:
        self.counters.missed += len(batch)
        if self._catch_up is not None:
            self._catch_up.note_missed(batch)

    def _run(self) -> None:
        while self._wait():
            with self._changed:
                taken = [batch for batch, _ in self._queue]
                self._queue.clear()
                self._items = self._bytes = 0
            if self._catch_up is None:
                self._write(taken)
            else:
                self._write_in_order(taken, self._catch_up)
        try:
            self._output.close()
        except Exception:
            _logger.exception("the output %s did not close in order", self.name)

    def _wait(self) -> bool:
        """Wait for something to write; return False at the end."""
        with self._changed:
            while not self._queue and not self._is_ending:
                if self._catch_up is not None and self._catch_up.is_owed:
                    return True
                self._changed.wait()
            if not self._queue:
                return False
        if self._output.gather_s:
            self._hurry.wait(self._output.gather_s)
        return True

    def _write_in_order(self, taken: Sequence[Batch], catch_up: CatchUp) -> None:
        """Write batches, and before each what is missing there; the rest, the next start has."""
        runs = list(catch_up.runs(taken))
        while runs and catch_up.fill(runs[0][0].serial, self._write_late, self._hurry):
            if not self._write(run := runs.pop(0)):
                break
            catch_up.delivered(run)
        self.counters.missed += sum(len(batch) for run in runs for batch in run)
        if not taken:
            catch_up.fill(None, self._write_late, self._hurry)

    def _write_late(self, batch: Batch) -> bool:
        before = self.counters.written
        settled = self._write([batch])
        self.counters.caught_up += self.counters.written - before
        return settled

    def _write(self, batches: Sequence[Batch]) -> bool:
        """Write, again and again; return False where the end came before that."""
        items = sum(map(len, batches))
        wait_s = _RETRY_FIRST_S
        while True:
            try:
                self._output.write(batches)
            except TicksealError as error:
                self._failed(str(error))
                # While it waits, the queue behind it fills, and drops by the output's own rule.
                if self._hurry.wait(wait_s):
                    self.counters.missed += items
                    return False
                wait_s = min(2 * wait_s, _RETRY_MOST_S)
            except Exception as error:
                _logger.exception("the output %s failed; what it was given is lost", self.name)
                self._failed(f"{type(error).__name__}: {error}")
                self.counters.missed += items
                return True
            else:
                self.counters.written += items
                self._once.change("", "", logging.INFO, "the output %s works", self.name)
                self.counters.error = ""
                if self._on_written:
                    self._on_written(batches)
                return True

    def _failed(self, error: str) -> None:
        self.counters.failures += 1
        self.counters.error = error
        self._once.change(
            "", error, logging.ERROR, "the output %s does not work: %s", self.name, error
        )


def stop_all(outputs: Sequence[OutputRunner], timeout_s: float) -> None:
    """End outputs together; one that blocks is left behind after the timeout."""
    until = time.monotonic() + timeout_s
    # Half of the time is for those that end last.
    for is_last, deadline in ((False, until - timeout_s / 2), (True, until)):
        for output in outputs:
            if output.ends_last is is_last:
                output.end()
        for output in outputs:
            if output.ends_last is is_last:
                output.join(max(0.0, deadline - time.monotonic()))
    for output in outputs:
        if not output.join(max(0.0, until - time.monotonic())):
            _logger.error(
                "the output %s did not end in time; %d items are lost", output.name, output.waiting
            )


def _bytes_of(batch: Batch) -> int:
    return (
        sum(len(p.picture.data) for p in batch.pictures)
        + sum(len(other.payload) for other in batch.others)
        + sum(len(sealed.payload) for sealed in batch.sealed)
    )
