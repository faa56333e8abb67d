"""A GPIO counter counts what the kernel counted, also what it had no room for."""

from types import SimpleNamespace

import pytest
from pytest_mock import MockerFixture
from tickseal_edge.sensors.base import DeviceError
from tickseal_edge.sensors.gpio import GPIOCounter


class Line:
    """A requested line with the events that the test gives it."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.is_released = False

    def wait_edge_events(self, timeout: object) -> bool:
        assert timeout == 0, "it never waits"
        return bool(self.batches)

    def read_edge_events(self) -> list[object]:
        return [SimpleNamespace(line_seqno=number) for number in self.batches.pop(0)]

    def release(self) -> None:
        self.is_released = True


def test_counts_and_rates(mocker: MockerFixture) -> None:
    line = Line()
    mocker.patch("tickseal_edge.sensors.gpio._request", return_value=line)
    times = iter([0, 2_000_000_000, 3_000_000_000])
    counter = GPIOCounter(
        chip=0, line=17, edge="rising", pull="up", monotonic_ns=lambda: next(times)
    )
    line.batches = [[1, 2], [3]]
    assert [sample.value for sample in counter.read(0)] == [3, None]
    # The kernel's buffer ran over: the numbers go on all the same.
    line.batches = [[23]]
    assert [sample.value for sample in counter.read(0)] == [23, 10.0]
    assert [sample.value for sample in counter.read(0)] == [23, 0.0]
    counter.close()
    assert line.is_released


def test_a_chip_that_is_not_there_is_named() -> None:
    pytest.importorskip("gpiod", reason="gpiod is not installed")
    with pytest.raises(DeviceError, match="gpiodetect"):
        GPIOCounter(chip=63, line=1, edge="both", pull="none")
