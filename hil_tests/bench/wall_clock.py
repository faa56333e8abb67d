"""A device's wall clock: compared with the bench's, stepped exactly, and vouched for."""

import time
from collections.abc import Callable

from hil_tests.bench.shell import DeviceError, Shell

#: At least so many questions, and until one was quick: the offset is known to half of what it took.
_QUESTIONS, _QUESTIONS_MOST, _QUICK_NS = 8, 1000, 20_000_000

#: Steps and vouches in one system call, so that no reader sees the one without the other.
#: Source: adjtimex(2); ADJ_SETOFFSET takes nanoseconds of 0 to a second, and the status 0 says
#: that the clock is synchronised.
_VOUCH = """
import ctypes, sys
SETOFFSET, NANO, STATUS, ESTERROR, MAXERROR = 0x100, 0x2000, 0x10, 0x8, 0x4
class Timex(ctypes.Structure):
    _fields_ = [
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long), ("esterror", ctypes.c_long), ("status", ctypes.c_int),
        ("constant", ctypes.c_long), ("precision", ctypes.c_long), ("tolerance", ctypes.c_long),
        ("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long), ("rest", ctypes.c_long * 16),
    ]
delta_ns, error_us = map(int, sys.argv[1:])
timex = Timex(
    modes=SETOFFSET | NANO | STATUS | ESTERROR | MAXERROR, status=0,
    maxerror=error_us, esterror=max(1, error_us // 2),
    seconds=delta_ns // 10**9, nanoseconds=delta_ns % 10**9,
)
if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex)) < 0:
    raise OSError(ctypes.get_errno(), "adjtimex")
"""


class WallClock:
    """CLOCK_REALTIME of a device.

    Args:
        shell: on the device.
        read_ns: reads that clock, as quickly as can be.
    """

    def __init__(self, shell: Shell, read_ns: Callable[[], int]) -> None:
        self._shell = shell
        self._read_ns = read_ns

    def offset_ns(self) -> int:
        """Return device minus bench, by the quickest of several questions.

        Raises:
            DeviceError: the answers took so long that it is not known well enough.
        """
        answers: list[tuple[int, int]] = []
        for number in range(_QUESTIONS_MOST):
            before = time.time_ns()
            there = self._read_ns()
            after = time.time_ns()
            answers.append((after - before, there - (before + after) // 2))
            took_ns, offset_ns = min(answers)
            if number >= _QUESTIONS and took_ns < _QUICK_NS:
                return offset_ns
        raise DeviceError(f"the device's clock is known to {took_ns / 2e6:.1f} ms only")

    def step_ns(self, delta_ns: int) -> None:
        """Step it exactly, whatever the time that the command takes."""
        step(self._shell, "CLOCK_REALTIME", delta_ns)

    def vouch(self, delta_ns: int = 0, *, error_ns: int) -> None:
        """Step it, and tell the kernel a bound of its error."""
        self._shell.run(["python3", "-c", _VOUCH, str(delta_ns), str(error_ns // 1000)])

    def prepare(self) -> None:
        """Bring it to the bench's; a clock that starts from a RTC starts with whole seconds."""
        self.step_ns(-self.offset_ns())

    def restore(self) -> None:
        """Bring it back to the bench's."""
        self.prepare()


def step(shell: Shell, clock: str, delta_ns: int) -> None:
    """Step a clock of the device by exactly this much; "CLOCK_REALTIME" is a name too."""
    seconds = f"{'-' if delta_ns < 0 else ''}{abs(delta_ns) // 10**9}.{abs(delta_ns) % 10**9:09}"
    shell.run(["phc_ctl", clock, "--", "adj", seconds])
