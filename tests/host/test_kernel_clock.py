"""The kernel's clock, with what adjtimex tells replaced where a fault is wanted."""

import ctypes
import time

import pytest

from tickseal.clock import ClockDiscipline, ClockInterval, GatewayTimeFilter
from tickseal.core.errors import ClockError
from tickseal.host import kernel_clock
from tickseal.host.clock_fake import FakeClock
from tickseal.host.gateway_clock import GatewayAssistedClock
from tickseal.host.kernel_clock import KernelClock, KernelState, boottime_ns, read_kernel_state
from tickseal.host.leap_seconds import BUNDLED, LeapSeconds

MILLISECOND = 1_000_000
SECOND = 1_000_000_000
NOW_S = 1_800_000_000  # 2027-01-15, within the bundled table's life


class Machine:
    """A kernel: its clocks, and what it says of them."""

    def __init__(self) -> None:
        self.real = NOW_S * SECOND
        self.boot = 500 * SECOND
        self.tai_offset_s = 37
        self.is_synchronised = True
        self.maxerror_us = 2000
        self.esterror_us = 300
        self.asked = 0
        self.refuses = False

    def gettime_ns(self, clock: int) -> int:
        return {
            time.CLOCK_REALTIME: self.real,
            time.CLOCK_TAI: self.real + self.tai_offset_s * SECOND,
            time.CLOCK_BOOTTIME: self.boot,
        }[clock]

    def read_state(self) -> KernelState:
        self.asked += 1
        if self.refuses:
            raise ClockError("not permitted")
        return KernelState(
            is_synchronised=self.is_synchronised,
            maxerror_us=self.maxerror_us,
            esterror_us=self.esterror_us,
            tai_offset_s=self.tai_offset_s,
        )

    def advance(self, elapsed_ns: int) -> None:
        self.real += elapsed_ns
        self.boot += elapsed_ns

    def clock(self, leap_seconds: LeapSeconds = BUNDLED) -> KernelClock:
        return KernelClock(
            read_state=self.read_state, gettime_ns=self.gettime_ns, leap_seconds=leap_seconds
        )


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_the_structure_is_the_kernels() -> None:
    # linux/timex.h, struct __kernel_timex; offsets printed by a C program on x86-64.
    timex = kernel_clock._Timex
    assert ctypes.sizeof(timex) == 208
    assert timex.maxerror.offset == 24
    assert timex.status.offset == 40
    assert timex.time_sec.offset == 72
    assert timex.stbcnt.offset == 152
    assert timex.tai.offset == 160


def test_this_machines_kernel_answers() -> None:
    state = read_kernel_state()
    assert 0 <= state.maxerror_us <= 16_000_000
    assert state.tai_offset_s in range(100)
    reading = KernelClock().now()
    assert abs(reading.midpoint_ns - (time.time_ns() + 37 * SECOND)) < 10 * SECOND
    assert abs(boottime_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) < 10 * SECOND


def test_a_synchronised_clock_is_bounded_by_maxerror(machine: Machine) -> None:
    reading = machine.clock().now()
    assert reading.discipline is ClockDiscipline.KERNEL
    assert reading.midpoint_ns == machine.real + 37 * SECOND
    assert reading.uncertainty_ns == 2 * MILLISECOND


def test_asks_the_kernel_once_a_second_and_widens_in_between(machine: Machine) -> None:
    clock = machine.clock()
    assert clock.now().uncertainty_ns == 2 * MILLISECOND
    for _ in range(9):
        machine.advance(100 * MILLISECOND)
        reading = clock.now()
    assert machine.asked == 1
    assert reading.uncertainty_ns == 2 * MILLISECOND + 450_000  # 500 ppm of 0.9 s
    machine.advance(100 * MILLISECOND)
    assert clock.now().uncertainty_ns == 2 * MILLISECOND
    assert machine.asked == 2


def test_notices_at_once_that_the_clock_was_set(machine: Machine) -> None:
    clock = machine.clock()
    clock.now()
    machine.advance(MILLISECOND)
    machine.real += 3600 * SECOND
    machine.is_synchronised = False  # as the kernel does when the clock is set
    assert not clock.now().is_synchronised


def test_an_unsynchronised_clock_is_a_second_off_at_least(machine: Machine) -> None:
    machine.is_synchronised = False
    machine.maxerror_us = 16_000_000
    clock = machine.clock()
    reading = clock.now()
    assert reading.discipline is ClockDiscipline.NONE
    assert reading.uncertainty_ns == SECOND
    assert "no daemon vouches" in clock.status().notes[0]
    machine.maxerror_us = 5_000_000  # somebody knows that it is worse
    assert machine.clock().now().uncertainty_ns == 5 * SECOND


def test_a_device_in_1970_still_gets_a_reading(machine: Machine) -> None:
    machine.real = 5 * MILLISECOND
    machine.tai_offset_s = 0
    machine.is_synchronised = False
    reading = machine.clock().now()
    assert reading.midpoint_ns == 37 * SECOND + 5 * MILLISECOND
    machine.real = 0
    machine.tai_offset_s = -37  # no kernel; the reading must stay within the wire's range
    assert machine.clock().now().earliest_ns >= 0


def test_a_daemon_that_states_no_error_is_not_believed(machine: Machine) -> None:
    for unstated in (0, 16_000_000):  # systemd-timesyncd; phc2sys
        machine.maxerror_us = 0
        machine.esterror_us = unstated
        clock = machine.clock()
        assert clock.now().uncertainty_ns == 10 * MILLISECOND
        assert "states no error" in clock.status().notes[0]
    machine.maxerror_us = 30_000  # grown since
    assert machine.clock().now().uncertainty_ns == 30 * MILLISECOND


def test_without_a_tai_offset_in_the_kernel_the_table_is_used_and_said(machine: Machine) -> None:
    machine.tai_offset_s = 0
    clock = machine.clock()
    assert clock.now().midpoint_ns == machine.real + 37 * SECOND
    status = clock.status()
    assert (status.tai_offset_s, status.tai_offset_origin) == (37, "bundled with tickseal")
    assert "does not know TAI - UTC" in status.notes[-1]
    machine.tai_offset_s = 37  # chrony came up; no step of a second's length in between
    assert clock.now().midpoint_ns == machine.real + 37 * SECOND
    assert clock.status().tai_offset_origin == "kernel"


@pytest.mark.parametrize("is_known", [True, False], ids=["in the table", "not in the table"])
@pytest.mark.parametrize("told_s", [0, 37], ids=["offset unset", "offset set"])
def test_no_tick_comes_twice_and_none_is_skipped_in_a_leap_second(
    machine: Machine, told_s: int, is_known: bool
) -> None:
    """The kernel inserts it: UTC goes back by a second, and TAI - UTC up, whatever it was."""
    leap_s = NOW_S + 2
    known = ((leap_s, 38),) if is_known else ()
    table = LeapSeconds(changes=((0, 37), *known), expires_unix_s=1 << 40, origin="of this test")
    machine.tai_offset_s = told_s
    clock = machine.clock(table)
    lead_ns = clock.now().midpoint_ns - machine.boot
    for _ in range(50):
        machine.advance(100 * MILLISECOND)
        if machine.real == leap_s * SECOND and machine.tai_offset_s == told_s:
            machine.real -= SECOND
            machine.tai_offset_s += 1
        assert clock.now().midpoint_ns - machine.boot == lead_ns
    assert machine.real > leap_s * SECOND
    assert clock.status().tai_offset_s == 38


def test_a_leap_second_that_the_kernel_did_not_insert_is_taken_from_the_table(
    machine: Machine,
) -> None:
    """Some daemons step the clock instead, and some machines sleep through it."""
    table = LeapSeconds(
        changes=((0, 37), (NOW_S + 1, 38)), expires_unix_s=1 << 40, origin="of this test"
    )
    machine.tai_offset_s = 0
    clock = machine.clock(table)
    lead_ns = clock.now().midpoint_ns - machine.boot
    machine.advance(5 * SECOND)
    machine.real -= SECOND
    assert clock.now().midpoint_ns - machine.boot == lead_ns


def test_the_kernels_tai_offset_wins_over_the_table(machine: Machine) -> None:
    machine.tai_offset_s = 38
    assert machine.clock().now().midpoint_ns == machine.real + 38 * SECOND
    assert machine.clock().status().tai_offset_s == 38


def test_an_expired_table_is_said(machine: Machine) -> None:
    machine.tai_offset_s = 0
    machine.real = BUNDLED.expires_unix_s * SECOND
    assert "expired on 2027-06-28" in machine.clock().status().notes[-1]


def test_a_kernel_that_refuses_makes_an_unsynchronised_clock(machine: Machine) -> None:
    machine.refuses = True
    clock = machine.clock()
    assert clock.now().discipline is ClockDiscipline.NONE
    assert clock.now().uncertainty_ns == SECOND
    assert "not permitted" in clock.status().notes[0]


def test_a_device_without_time_takes_the_gateways() -> None:
    own = FakeClock(discipline=ClockDiscipline.NONE, uncertainty_ns=SECOND)
    own.step(-50 * 365 * 86_400 * SECOND)
    gateway_time = GatewayTimeFilter()
    clock = GatewayAssistedClock(own, gateway_time, own.monotonic_ns)
    assert clock.now() == own.now()
    sent = own.monotonic_ns()
    own.advance(10 * MILLISECOND)
    told = ClockInterval.around(own.true_ns, MILLISECOND, ClockDiscipline.PTP)
    own.advance(20 * MILLISECOND)
    gateway_time.add(
        sent_monotonic_ns=sent,
        received_monotonic_ns=own.monotonic_ns(),
        peer_earliest_ns=told.earliest_ns,
        peer_latest_ns=told.latest_ns,
    )
    reading = clock.now()
    assert reading.discipline is ClockDiscipline.GATEWAY
    assert reading.earliest_ns <= own.true_ns <= reading.latest_ns
    assert abs(reading.uncertainty_ns - 16 * MILLISECOND) <= 1
    own.discipline = ClockDiscipline.NTP
    assert clock.now() == own.now()
