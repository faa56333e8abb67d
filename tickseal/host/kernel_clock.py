"""The kernel's clock with the error bound that its NTP, PTP or PPS daemon told it (adjtimex)."""

import ctypes
import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from tickseal.clock import ClockDiscipline, ClockInterval
from tickseal.core.errors import ClockError
from tickseal.host.leap_seconds import LeapSeconds, load_leap_seconds

_SECOND = 1_000_000_000
_HALF = _SECOND // 2
_STA_UNSYNC = 0x0040
_STA_CLOCKERR = 0x1000
#: The kernel's "I know nothing" (NTP_PHASE_LIMIT), microseconds.
_UNKNOWN_US = 16_000_000
#: TAI - UTC at least, which it was in 1972: less is what the kernel counts by itself from 0.
_TAI_OFFSET_LEAST_S = 10
#: By how much the kernel itself lets maxerror grow while nobody renews it (MAXFREQ).
_GROWTH_PPM = 500
#: adjtimex is asked at most this often, unless the clock was set meanwhile.
_REFRESH_NS = _SECOND
#: A change of realtime against boottime by more than this means that the clock was set.
_SET_NS = 1_000_000
#: The same number on every 32-bit architecture, since Linux 5.1.
_CLOCK_ADJTIME64 = 405
#: An unsynchronised clock has no bound at all. One second is what a person setting it by hand
#: achieves; it lies beyond the default tolerance of a stream, so the policy takes notice.
UNSYNCHRONISED_NS = _SECOND
#: systemd-timesyncd and phc2sys tell the kernel an error of zero, which no clock has. Internet NTP
#: is good for 2 to 4 ms.
UNSTATED_NS = 10_000_000


class _Timex(ctypes.Structure):
    """`struct __kernel_timex`: 208 bytes on every architecture, all of them 64-bit clean."""

    _fields_ = (
        ("modes", ctypes.c_uint), ("_1", ctypes.c_int),
        ("offset", ctypes.c_longlong), ("freq", ctypes.c_longlong),
        ("maxerror", ctypes.c_longlong), ("esterror", ctypes.c_longlong),
        ("status", ctypes.c_int), ("_2", ctypes.c_int),
        ("constant", ctypes.c_longlong), ("precision", ctypes.c_longlong),
        ("tolerance", ctypes.c_longlong),
        ("time_sec", ctypes.c_longlong), ("time_usec", ctypes.c_longlong),
        ("tick", ctypes.c_longlong), ("ppsfreq", ctypes.c_longlong), ("jitter", ctypes.c_longlong),
        ("shift", ctypes.c_int), ("_3", ctypes.c_int),
        ("stabil", ctypes.c_longlong), ("jitcnt", ctypes.c_longlong),
        ("calcnt", ctypes.c_longlong), ("errcnt", ctypes.c_longlong),
        ("stbcnt", ctypes.c_longlong),
        ("tai", ctypes.c_int), ("_4", ctypes.c_int * 11),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelState:
    """What adjtimex tells.

    Args:
        is_synchronised: some daemon vouches for the clock.
        maxerror_us, esterror_us: its bound and its estimate of the error, microseconds.
        tai_offset_s: TAI - UTC as the kernel knows it; 0 where nobody told it.
    """

    is_synchronised: bool
    maxerror_us: int
    esterror_us: int
    tai_offset_s: int


def read_kernel_state() -> KernelState:
    """Ask the kernel, read-only; needs no privilege.

    Raises:
        ClockError: the kernel does not answer, as under a strict system call filter.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    timex = _Timex()  # modes = 0: change nothing
    if ctypes.sizeof(ctypes.c_long) == ctypes.sizeof(ctypes.c_longlong):
        outcome = libc.adjtimex(ctypes.byref(timex))
    else:
        # The C libraries differ in their own 32-bit layouts; the kernel has one.
        outcome = libc.syscall(
            ctypes.c_long(_CLOCK_ADJTIME64), ctypes.c_long(time.CLOCK_REALTIME), ctypes.byref(timex)
        )
    if outcome < 0:
        number = ctypes.get_errno()
        advice = (
            "; allow the system calls adjtimex and clock_adjtime (systemd: SystemCallFilter=@clock "
            "is not needed for reading, ~@clock forbids it)"
            if number in (errno.EPERM, errno.ENOSYS)
            else ""
        )
        raise ClockError(
            f"the kernel does not tell its clock's state: {os.strerror(number)}{advice}"
        )
    return KernelState(
        is_synchronised=not timex.status & (_STA_UNSYNC | _STA_CLOCKERR),
        maxerror_us=timex.maxerror,
        esterror_us=timex.esterror,
        tai_offset_s=timex.tai,
    )


def boottime_ns() -> int:
    """Return the monotonic time that counts sleep too, ns: what TickCounter is to be given."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelClockStatus:
    """A reading with its reasons, for `clock status` and the log.

    Args:
        now: the reading.
        tai_offset_s: TAI - UTC as used.
        tai_offset_origin: where that comes from.
        notes: what a person should know, one sentence each.
    """

    now: ClockInterval
    tai_offset_s: int
    tai_offset_origin: str
    notes: tuple[str, ...]


class KernelClock:
    """CLOCK_TAI +/- the kernel's maxerror.

    Args:
        unsynchronised_ns: uncertainty (half width) at least assumed of an unsynchronised clock, ns.
        unstated_ns: the same where the daemon states no error, ns.
        leap_seconds: used while nobody told the kernel TAI - UTC; by default the system's table
            or the bundled one, whichever is newer.
        read_state, gettime_ns: how to ask the machine.
    """

    def __init__(
        self,
        *,
        unsynchronised_ns: int = UNSYNCHRONISED_NS,
        unstated_ns: int = UNSTATED_NS,
        leap_seconds: LeapSeconds | None = None,
        read_state: Callable[[], KernelState] = read_kernel_state,
        gettime_ns: Callable[[int], int] = time.clock_gettime_ns,
    ) -> None:
        self._unsynchronised_ns = unsynchronised_ns
        self._unstated_ns = unstated_ns
        self._leap_seconds = leap_seconds or load_leap_seconds()
        self._read_state = read_state
        self._gettime_ns = gettime_ns
        self._asked_at = -_REFRESH_NS
        self._lead = 0
        # Of a second of realtime: TAI - UTC as the kernel counts it, and what that lacks, ns.
        self._second = -1
        self._counted_ns = 0
        self._lacking_ns = 0
        self._error_ns = 0
        self._discipline = ClockDiscipline.NONE
        self._notes: tuple[str, ...] = ()

    def now(self) -> ClockInterval:
        """Return a reading: three cheap clock reads, and adjtimex once a second."""
        # TAI is read first: so a pause between both never makes an unset offset look set.
        tai = self._gettime_ns(time.CLOCK_TAI)
        real = self._gettime_ns(time.CLOCK_REALTIME)
        boot = self._gettime_ns(time.CLOCK_BOOTTIME)
        age = boot - self._asked_at
        lead = real - boot
        if age >= _REFRESH_NS or abs(lead - self._lead) > _SET_NS:
            self._ask()
            self._asked_at = boot
            self._lead = lead
            age = 0
        second = real // _SECOND
        if second != self._second or not -_HALF < tai - real - self._counted_ns < _HALF:
            counted = _counted(tai, real)
            lacking = 0
            if counted < _TAI_OFFSET_LEAST_S:
                lacking = self._offset(counted, real, boot) - counted
            self._second = second
            self._counted_ns, self._lacking_ns = counted * _SECOND, lacking * _SECOND
        return ClockInterval.around(
            tai + self._lacking_ns,
            self._error_ns + age * _GROWTH_PPM // 1_000_000,
            self._discipline,
        )

    def status(self) -> KernelClockStatus:
        """Return a fresh reading with its reasons."""
        self._asked_at = -_REFRESH_NS
        now = self.now()
        tai = self._gettime_ns(time.CLOCK_TAI)
        real = self._gettime_ns(time.CLOCK_REALTIME)
        offset = _counted(now.midpoint_ns, real)
        notes = list(self._notes)
        origin = "kernel"
        if _counted(tai, real) < _TAI_OFFSET_LEAST_S:
            table = self._leap_seconds
            origin = table.origin
            notes.append(
                f"the kernel does not know TAI - UTC (systemd-timesyncd does not tell it); "
                f"{offset} s is used, {origin}"
            )
            if real // _SECOND >= table.expires_unix_s:
                notes.append(
                    f"that table expired on {_day(table.expires_unix_s)}; update tzdata or tickseal"
                )
        return KernelClockStatus(
            now=now, tai_offset_s=offset, tai_offset_origin=origin, notes=tuple(notes)
        )

    def _offset(self, counted_s: int, real_ns: int, boot_ns: int) -> int:
        """Return TAI - UTC in s where nobody told the kernel, which counts leap seconds anyway.

        What it was at the start of the machine and what was counted since hold through an inserted
        second itself, in which UTC is told twice, and for one that the table does not know of. The
        table knows one that the kernel did not insert.
        """
        since_start = self._leap_seconds.offset_at((real_ns - boot_ns) // _SECOND) + counted_s
        return max(since_start, self._leap_seconds.offset_at(real_ns // _SECOND))

    def _ask(self) -> None:
        try:
            state = self._read_state()
        except ClockError as error:
            self._unsynchronised(self._unsynchronised_ns, str(error))
            return
        error_ns = state.maxerror_us * 1000
        if not state.is_synchronised:
            known = error_ns if state.maxerror_us < _UNKNOWN_US else 0
            self._unsynchronised(
                max(known, self._unsynchronised_ns),
                "no daemon vouches for the clock; start chrony or systemd-timesyncd and give it a "
                "server that can be reached",
            )
            return
        self._discipline = ClockDiscipline.KERNEL
        self._notes = ()
        if not 0 < state.esterror_us < _UNKNOWN_US and error_ns < self._unstated_ns:
            error_ns = self._unstated_ns
            self._notes = (
                f"the daemon that steers the clock states no error; +/- {error_ns / 1e6:g} ms is "
                "assumed",
            )
        self._error_ns = error_ns

    def _unsynchronised(self, error_ns: int, why: str) -> None:
        self._discipline = ClockDiscipline.NONE
        self._error_ns = error_ns
        self._notes = (f"{why}; +/- {error_ns / _SECOND:g} s is assumed",)


def _counted(tai_ns: int, real_ns: int) -> int:
    return round((tai_ns - real_ns) / _SECOND)


def _day(unix_s: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(unix_s))
