"""CatchUp: what an output missed, read from the store once the output works again."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from tickseal.core.errors import StoreError
from tickseal_gateway.frames.readings import Batch
from tickseal_gateway.store.arrivals import Arrivals
from tickseal_gateway.store.reader import StoreReader

_logger = logging.getLogger(__name__)

#: Readings that are read and written at once.
_AT_ONCE = 5000
#: How long the store is waited for, s: an output must not stand still with it.
_PATIENCE_S = 10.0


@runtime_checkable
class CatchesUp(Protocol):
    """An output that is to have every reading, the older first; all others live by the newest."""

    catches_up: bool


class CatchUp:
    """What one output has got, and what it missed.

    Args:
        name: the output's.
        arrivals, path: of the store.
    """

    def __init__(self, name: str, arrivals: Arrivals, path: Path) -> None:
        self._name = name
        self._arrivals = arrivals
        self._reader = StoreReader(path)
        self._life = arrivals.lives
        self._mark = arrivals.mark(name)
        # The last batch that was dropped; and whether an earlier life left something over.
        self._missed_until = 0
        self._is_behind = self._mark.number < arrivals.number

    @property
    def is_owed(self) -> bool:
        """Whether something is missing, even where nothing new comes."""
        return self._is_behind or self._missed_until > self._mark.serial

    def note_missed(self, batch: Batch) -> None:
        """Note that a batch was dropped, on any thread."""
        self._missed_until = max(self._missed_until, batch.serial)

    def runs(self, batches: Sequence[Batch]) -> Iterator[list[Batch]]:
        """Yield batches in pieces between which none is missing."""
        run: list[Batch] = []
        for batch in batches:
            if run and batch.serial != run[-1].serial + 1:
                yield run
                run = []
            run.append(batch)
        if run:
            yield run

    def delivered(self, run: Sequence[Batch]) -> None:
        """Note that the output was given a run, and all before it."""
        self._mark.serial = run[-1].serial

    def fill(
        self, before: int | None, write: Callable[[Batch], bool], ending: threading.Event
    ) -> bool:
        """Write what is missing before a batch, or, with None, all that is missing.

        Args:
            write: writes readings; says False where it cannot any more.
            ending: set where there is no time any more.
        Returns:
            False where it did not come to an end: the rest is owed to the next start.
        """
        until = self._missed_until if before is None else before - 1
        if until <= self._mark.serial and not self._is_behind:
            return True
        deadline = time.monotonic() + _PATIENCE_S
        while self._arrivals.serial < until:
            if time.monotonic() > deadline:
                _logger.warning("%s: what it missed is not in the store", self._name)
                break
            if ending.wait(0.05):
                return False
        try:
            if not self._write_up_to(until, write, ending):
                return False
        except StoreError as error:
            _logger.warning("%s: what it missed cannot be had: %s", self._name, error)
        finally:
            self._reader.close()
        self._is_behind = False
        self._mark.serial = max(self._mark.serial, until)
        return True

    def _write_up_to(
        self, until: int, write: Callable[[Batch], bool], ending: threading.Event
    ) -> bool:
        arrivals, mark = self._arrivals, self._mark
        written = 0
        while True:
            if self._life != arrivals.lives:  # it began anew, in another file
                self._life = arrivals.lives
                self._reader.close()
            last = arrivals.number_of(until)
            found = self._reader.read(arrivals.got(mark), last, _AT_ONCE)
            if not found:
                arrivals.advance(mark, last)
                break
            readings = [reading for _, reading in found]
            batch = Batch(received_ns=time.time_ns(), readings=readings)
            if ending.is_set() or not write(batch):
                return False
            written += len(readings)
            arrivals.advance(mark, found[-1][0])
        if written:
            _logger.info("%s: caught up %d readings from the store", self._name, written)
        return True
