"""Real drivers of CircuitPython's over an SPI bus in memory."""

from pathlib import Path

import pytest
from memory_bus import MemorySPI, bme280, plug_in_spi
from tickseal_edge.production.producers import _open_sensor
from tickseal_edge.production.stream_config import SPIStream
from tickseal_edge.sensors.base import DeviceError, Sensor
from tickseal_edge.sensors.readings import ReadingConfig

from tickseal.core.errors import ConfigError


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> MemorySPI:
    return plug_in_spi(monkeypatch)


def bme(**more: object) -> Sensor:
    return _open_sensor(SPIStream(id="x", profile="bme280", **more))  # type: ignore[arg-type]


def values(sensor: Sensor) -> dict[str, object]:
    return {sample.name: sample.value for sample in sensor.read(0)}


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_profile_gives_the_data_sheets_example(bus: MemorySPI) -> None:
    bus.chips[5] = bme280()
    found = values(bme(bus=1, device=2, chip_select=5, baudrate=2_000_000))
    assert (bus.device, bus.max_speed_hz) == ((1, 2), 2_000_000)
    assert found["temperature"] == pytest.approx(25.08, abs=0.01)
    assert found["pressure"] == pytest.approx(100_653, abs=2)


def test_any_driver_is_named_by_the_configuration(bus: MemorySPI) -> None:
    bus.chips[25] = bme280()
    sensor = _open_sensor(
        SPIStream(
            id="x",
            driver="adafruit_bme280.basic:Adafruit_BME280_SPI",
            chip_select=25,
            readings=(ReadingConfig(attribute="temperature", name="air", unit="Cel"),),
        )
    )
    assert values(sensor) == {"air": pytest.approx(25.08, abs=0.01)}
    assert bus.max_speed_hz == 100_000, "the driver's own"


def test_several_share_a_bus_and_its_thread(bus: MemorySPI) -> None:
    bus.chips[5], bus.chips[6] = bme280(), bme280(raw_temperature=500_000)
    first, second = bme(chip_select=5), bme(chip_select=6)
    assert values(first)["temperature"] != values(second)["temperature"]
    assert values(first)["temperature"] == pytest.approx(25.08, abs=0.01)
    lanes = {SPIStream(id="x", profile="bme280", chip_select=line).lane for line in (5, 6)}
    assert lanes == {"spi-0"}


@pytest.mark.parametrize("level", [0x00, 0xFF])
def test_an_unplugged_sensor_is_marked_then_gone_and_comes_back(
    bus: MemorySPI, monkeypatch: pytest.MonkeyPatch, level: int
) -> None:
    """Nobody drives the line then; where it floats high, the driver waits for ever for the chip."""
    monkeypatch.setattr("tickseal_edge.sensors.blinka._PATIENCE_S", 0.05)
    chip = bus.chips[5] = bme280()
    sensor = bme(chip_select=5)
    bus.floating = level
    chip.is_plugged = False
    assert values(sensor)["temperature"] is None
    sensor.close()
    with pytest.raises(DeviceError, match="see its wires"):
        bme(chip_select=5)
    chip.is_plugged = True
    assert values(bme(chip_select=5))["pressure"] is not None


def test_what_is_opened_is_closed_also_where_no_sensor_answers(bus: MemorySPI) -> None:
    bus.chips[5] = bme280()
    before = open_files()
    bme(chip_select=5).close()
    with pytest.raises(DeviceError):
        bme(chip_select=6)
    assert open_files() == before
    assert not bus.levels, "lines are given back"


def test_a_bus_that_lets_go_of_the_chip_says_that_most_need_a_line(bus: MemorySPI) -> None:
    bus.chips[5] = bme280()
    with pytest.raises(DeviceError, match=r"selected by the kernel.*most chips need chip_select"):
        bme()


def test_a_bus_that_is_not_there_says_how_to_switch_it_on() -> None:
    pytest.importorskip("adafruit_extended_bus", reason="Blinka is not installed")
    with pytest.raises(DeviceError, match=r"there is no /dev/spidev250\.0.*do_spi"):
        bme(bus=250)


def test_a_line_that_is_not_there_is_named() -> None:
    pytest.importorskip("gpiod", reason="gpiod is not installed")
    pytest.importorskip("adafruit_bme280", reason="its driver is not installed")
    assert not Path("/dev/gpiochip63").exists()
    with pytest.raises(DeviceError, match="there is no /dev/gpiochip63"):
        bme(chip=63, chip_select=5)


def test_a_chip_without_an_spi_port_is_no_profile_here() -> None:
    with pytest.raises(ConfigError, match='no profile "sht4x"; known: bme280;'):
        SPIStream(id="x", profile="sht4x")
