"""What a driver gives is taken as it is, scaled, or marked; never invented, never raised."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tickseal_edge.sensors.base import DeviceError
from tickseal_edge.sensors.readings import Reader, ReadingConfig


class Driver:
    """Gives what it was told to, or raises it."""

    def __init__(self, **values: object) -> None:
        self._values = values

    def __getattr__(self, name: str) -> object:
        value = self._values[name]
        if isinstance(value, Exception):
            raise value
        return value


def read(driver: Driver, *readings: ReadingConfig) -> list[object]:
    return [sample.value for sample in Reader(driver, readings, "test").read(0)]


@given(
    st.one_of(st.integers(), st.floats(), st.text(), st.none(), st.binary(), st.lists(st.floats()))
)
def test_any_value_is_finite_or_marked(value: object) -> None:
    (found,) = read(Driver(a=value), ReadingConfig(attribute="a", low=-5, high=5, scale=2.0))
    if isinstance(found, int | float) and not isinstance(found, bool):
        assert math.isfinite(found)
        assert -5 <= found <= 5
    else:
        assert found is None or found == value


def test_methods_are_called_and_elements_taken() -> None:
    driver = Driver(a=lambda: 3, b=(1.0, 2.0))
    names = ("a", "b[1]", "b[2]")
    assert read(driver, *(ReadingConfig(attribute=name) for name in names)) == [3, 2.0, None]


def test_one_that_fails_does_not_spoil_the_others() -> None:
    driver = Driver(a=OSError("bus"), b=7)
    assert read(driver, ReadingConfig(attribute="a"), ReadingConfig(attribute="b")) == [None, 7]


@pytest.mark.parametrize("fault", [OSError("x"), RuntimeError("crc"), KeyError("a driver's bug")])
def test_three_failures_in_a_row_are_a_device_that_is_gone(fault: Exception) -> None:
    reader = Reader(Driver(a=fault), (ReadingConfig(attribute="a"),), "test")
    assert reader.read(0)[0].value is None
    assert reader.read(0)[0].value is None
    with pytest.raises(DeviceError):
        reader.read(0)


def test_a_device_that_merely_has_nothing_to_say_is_not_gone() -> None:
    reader = Reader(Driver(a=None), (ReadingConfig(attribute="a"),), "test")
    for _ in range(10):
        assert reader.read(0)[0].value is None
