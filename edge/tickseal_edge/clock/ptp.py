"""PTP as a source: the network card's clock, or the kernel's, as ptp4l measures and steers it."""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from tickseal.clock import Clock, ClockDiscipline
from tickseal.core.errors import ClockError
from tickseal.host.leap_seconds import LeapSeconds, load_leap_seconds
from tickseal_edge.clock.base import SourceState
from tickseal_edge.clock.phc import PHC, find_phc
from tickseal_edge.clock.ptp_management import PTPStatus

_SECOND = 1_000_000_000
#: States of a port that measures; one that is not yet locked, or is told not to steer, does too.
_MEASURING = ("slave", "uncalibrated")
#: A sync is expected each second; so many later the master is gone, though ptp4l may not say yet.
_SILENCE_NS = 4 * _SECOND
#: What a crystal runs off between two measurements, ppm, while ptp4l does not steer it.
_CRYSTAL_PPM = 100.0
#: What is assumed of a grandmaster that claims no accuracy.
_UNKNOWN_NS = 1_000_000
_OFFSETS = 8


class Management(Protocol):
    """What is asked: see ptp_management.PTPManagement."""

    def status(self) -> PTPStatus:
        """Return what ptp4l knows, or raise ClockError."""


class PTPSource:
    """TAI by PTP.

    With hardware stamps the network card's clock is read itself; with software stamps the kernel's
    is. Either is corrected by the offset that ptp4l last measured.

    Args:
        management: asks ptp4l.
        kernel: CLOCK_TAI, for software stamps.
        device: /dev/ptpN; by default the one of ptp4l's interface.
        takes_untraceable: take a grandmaster that claims no primary reference, and whose time may
            be anything, at its word.
        leap_seconds: for a master that announces UTC without the offset.
        open_phc: opens a device.
    """

    name = "ptp"
    basis = "ptp"

    def __init__(
        self,
        management: Management,
        kernel: Clock,
        *,
        device: str = "",
        takes_untraceable: bool = False,
        leap_seconds: LeapSeconds | None = None,
        open_phc: Callable[[str], PHC] = PHC,
    ) -> None:
        self._management = management
        self._kernel = kernel
        self._device = device
        self._takes_untraceable = takes_untraceable
        self._leap_seconds = leap_seconds or load_leap_seconds()
        self._open_phc = open_phc
        self._phc: PHC | None = None
        self._offsets: deque[int] = deque(maxlen=_OFFSETS)
        self._grandmaster = ""
        # What is added to the clock that is read.
        self._correction_ns = 0

    def poll(self) -> SourceState:
        """Ask ptp4l, and find the clock that it steers."""
        status = self._management.status()
        self._check(status)
        if status.grandmaster != self._grandmaster:
            self._offsets.clear()
        phc = self._clock_of(status)
        own_ns = phc.now_ns() if phc else self._realtime_ns()
        age_ns = own_ns - status.ingress_ns
        if not 0 <= age_ns <= _SILENCE_NS:
            raise ClockError(f"no sync from the master for {age_ns / _SECOND:.1f} s")
        self._offsets.append(status.offset_ns)
        self._grandmaster = status.grandmaster
        self._correction_ns = self._timescale_ns(status, own_ns, phc) - status.offset_ns
        accuracy_ns = _UNKNOWN_NS if status.accuracy_ns is None else status.accuracy_ns
        spread = max(self._offsets) - min(self._offsets)
        # Half the path's delay bounds what an asymmetric way makes of it.
        uncertainty_ns = accuracy_ns + status.path_delay_ns // 2 + spread + 1
        return SourceState(
            uncertainty_ns=uncertainty_ns + int(age_ns * _CRYSTAL_PPM / 1e6),
            growth_ppm=_CRYSTAL_PPM,
            discipline=ClockDiscipline.PTP,
            offset_ns=status.offset_ns,
            details=_details(status, phc),
            notes=_notes(status),
        )

    def read_ns(self) -> int:
        """Return TAI by the clock that ptp4l measures, ns."""
        own_ns = self._phc.now_ns() if self._phc else self._kernel.now().midpoint_ns
        return own_ns + self._correction_ns

    def close(self) -> None:
        """Close the network card's clock."""
        if self._phc is not None:
            self._phc.close()
            self._phc = None

    def _check(self, status: PTPStatus) -> None:
        if not status.grandmaster or status.port_state not in _MEASURING:
            raise ClockError(f"PTP has no master (port state {status.port_state})")
        if not status.path_delay_ns:
            raise ClockError("PTP has not measured the way to the master yet")
        if not (status.is_traceable and status.is_tai) and not self._takes_untraceable:
            raise ClockError(
                f"the PTP grandmaster {status.grandmaster} claims no primary reference (class "
                f"{status.clock_class}); give it one, or set clock.ptp_untraceable = true"
            )

    def _clock_of(self, status: PTPStatus) -> PHC | None:
        if not status.is_hardware and not self._device:
            return None
        path = self._device or find_phc(status.interface)
        if self._phc is None or self._phc.path != path:
            self.close()
            self._phc = self._open_phc(path)
        return self._phc

    def _realtime_ns(self) -> int:
        tai_ns = self._kernel.now().midpoint_ns
        return tai_ns - self._leap_seconds.offset_at(tai_ns // _SECOND) * _SECOND

    def _timescale_ns(self, status: PTPStatus, own_ns: int, phc: PHC | None) -> int:
        """Return what makes TAI of the clock that is read, before its offset to the master."""
        if status.is_tai or phc is None:
            return 0  # the kernel's is read as TAI, whatever the master's scale
        if status.utc_offset_s is not None:
            return status.utc_offset_s * _SECOND
        return self._leap_seconds.offset_at(own_ns // _SECOND) * _SECOND


def _details(status: PTPStatus, phc: PHC | None) -> dict[str, object]:
    return {
        "port_state": status.port_state,
        "interface": status.interface,
        "clock": phc.path if phc else "kernel (software stamps)",
        "path_delay_ns": status.path_delay_ns,
        "grandmaster": status.grandmaster,
        "clock_class": status.clock_class,
        "accuracy_ns": status.accuracy_ns,
        "tai_offset_s": status.utc_offset_s,
        "is_traceable": status.is_traceable,
    }


def _notes(status: PTPStatus) -> tuple[str, ...]:
    notes = []
    if not status.is_traceable:
        notes.append("the PTP grandmaster claims no primary reference; its time may be anything")
    if status.accuracy_ns is None:
        notes.append("the PTP grandmaster claims no accuracy; +/- 1 ms is assumed")
    return tuple(notes)
