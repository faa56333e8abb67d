"""Arrivals: which batch ended with which sample in the store, and what each output has got."""

import threading
from bisect import bisect_right
from dataclasses import dataclass

#: Batches whose place in the store is remembered at least: more than may wait for an output.
_REMEMBERED = 1 << 16


@dataclass(slots=True)
class Mark:
    """What one output has got.

    Attributes:
        serial: the last batch that it was given; the output's own thread moves it.
        number: the last sample in the store up to which it has all.
    """

    serial: int = 0
    number: int = 0


class Arrivals:
    """Shared by the store, which writes it, and the outputs that catch up; safe on any thread.

    Args:
        number: the last sample that the store held when it was opened.
        delivered: the marks that it held, by output.
    Attributes:
        lives: how often the store began anew.
    """

    def __init__(self, number: int, delivered: dict[str, int]) -> None:
        self.lives = 0
        self._lock = threading.Lock()
        # In step: batches that are committed, and the last sample of each.
        self._serials = [0]
        self._numbers = [number]
        self._delivered = delivered
        self._marks: dict[str, Mark] = {}

    @property
    def serial(self) -> int:
        """The last batch that is in the store."""
        return self._serials[-1]

    @property
    def number(self) -> int:
        """The last sample that is in the store."""
        return self._numbers[-1]

    def mark(self, output: str) -> Mark:
        """Return the mark of an output: of its last life, or of one that begins with what comes."""
        with self._lock:
            number = min(self._delivered.get(output, self.number), self.number)
            return self._marks.setdefault(output, Mark(number=number))

    def committed(self, ends: list[tuple[int, int]]) -> None:
        """Note batches that the store has committed: the serial and the last sample of each."""
        with self._lock:
            self._serials += [serial for serial, _ in ends]
            self._numbers += [number for _, number in ends]
            if len(self._serials) > 2 * _REMEMBERED:
                del self._serials[:-_REMEMBERED], self._numbers[:-_REMEMBERED]
            self._update()

    def got(self, mark: Mark) -> int:
        """Return the last sample up to which an output has all."""
        with self._lock:
            self._update()
            return mark.number

    def advance(self, mark: Mark, number: int) -> None:
        """Note that an output has all samples up to one."""
        with self._lock:
            mark.number = max(mark.number, number)

    def number_of(self, serial: int) -> int:
        """Return the last sample of a batch and all before it, as far as they are committed."""
        with self._lock:
            return self._number_of(serial)

    def begin_anew(self) -> None:
        """Note that the store began anew, and holds nothing of before."""
        with self._lock:
            self.lives += 1
            self._numbers = [0] * len(self._numbers)
            for mark in self._marks.values():
                mark.number = 0

    def delivered(self) -> dict[str, int]:
        """Return the mark of each output that there is now, to be kept with the samples."""
        with self._lock:
            self._update()
            return {output: mark.number for output, mark in self._marks.items()}

    def _update(self) -> None:
        for mark in self._marks.values():
            if mark.serial:
                mark.number = max(mark.number, self._number_of(mark.serial))

    def _number_of(self, serial: int) -> int:
        at = bisect_right(self._serials, serial)
        return self._numbers[at - 1] if at else 0
