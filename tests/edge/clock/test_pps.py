"""The pulse gives the fraction of the second, and whoever is good to 0.4 s names it."""

import fcntl
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from tickseal_edge.clock.pps import PPSDevice, PPSSource, Pulse

from tickseal.clock import ClockDiscipline
from tickseal.core.errors import ClockError
from tickseal.host.clock_fake import FakeClock

SECOND = 10**9
LEAP = 37 * SECOND


class Line:
    """A line of pulses at each true second, as a kernel clock sees them that may be wrong."""

    def __init__(self) -> None:
        # The kernel's clock as TAI; UTC is 37 s less.
        self.kernel = FakeClock(discipline=ClockDiscipline.NONE, uncertainty_ns=100_000_000)
        self.sequence = 0
        self.seen_ns = 0
        self.jitter_ns = 0

    def realtime_ns(self) -> int:
        return self.kernel.now().midpoint_ns - LEAP

    def fetch(self) -> Pulse:
        return Pulse(sequence=self.sequence, realtime_ns=self.seen_ns)

    def close(self) -> None:
        pass

    def second(self) -> None:
        """Let a second pass; at its end there is a pulse."""
        self.kernel.advance(SECOND)
        self.sequence += 1
        self.seen_ns = self.realtime_ns() - self.jitter_ns * (self.sequence % 2)


def source_of(line: Line, name: Callable[[], tuple[int, int]] = lambda: (0, 10**8)) -> PPSSource:
    return PPSSource(line, line.kernel, name, realtime_ns=line.realtime_ns)  # type: ignore[arg-type]


@pytest.mark.parametrize("error_ns", [0, 123_456_789, -399_999_999, 1])
def test_it_corrects_the_kernels_clock_to_the_pulse(error_ns: int) -> None:
    line = Line()
    line.kernel.step(error_ns)
    source = source_of(line)
    line.second()
    with pytest.raises(ClockError, match="not steady yet"):
        source.poll()
    line.second()
    state = source.poll()
    assert state.discipline is ClockDiscipline.PPS
    assert state.offset_ns == error_ns
    assert abs(source.read_ns() - line.kernel.true_ns) <= state.uncertainty_ns < 1_000_000


def test_whole_seconds_come_from_who_names_them() -> None:
    """A GPS that says that the clock is 7 s ahead, to 0.3 s, is taken at its whole seconds."""
    line = Line()
    line.kernel.step(7 * SECOND + 5_000_000)
    source = source_of(line, lambda: (7 * SECOND + 200_000_000, 300_000_000))
    line.second()
    with pytest.raises(ClockError):
        source.poll()
    line.second()
    source.poll()
    assert abs(source.read_ns() - line.kernel.true_ns) < 1_000_000


def test_a_namer_that_is_not_sure_to_half_a_second_names_nothing() -> None:
    line = Line()
    source = source_of(line, lambda: (0, 600_000_000))
    line.second()
    with pytest.raises(ClockError):
        source.poll()
    line.second()
    with pytest.raises(ClockError, match="nobody names the second"):
        source.poll()


def test_lost_pulses_are_a_lost_source() -> None:
    line = Line()
    source = source_of(line)
    line.second()
    with pytest.raises(ClockError):
        source.poll()
    line.second()
    source.poll()
    line.kernel.advance(4 * SECOND)
    with pytest.raises(ClockError, match="no pulse"):
        source.poll()


def test_noise_is_no_pulse() -> None:
    line = Line()
    line.jitter_ns = 20_000_000
    source = source_of(line)
    for _ in range(4):
        line.second()
        with pytest.raises(ClockError, match="not steady"):
            source.poll()


def test_the_device_is_asked_by_ioctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pps0").touch()

    def ioctl(handle: int, request: int, data: bytearray) -> int:
        size = struct.calcsize("P")
        assert request == 0xC0000000 | size << 16 | 0x70A4
        assert len(data) == 64
        # Sequences, then assert: 1700000000.123456789 s.
        struct.pack_into("=IIqi", data, 0, 42, 0, 1_700_000_000, 123_456_789)
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    device = PPSDevice(str(tmp_path / "pps0"))
    assert device.fetch() == Pulse(sequence=42, realtime_ns=1_700_000_000_123_456_789)
    device.close()


def test_sysfs_is_read_where_the_device_is_not_for_this_user(tmp_path: Path) -> None:
    (tmp_path / "pps7").mkdir()
    (tmp_path / "pps7" / "assert").write_text("1700000000.000001234#99\n")
    device = PPSDevice("/no/such/pps7", tmp_path)
    assert device.fetch() == Pulse(sequence=99, realtime_ns=1_700_000_000_000_001_234)


def test_a_missing_device_says_what_to_write_where(tmp_path: Path) -> None:
    with pytest.raises(ClockError, match="dtoverlay=pps-gpio"):
        PPSDevice("/no/such/pps9", tmp_path).fetch()
