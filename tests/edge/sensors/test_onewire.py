"""DS18B20 as the kernel shows it: temperatures, failures, and 85 degrees that are none."""

from pathlib import Path

import pytest
from tickseal_edge.sensors.base import DeviceError
from tickseal_edge.sensors.onewire import OneWireThermometers


def chip(root: Path, serial: str, text: str) -> Path:
    (root / serial).mkdir(parents=True, exist_ok=True)
    path = root / serial / "temperature"
    path.write_text(text)
    return path


def test_one_is_a_temperature_and_more_are_told_apart(tmp_path: Path) -> None:
    chip(tmp_path, "28-0001", "21562\n")
    (sample,) = OneWireThermometers(root=tmp_path).read(0)
    assert (sample.name, sample.value, sample.unit) == ("temperature", 21.562, "Cel")
    chip(tmp_path, "28-0002", "-55000\n")
    chip(tmp_path, "00-900000000000", "1\n")
    samples = OneWireThermometers(root=tmp_path).read(0)
    assert {sample.name: sample.value for sample in samples} == {
        "temperature/28-0001": 21.562,
        "temperature/28-0002": -55.0,
    }
    (sample,) = OneWireThermometers("28-0002", tmp_path).read(0)
    assert sample.value == -55.0


def test_85_degrees_once_is_a_chip_that_lost_its_power_and_twice_is_hot(tmp_path: Path) -> None:
    path = chip(tmp_path, "28-0001", "85000\n")
    sensor = OneWireThermometers(root=tmp_path)
    assert sensor.read(0)[0].value is None
    assert sensor.read(0)[0].value == 85.0
    path.write_text("20000\n")
    assert sensor.read(0)[0].value == 20.0
    path.write_text("85000\n")
    assert sensor.read(0)[0].value is None


def test_rubbish_is_marked_and_a_bus_that_is_silent_is_gone(tmp_path: Path) -> None:
    path = chip(tmp_path, "28-0001", "")
    sensor = OneWireThermometers(root=tmp_path)
    assert sensor.read(0)[0].value is None
    path.unlink()
    assert sensor.read(0)[0].value is None
    with pytest.raises(DeviceError, match="pull-up"):
        sensor.read(0)


def test_no_thermometer_says_how_to_switch_the_bus_on(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="dtoverlay=w1-gpio"):
        OneWireThermometers(root=tmp_path)
