"""What a sensor's registers hold arrives at the gateway, and nothing that they do not hold."""

import pytest

from hil_tests.bench import bme280
from hil_tests.bench.capabilities import I2C, Clock
from hil_tests.bench.edge import Edge
from hil_tests.bench.gateway import Gateway, Row
from hil_tests.bench.waiting import eventually

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


def newest_ns(gateway: Gateway) -> int:
    return max((row.time_ns for row in gateway.rows(STREAM)), default=0)


def taken_after(gateway: Gateway, since_ns: int, count: int = 10) -> list[Row]:
    """Wait for readings that the device took after one that has arrived; return all of them."""
    return eventually(
        lambda: found if len(found := gateway.rows(STREAM, since_ns=since_ns + 1)) >= count else [],
        what=f"{count} new readings",
    )


def settled(gateway: Gateway) -> int:
    """Return the time of a reading that was taken after all that the test has done so far."""
    gateway.more_frames(STREAM, 3)  # more than can be on its way
    return newest_ns(gateway)


def test_readings_equal_the_registers(edge: Edge, gateway: Gateway, i2c: I2C) -> None:
    bme280.set_registers(i2c, bme280.RAW_TEMPERATURE)
    edge.start(CONFIG.format(bus=i2c.bus))
    for raw in (bme280.RAW_TEMPERATURE, bme280.RAW_TEMPERATURE + 40_000):
        bme280.set_registers(i2c, raw)
        rows = taken_after(gateway, settled(gateway))
        assert {(row.name, row.unit) for row in rows} == {
            ("temperature", "Cel"),
            ("pressure", "Pa"),
        }
        for row in rows:
            if row.name == "temperature":
                assert row.value == pytest.approx(bme280.celsius(raw), abs=CELSIUS)
            else:
                assert row.value == pytest.approx(bme280.pascal(raw), abs=PASCAL)
    stream = gateway.stream(STREAM)
    assert (stream["missing"], stream["unreadable"], stream["refusals"]) == (0, 0, {})


def test_an_unplugged_sensor_is_marked_and_comes_back(
    edge: Edge, gateway: Gateway, i2c: I2C
) -> None:
    bme280.set_registers(i2c, bme280.RAW_TEMPERATURE)
    edge.start(CONFIG.format(bus=i2c.bus))
    plugged_ns = settled(gateway)
    i2c.unplug(bme280.ADDRESS)
    eventually(
        lambda: any(row.value is None for row in gateway.rows(STREAM, since_ns=plugged_ns)),
        what="a reading that is marked as failed",
    )
    eventually(lambda: "does not answer" in edge.log, what="the device says that it is gone")
    gone_ns = newest_ns(gateway)
    i2c.plug(bme280.ADDRESS)
    taken_after(gateway, gone_ns)
    # What it reads now is no memory of what was.
    bme280.set_registers(i2c, bme280.RAW_TEMPERATURE + 40_000)
    taken_after(gateway, settled(gateway))

    rows = [row for row in gateway.rows(STREAM, since_ns=plugged_ns) if row.name == "temperature"]
    assert states(rows) == ["old", "failed", "old", "new"]


def states(rows: list[Row]) -> list[str]:
    """Return what the temperatures were, in order; anything that no register held is "invented"."""
    truth = {
        "old": bme280.celsius(bme280.RAW_TEMPERATURE),
        "new": bme280.celsius(bme280.RAW_TEMPERATURE + 40_000),
    }
    found: list[str] = []
    for row in rows:
        state = "failed" if row.value is None else "invented"
        for name, celsius in truth.items():
            if row.value == pytest.approx(celsius, abs=CELSIUS):
                state = name
        if found[-1:] != [state]:
            found.append(state)
    return found


def test_a_value_that_the_sensor_cannot_have_measured_is_marked(
    edge: Edge, gateway: Gateway, i2c: I2C
) -> None:
    bme280.set_registers(i2c, 0xFFFFF)  # far beyond 85 degrees Celsius
    edge.start(CONFIG.format(bus=i2c.bus))
    rows = taken_after(gateway, settled(gateway))
    assert all(row.value is None for row in rows if row.name == "temperature")


def test_the_doctor_finds_nothing_to_mend(
    edge: Edge, gateway: Gateway, i2c: I2C, clock: Clock
) -> None:
    bme280.set_registers(i2c, bme280.RAW_TEMPERATURE)
    clock.vouch(-clock.offset_ns(), error_ns=10_000_000)
    edge.start(CONFIG.format(bus=i2c.bus))
    gateway.more_frames(STREAM, 1)
    said = edge.run_command("doctor")  # fails where something is wrong
    assert f"{STREAM} " in said
    assert "connected to bench" in said
