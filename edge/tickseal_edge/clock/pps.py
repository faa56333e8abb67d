"""PPS as a source: the pulse gives the fraction of the second, somebody else names the second.

Date and second come from one side and the fraction from another, so that a forged GPS message
moves the time by whole seconds only, which the gateway's clock check notices at once.
Source: linux/pps.h; RFC 2783.
"""

import fcntl
import os
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tickseal.clock import Clock, ClockDiscipline
from tickseal.core.errors import ClockError
from tickseal_edge.clock.base import SourceState

_SECOND = 1_000_000_000
#: _IOWR('p', 0xa4, struct pps_fdata *): the size in it is that of a pointer.
_FETCH = 0xC0000000 | struct.calcsize("P") << 16 | ord("p") << 8 | 0xA4
#: struct pps_fdata: sequence numbers, assert, clear (s64 s, s32 ns, u32 flags each), mode, timeout.
_fdata = struct.Struct("=IIqiIqiIi4xqiI")
_PULSES = 8
#: A pulse is lost where none came for so long.
_SILENCE_NS = 3 * _SECOND
#: Interrupt latency of a busy small machine.
_LATENCY_NS = 5_000
#: A second is named with certainty where its namer is surer than this.
_NAMING_NS = 400_000_000
_CRYSTAL_PPM = 100.0
#: Pulses that scatter more than this are noise, not a receiver with a fix.
_SCATTER_NS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """The last pulse: its number, and when the kernel's clock (UTC) saw it, ns."""

    sequence: int
    realtime_ns: int


class PPSDevice:
    """/dev/ppsN, or its file in sysfs where the device is not for this user; opened when asked."""

    def __init__(self, path: str = "/dev/pps0", sysfs: Path = Path("/sys/class/pps")) -> None:
        self._path = path
        self._handle: int | None = None
        self._sysfs = sysfs / Path(path).name / "assert"

    def fetch(self) -> Pulse:
        """Return the last pulse, without waiting for the next.

        Raises:
            ClockError: the device is gone.
        """
        try:
            if self._handle is None and not self._open():
                return _parse_sysfs(self._sysfs.read_text("ascii"))
            data = bytearray(_fdata.size)
            fcntl.ioctl(self._handle or 0, _FETCH, data)
        except (OSError, ValueError):
            self.close()
            raise ClockError(f"{self._path} tells no pulses; is the receiver there?") from None
        fields = _fdata.unpack(data)
        return Pulse(sequence=fields[0], realtime_ns=fields[2] * _SECOND + fields[3])

    def close(self) -> None:
        """Close it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _open(self) -> bool:
        try:
            self._handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            if os.access(self._sysfs, os.R_OK):
                return False
            raise ClockError(
                f"cannot open {self._path}: {os.strerror(error.errno or 0)}; on a Raspberry Pi add "
                "dtoverlay=pps-gpio,gpiopin=18 to /boot/firmware/config.txt"
            ) from None
        return True


def _parse_sysfs(text: str) -> Pulse:
    stamp, _, sequence = text.strip().partition("#")
    seconds, _, fraction = stamp.partition(".")
    nanoseconds = int(fraction.ljust(9, "0")[:9])
    return Pulse(sequence=int(sequence), realtime_ns=int(seconds) * _SECOND + nanoseconds)


class PPSSource:
    """TAI by a pulse each second.

    Args:
        device: gives the pulses, by the kernel's clock.
        kernel: that clock as TAI.
        name_second: returns by how much the kernel's clock is ahead of UTC, ns, and how far that
            may be off, ns; or raises ClockError. It need only be good to 0.4 s.
        basis: whose clock names the second.
        realtime_ns: the kernel's clock as UTC.
    """

    name = "pps"

    def __init__(
        self,
        device: PPSDevice,
        kernel: Clock,
        name_second: Callable[[], tuple[int, int]],
        *,
        basis: str = "kernel",
        realtime_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.basis = basis
        self._device = device
        self._kernel = kernel
        self._name_second = name_second
        self._realtime_ns = realtime_ns
        self._pulses: deque[tuple[int, int]] = deque(maxlen=_PULSES)
        self._ahead_ns = 0

    def poll(self) -> SourceState:
        """Take in the last pulse, and have its second named."""
        pulse = self._device.fetch()
        age_ns = self._realtime_ns() - pulse.realtime_ns
        if not pulse.sequence or not 0 <= age_ns <= _SILENCE_NS:
            self._pulses.clear()
            raise ClockError("no pulse on the PPS line; see antenna, wire and `ppstest`")
        if not self._pulses or self._pulses[-1][0] != pulse.sequence:
            self._pulses.append((pulse.sequence, _fraction(pulse.realtime_ns)))
        fractions = [fraction for _, fraction in self._pulses]
        scatter_ns = max(_fraction(one - fractions[0]) for one in fractions) - min(
            _fraction(one - fractions[0]) for one in fractions
        )
        if len(fractions) < 2 or scatter_ns > _SCATTER_NS:
            raise ClockError(
                f"the PPS line is not steady yet ({len(fractions)} pulses, "
                f"{scatter_ns / 1000:.0f} us apart)"
            )
        ahead_ns, off_by_ns = self._name_second()
        if off_by_ns > _NAMING_NS:
            raise ClockError(
                f"nobody names the second of the pulses: the best is off by up to "
                f"{off_by_ns / 1e9:.1f} s; run chrony or gpsd beside it"
            )
        # The pulse gives the fraction, the namer the whole second next to it.
        fraction = fractions[-1]
        self._ahead_ns = fraction + round((ahead_ns - fraction) / _SECOND) * _SECOND
        return SourceState(
            uncertainty_ns=_LATENCY_NS + scatter_ns + int(age_ns * _CRYSTAL_PPM / 1e6),
            growth_ppm=_CRYSTAL_PPM,
            discipline=ClockDiscipline.PPS,
            offset_ns=self._ahead_ns,
            details={
                "pulses": pulse.sequence,
                "scatter_ns": scatter_ns,
                "last_pulse_ns_ago": age_ns,
                "second_named_within_ns": off_by_ns,
            },
        )

    def read_ns(self) -> int:
        """Return CLOCK_TAI less what the pulses show it to be ahead, ns."""
        return self._kernel.now().midpoint_ns - self._ahead_ns

    def close(self) -> None:
        """Close the device."""
        self._device.close()


def _fraction(nanoseconds: int) -> int:
    """Return the part of a second, from -0.5 s to 0.5 s."""
    return (nanoseconds + _SECOND // 2) % _SECOND - _SECOND // 2
