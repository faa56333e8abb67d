"""What a board measures: its sensors on a machine, and an I2C bus, that the test sets."""

import fake_machine
from device import sensors
from device.bme280 import BME280
from fake_machine import with_machine

from tickseal.core.errors import ConfigError


def make(**settings):
    """A sensor as the configuration names it, with its last names."""
    with with_machine():
        return [sensors.make(settings), []]


def volts(value):
    """Set the voltage at every pin."""
    fake_machine.ADC.reading = round(value / 3.3 * 65535)


def near(value, wanted, error):
    return abs(value - wanted) <= error


def test_a_counter_counts_its_readings():
    counter = make(kind="counter", name="ticks")
    assert sensors.read([counter]) == [("ticks", "count", 0)]
    assert sensors.read([counter]) == [("ticks", "count", 1)]


def test_an_adc_gives_volts_up_to_its_full_scale():
    adc = make(kind="adc", pin=26, name="battery")
    volts(1.65)
    ((name, unit, value),) = sensors.read([adc])
    assert (name, unit) == ("battery", "V")
    assert near(value, 1.65, 0.001)
    divided = make(kind="adc", pin=26, full_scale=6.6)
    assert near(sensors.read([divided])[0][2], 3.3, 0.001)


def test_the_chip_has_27_degrees_at_706_millivolts():
    # RP2040 datasheet section 4.9.5.
    chip = make(kind="chip_temperature")
    volts(0.706)
    ((name, unit, value),) = sensors.read([chip])
    assert (name, unit) == ("chip_temperature", "Cel")
    assert near(value, 27, 0.1)
    volts(0.706 - 0.001721 * 10)
    assert near(sensors.read([chip])[0][2], 37, 0.1)


def test_a_kind_that_is_not_known_is_told_with_those_that_are():
    try:
        make(kind="thermometer")
    except ConfigError as error:
        assert "thermometer" in str(error)
        assert "bme280" in str(error)
    else:
        raise AssertionError("it was taken")


def test_a_setting_that_a_sensor_does_not_take_is_told():
    try:
        make(kind="counter", pin=3)
    except ConfigError as error:
        assert "counter" in str(error)
    else:
        raise AssertionError("it was taken")


def u16(value):
    return bytes((value & 255, value >> 8 & 255))


class Bus:
    """An I2C bus with one BME280, whose registers the test writes."""

    def __init__(self):
        self.registers = bytearray(256)
        self.is_plugged = True
        self.put(0xD0, b"\x60")
        # The example of Bosch's BST-BMP280-DS001 section 3.12, which has the same compensation.
        for index, word in enumerate(
            (27504, 26435, -1000, 36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000)
        ):
            self.put(0x88 + 2 * index, u16(word))
        self.put(0xA1, b"\x4b")
        # h2 = 367, h3 = 0, h4 = 301, h5 = 50, h6 = 30.
        self.put(0xE1, u16(367) + bytes((0, 301 >> 4, (301 & 15) | (50 & 15) << 4, 50 >> 4, 30)))
        self.measure(415148, 519888, 32000)

    def put(self, register, content):
        self.registers[register : register + len(content)] = content

    def measure(self, pressure, temperature, humidity):
        for register, raw in ((0xF7, pressure), (0xFA, temperature)):
            self.put(register, bytes((raw >> 12, raw >> 4 & 255, (raw & 15) << 4)))
        self.put(0xFD, bytes((humidity >> 8, humidity & 255)))

    def readfrom_mem(self, address, register, size):
        if not self.is_plugged or address != 0x76:
            raise OSError(5)
        return bytes(self.registers[register : register + size])

    def writeto_mem(self, address, register, content):
        self.put(register, content)


# The datasheet's other formulas, in floating point (BST-BME280-DS002 section 8.1).


def fine_temperature(raw):
    first = (raw / 16384 - 27504 / 1024) * 26435
    second = (raw / 131072 - 27504 / 8192) ** 2 * -1000
    return first + second


def pascals(raw, fine):
    first = fine / 2 - 64000
    second = first * first * -7 / 32768 + first * 140 * 2
    second = second / 4 + 2855 * 65536
    first = (3024 * first * first / 524288 + -10685 * first) / 524288
    first = (1 + first / 32768) * 36477
    p = (1048576 - raw - second / 4096) * 6250 / first
    return p + (6000 * p * p / 2147483648 + p * -14600 / 32768 + 15500) / 16


def relative_humidity(raw, fine):
    h = fine - 76800.0
    h = (raw - (301 * 64.0 + 50 / 16384.0 * h)) * (
        367 / 65536.0 * (1.0 + 30 / 67108864.0 * h * (1.0 + 0 / 67108864.0 * h))
    )
    return h * (1.0 - 75 * h / 524288.0)


def test_a_bme280_gives_what_its_maker_computes():
    samples = BME280(bus=Bus()).read()
    assert [one[:2] for one in samples] == [
        ("temperature", "Cel"), ("pressure", "Pa"), ("humidity", "%RH"),
    ]  # fmt: skip
    values = [one[2] for one in samples]
    assert near(values[0], 25.08, 0.005)
    assert near(values[1], 100653.27, 1)
    assert near(values[2], relative_humidity(32000, 128422), 0.05)


def test_a_bme280_is_right_in_the_cold_and_in_the_heat():
    bus = Bus()
    sensor = BME280(bus=bus)
    for temperature in (400_000, 519_888, 620_000):
        bus.measure(400_000, temperature, 30_000)
        celsius, pressure, humidity = [one[2] for one in sensor.read()]
        fine = fine_temperature(temperature)
        assert near(celsius, fine / 5120, 0.01)
        # A board's floating point numbers have 24 bits.
        assert near(pressure, pascals(400_000, fine), 4)
        assert near(humidity, relative_humidity(30_000, fine), 0.05)


def test_another_chip_at_its_address_is_refused():
    bus = Bus()
    bus.put(0xD0, b"\x58")
    try:
        BME280(bus=bus)
    except OSError as error:
        assert "0x76" in str(error)
    else:
        raise AssertionError("it was taken")


def test_a_sensor_that_is_unplugged_gives_its_names_without_values_until_it_is_back():
    bus = Bus()
    rows = [[BME280(bus=bus), []], make(kind="counter")]
    before = sensors.read(rows)
    bus.is_plugged = False
    assert sensors.read(rows) == [
        ("temperature", "Cel", None),
        ("pressure", "Pa", None),
        ("humidity", "%RH", None),
        ("count", "count", 1),
    ]
    bus.is_plugged = True
    assert sensors.read(rows)[:3] == before[:3]
