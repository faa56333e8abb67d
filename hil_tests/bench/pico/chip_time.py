"""The emulated chip's own time, for a host that is to live in it: else it would lose patience.

The emulator is many times slower than the chip. To a gateway, whose time-outs, ticks and clock are
those of the wall, the board's clock would seem to stand almost still. So the emulator shares its
time, and here a process takes it for its own.
"""

import asyncio
import contextlib
import mmap
import selectors
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

from tickseal.host.kernel_clock import KernelClock

TIME_BYTES = 8
#: Shortest wait of a loop on the chip's time, s of the wall's.
_LOOK_S = 0.005


class ChipTime:
    """Reads the time that an emulator shares."""

    def __init__(self, file: Path) -> None:
        with file.open("rb") as opened:
            self._shared = mmap.mmap(opened.fileno(), TIME_BYTES, prot=mmap.PROT_READ)

    def ns(self) -> int:
        """Return ns since the emulator was switched on."""
        return int.from_bytes(self._shared[:TIME_BYTES], sys.byteorder)

    @contextlib.contextmanager
    def taken(self) -> Iterator[Callable[[], asyncio.AbstractEventLoop]]:
        """Let this process's clocks run as the chip's; give what makes event loops that do so."""
        clocks = (time.CLOCK_BOOTTIME, time.CLOCK_REALTIME, time.CLOCK_TAI)
        starts = {clock: time.clock_gettime_ns(clock) - self.ns() for clock in clocks}

        def gettime_ns(clock: int) -> int:
            return starts[clock] + self.ns()

        defaults = KernelClock.__init__.__kwdefaults__ or {}
        with (
            mock.patch.object(time, "clock_gettime_ns", gettime_ns),
            mock.patch.dict(defaults, gettime_ns=gettime_ns),
        ):
            yield lambda: ChipTimeLoop(self)


class ChipTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is a chip's."""

    def __init__(self, chip: ChipTime) -> None:
        self._chip = chip
        super().__init__(_RareSelector())

    def time(self) -> float:
        """Return the loop's clock, s."""
        return self._chip.ns() / 1e9


class _RareSelector(selectors.DefaultSelector):
    """Waits for some ms of the wall's, or not at all: a slow clock is not worth a look before."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for events, s at most."""
        return super().select(max(timeout, _LOOK_S) if timeout else timeout)
