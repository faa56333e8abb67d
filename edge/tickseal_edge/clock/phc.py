"""PHC: the clock of a network card, read by its clock id without a system call of its own."""

import os
import time
from pathlib import Path

from tickseal.core.errors import ClockError


class PHC:
    """An open /dev/ptpN.

    Args:
        path: the device.
    Raises:
        ClockError: it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise ClockError(
                f"cannot open {path}: {os.strerror(error.errno or 0)}; the user needs read access "
                "(the udev rule gives it to the group)"
            ) from None
        # FD_TO_CLOCKID of clock_gettime(2).
        self._clock_id = (~self._handle << 3) | 3

    def now_ns(self) -> int:
        """Return its time, ns.

        Raises:
            ClockError: the card is gone.
        """
        try:
            return time.clock_gettime_ns(self._clock_id)
        except OSError as error:
            raise ClockError(
                f"{self.path} does not tell the time: {os.strerror(error.errno or 0)}"
            ) from None

    def close(self) -> None:
        """Close it."""
        os.close(self._handle)


def find_phc(interface: str, root: Path = Path("/sys/class/net")) -> str:
    """Return the device of a network interface's clock.

    Args:
        interface: its name; empty for the only one that has a clock.
    Raises:
        ClockError: it has none.
    """
    if not interface:
        clocks = sorted({entry.name for entry in root.glob("*/device/ptp/ptp*")})
        if len(clocks) == 1:
            return f"/dev/{clocks[0]}"
        raise ClockError(
            "ptp4l's read-only socket does not tell which network card it steers; say so: "
            'clock.ptp_device = "/dev/ptp0"'
        )
    # Virtual interfaces have no device; a VLAN's clock is that of the interface below.
    lower = [entry.name[6:] for entry in (root / interface).glob("lower_*")]
    for name in (interface, *lower):
        for entry in sorted((root / name / "device" / "ptp").glob("ptp*")):
            return f"/dev/{entry.name}"
    raise ClockError(f"the network interface {interface} has no clock of its own")
