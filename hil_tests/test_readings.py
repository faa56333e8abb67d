"""What a sensor's registers hold arrives at the gateway, and nothing that they do not hold."""

import pytest
from waiting import eventually

from hil_tests.bench import bme280
from hil_tests.bench.capabilities import I2C, Clock
from hil_tests.bench.edge import Edge
from hil_tests.bench.gateway import Gateway, Row

STREAM = "bench/bme280"
CONFIG = f"""
[[streams]]
id = "{STREAM}"
kind = "i2c"
driver = "adafruit_bme280.basic:Adafruit_BME280_I2C"
bus = {{bus}}
address = {bme280.ADDRESS:#x}
rate_hz = 5.0
readings = [
    {{{{ attribute = "temperature", unit = "Cel", low = -40, high = 85 }}}},
    {{{{ attribute = "pressure", unit = "Pa", scale = 100, low = 30000, high = 110000 }}}},
]
"""
#: What the driver's own arithmetic may differ from the data sheet's.
CELSIUS, PASCAL = 0.01, 1.0


RAW = {"old": bme280.RAW_TEMPERATURE, "new": bme280.RAW_TEMPERATURE + 40_000}
UNITS = {"temperature": "Cel", "pressure": "Pa"}


def start(edge: Edge, gateway: Gateway, i2c: I2C) -> str:
    """Let the device read; return the generation of what it sends."""
    edge.start(CONFIG.format(bus=i2c.bus))
    gateway.more_frames(STREAM, 1)
    return str(gateway.stream(STREAM)["generation"])


def spoilt(gateway: Gateway) -> tuple[int, int, dict[str, int]]:
    stream = gateway.stream(STREAM)
    return stream.get("missing", 0), stream.get("unreadable", 0), stream.get("refusals", {})


def states(gateway: Gateway, generation: str, name: str = "temperature") -> list[str]:
    """Return what a reading was, in order; what no register held is "invented"."""
    found: list[str] = []
    for row in gateway.rows(STREAM):
        if row.generation == generation and row.name == name:
            state = state_of(row)
            if found[-1:] != [state]:
                found.append(state)
    return found


def state_of(row: Row) -> str:
    if row.value is None:
        return "failed"
    for state, raw in RAW.items():
        if row.name == "temperature":
            truth = pytest.approx(bme280.celsius(raw), abs=CELSIUS)
        else:
            truth = pytest.approx(bme280.pascal(raw), abs=PASCAL)
        if row.value == truth and row.unit == UNITS[row.name]:
            return state
    return "invented"


def wait_for(gateway: Gateway, generation: str, *expected: str) -> None:
    """Wait until readings have been one after the other what is expected, and nothing besides.

    What is on its way still, when the test moves a register, is not held against it.
    """
    eventually(
        lambda: states(gateway, generation)[-1:] == [expected[-1]],
        what=lambda: f"{expected}, not {states(gateway, generation)}",
    )
    assert states(gateway, generation) == list(expected)


def test_readings_equal_the_registers(edge: Edge, gateway: Gateway, i2c: I2C) -> None:
    before = spoilt(gateway)
    bme280.set_registers(i2c, RAW["old"])
    generation = start(edge, gateway, i2c)
    wait_for(gateway, generation, "old")
    bme280.set_registers(i2c, RAW["new"])
    wait_for(gateway, generation, "old", "new")
    gateway.more_frames(STREAM)
    assert states(gateway, generation) == ["old", "new"]
    assert states(gateway, generation, "pressure") == ["old", "new"]
    assert spoilt(gateway) == before


def test_an_unplugged_sensor_is_marked_and_comes_back(
    edge: Edge, gateway: Gateway, i2c: I2C
) -> None:
    bme280.set_registers(i2c, RAW["old"])
    generation = start(edge, gateway, i2c)
    wait_for(gateway, generation, "old")
    i2c.unplug(bme280.ADDRESS)
    wait_for(gateway, generation, "old", "failed")
    eventually(lambda: "does not answer" in edge.log, what="the device says that it is gone")
    i2c.plug(bme280.ADDRESS)
    wait_for(gateway, generation, "old", "failed", "old")
    # What it reads now is no memory of what was.
    bme280.set_registers(i2c, RAW["new"])
    wait_for(gateway, generation, "old", "failed", "old", "new")


def test_a_value_that_the_sensor_cannot_have_measured_is_marked(
    edge: Edge, gateway: Gateway, i2c: I2C
) -> None:
    bme280.set_registers(i2c, 0xFFFFF)  # far beyond 85 degrees Celsius
    generation = start(edge, gateway, i2c)
    gateway.more_frames(STREAM)
    wait_for(gateway, generation, "failed")


def test_the_doctor_finds_nothing_to_mend(
    edge: Edge, gateway: Gateway, i2c: I2C, clock: Clock
) -> None:
    bme280.set_registers(i2c, RAW["old"])
    clock.vouch(-clock.offset_ns(), error_ns=10_000_000)
    edge.start(CONFIG.format(bus=i2c.bus))
    gateway.more_frames(STREAM, 1)
    said = edge.run_command("doctor")  # fails where something is wrong
    assert f"{STREAM} " in said
    assert "connected to test gateway" in said
