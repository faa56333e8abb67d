"""A BME280 as a file of registers, and what its data sheet makes of them, in whole numbers.

Source: Bosch BST-BMP280-DS001, section 3.11.3, whose example of section 3.12 the constants are.
"""

import struct

from hil_tests.bench.capabilities import I2C

ADDRESS = 0x76
_T1, _T2, _T3 = 27504, 26435, -1000
_P1, _P2, _P3, _P4, _P5 = 36477, -10685, 3024, 2855, 140
_P6, _P7, _P8, _P9 = -7, 15500, -14600, 6000
_CALIBRATION = struct.pack(
    "<HhhHhhhhhhhh", _T1, _T2, _T3, _P1, _P2, _P3, _P4, _P5, _P6, _P7, _P8, _P9
)
#: The example's: 25.08 degrees Celsius, 1006.53 hPa.
RAW_TEMPERATURE, RAW_PRESSURE = 519_888, 415_148


def set_registers(i2c: I2C, raw_temperature: int, raw_pressure: int = RAW_PRESSURE) -> None:
    """Let the sensor have measured this; it then answers to a driver as the chip does."""
    i2c.set_registers(ADDRESS, 0xD0, b"\x60")
    i2c.set_registers(ADDRESS, 0x88, _CALIBRATION)
    raw = (raw_pressure << 4).to_bytes(3) + (raw_temperature << 4).to_bytes(3) + b"\x80\0"
    i2c.set_registers(ADDRESS, 0xF7, raw)


def celsius(raw_temperature: int) -> float:
    """Return the temperature of a raw reading, in degrees Celsius."""
    return ((_fine(raw_temperature) * 5 + 128) >> 8) / 100


def pascal(raw_temperature: int, raw_pressure: int = RAW_PRESSURE) -> float:
    """Return the pressure of raw readings, in Pa."""
    one = _fine(raw_temperature) - 128_000
    two = one * one * _P6 + ((one * _P5) << 17) + (_P4 << 35)
    one = ((one * one * _P3) >> 8) + ((one * _P2) << 12)
    one = (((1 << 47) + one) * _P1) >> 33
    value = (((1_048_576 - raw_pressure) << 31) - two) * 3125 // one
    one = (_P9 * (value >> 13) * (value >> 13)) >> 25
    two = (_P8 * value) >> 19
    return (((value + one + two) >> 8) + (_P7 << 4)) / 256


def _fine(raw: int) -> int:
    one = (((raw >> 3) - (_T1 << 1)) * _T2) >> 11
    two = (((((raw >> 4) - _T1) * ((raw >> 4) - _T1)) >> 12) * _T3) >> 14
    return one + two
