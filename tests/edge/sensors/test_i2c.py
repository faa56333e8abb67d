"""Real drivers of CircuitPython's over a bus in memory: readings are what the registers say."""

import struct
from collections.abc import Sequence

import pytest
from memory_bus import Chip, MemoryBus, bme280, plug_in, sht4x
from tickseal_edge.production.producers import _open_sensor
from tickseal_edge.production.stream_config import I2CStream
from tickseal_edge.sensors.base import DeviceError, Sensor
from tickseal_edge.sensors.readings import ReadingConfig

from tickseal.core.errors import ConfigError
from tickseal.payloads.samples import Sample


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> MemoryBus:
    return plug_in(monkeypatch)


def profile(name: str, **more: object) -> Sensor:
    return _open_sensor(I2CStream(id="x", profile=name, **more))  # type: ignore[arg-type]


def values(samples: Sequence[Sample]) -> dict[str, object]:
    return {sample.name: sample.value for sample in samples}


def units(samples: Sequence[Sample]) -> dict[str, str | None]:
    return {sample.name: sample.unit for sample in samples}


def test_bme280_gives_the_data_sheets_example_in_senml_units(bus: MemoryBus) -> None:
    bus.chips[0x77] = bme280()
    samples = profile("bme280", bus=7).read(5)
    assert bus.number == 7
    assert values(samples)["temperature"] == pytest.approx(25.08, abs=0.01)
    assert values(samples)["pressure"] == pytest.approx(100_653, abs=2)
    assert units(samples) == {"temperature": "Cel", "humidity": "%RH", "pressure": "Pa"}
    assert {sample.time_ns for sample in samples} == {5}


def test_sht4x_gives_both_of_one_measurement(bus: MemoryBus) -> None:
    chip = bus.chips[0x44] = sht4x(21.5, 40.25)
    sensor = profile("sht4x")
    chip.written.clear()
    assert values(sensor.read(0)) == {
        "temperature": pytest.approx(21.5, abs=0.01),
        "humidity": pytest.approx(40.25, abs=0.01),
    }
    assert len(chip.written) == 1


def test_bh1750_gives_lux(bus: MemoryBus) -> None:
    # In the finer of its two modes, which the driver sets, a count is half a 1.2th of a lux.
    bus.chips[0x23] = Chip(answer=lambda _: (1200).to_bytes(2, "big"))
    assert values(profile("bh1750").read(0)) == {"illuminance": pytest.approx(500)}


def test_ads1115_gives_four_voltages(bus: MemoryBus) -> None:
    chip = bus.chips[0x48] = Chip(width=2)
    chip.set(0, (16_000).to_bytes(2, "big"))
    # The configuration's highest bit says that a conversion is done.
    original = chip.read
    chip.read = lambda size: b"\x85\x83" if chip.pointer == 1 else original(size)  # type: ignore[method-assign]
    found = values(profile("ads1115").read(0))
    assert list(found) == ["a0", "a1", "a2", "a3"]
    assert found["a0"] == pytest.approx(16_000 * 6.144 / 32_767, rel=0.001)


def test_mpu6050_gives_each_axis(bus: MemoryBus) -> None:
    chip = bus.chips[0x68] = Chip()
    chip.set(0x75, b"\x68")
    write = chip.write

    def reset_at_once(data: bytes) -> None:
        write(data)
        if data[:1] == b"\x6b":
            chip.registers[0x6B] = chip.registers.get(0x6B, 0) & 0x7F

    chip.write = reset_at_once  # type: ignore[method-assign]
    sensor = profile("mpu6050")
    chip.set(0x3B, struct.pack(">hhhhhhh", 0, 0, 16_384, 0, 131, 0, 0))
    found = values(sensor.read(0))
    assert found["acceleration/z"] == pytest.approx(9.8, rel=0.01)
    assert found["gyro/x"] == pytest.approx(0.0349, rel=0.01)
    assert found["temperature"] == pytest.approx(36.53)


def test_any_driver_is_read_by_its_attributes(bus: MemoryBus) -> None:
    bus.chips[0x76] = bme280()
    sensor = _open_sensor(
        I2CStream(
            id="x",
            driver="adafruit_bme280.basic:Adafruit_BME280_I2C",
            address=0x76,
            readings=(
                ReadingConfig(attribute="temperature", name="air", unit="Cel"),
                ReadingConfig(attribute="pressure", unit="Pa", scale=100),
            ),
        )
    )
    assert values(sensor.read(0)) == {
        "air": pytest.approx(25.08, abs=0.01),
        "pressure": pytest.approx(100_653, abs=2),
    }


def test_several_share_a_bus_and_its_thread(bus: MemoryBus) -> None:
    bus.chips[0x77], bus.chips[0x76] = bme280(), bme280(raw_temperature=500_000)
    first = I2CStream(id="a", profile="bme280")
    second = I2CStream(id="b", profile="bme280", address=0x76)
    assert first.lane == second.lane != I2CStream(id="c", profile="bme280", bus=3).lane
    assert values(_open_sensor(first).read(0)) != values(_open_sensor(second).read(0))


def test_what_a_sensor_cannot_have_measured_is_marked(bus: MemoryBus) -> None:
    """A BME280 that was never told to measure shows 0x80000, far outside of its range."""
    bus.chips[0x77] = bme280(raw_temperature=0xFFFFF)
    found = values(profile("bme280").read(0))
    assert found["temperature"] is None


def test_a_checksum_that_fails_is_marked_and_the_next_reading_taken(bus: MemoryBus) -> None:
    bus.chips[0x44] = sht4x(20, 50)
    sensor = profile("sht4x")
    good = bus.chips[0x44].answer
    bus.chips[0x44].answer = sht4x(20, 50, crc_ok=False).answer
    assert values(sensor.read(0)) == {"temperature": None, "humidity": None}
    bus.chips[0x44].answer = good
    assert values(sensor.read(0))["humidity"] == pytest.approx(50, abs=0.01)


def test_an_unplugged_sensor_is_marked_then_gone_and_comes_back(bus: MemoryBus) -> None:
    chip = bus.chips[0x77] = bme280()
    sensor = profile("bme280")
    chip.is_plugged = False
    for _ in range(2):
        assert set(values(sensor.read(0)).values()) == {None}
    with pytest.raises(DeviceError, match="does not answer"):
        sensor.read(0)
    sensor.close()
    with pytest.raises(DeviceError, match="i2cdetect -y 1"):
        profile("bme280")
    chip.is_plugged = True
    assert values(profile("bme280").read(0))["temperature"] is not None


def test_a_missing_driver_names_the_package_to_install(bus: MemoryBus) -> None:
    stream = I2CStream(
        id="x",
        driver="adafruit_no_such:Sensor",
        readings=(ReadingConfig(attribute="temperature"),),
    )
    with pytest.raises(DeviceError, match="pip install adafruit-circuitpython-no-such"):
        _open_sensor(stream)


def test_a_bus_that_is_not_there_says_how_to_switch_it_on() -> None:
    pytest.importorskip("adafruit_extended_bus", reason="Blinka is not installed")
    with pytest.raises(DeviceError, match="there is no /dev/i2c-250"):
        profile("bme280", bus=250)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "either profile"),
        ({"profile": "bme280", "driver": "a:b"}, "either profile"),
        ({"profile": "bme281"}, "no profile"),
        ({"driver": "adafruit_bme280"}, "module:class"),
        ({"driver": "a:b"}, "readings"),
    ],
)
def test_a_configuration_that_does_not_say_what_to_read_is_refused(
    given: dict[str, str], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        I2CStream(id="x", **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("attribute", ["", "1", "a.b", "a[x]", "a()", "__import__('os')"])
def test_only_a_name_and_an_index_are_attributes(attribute: str) -> None:
    with pytest.raises(ConfigError):
        ReadingConfig(attribute=attribute)
