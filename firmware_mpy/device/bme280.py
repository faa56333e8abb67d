"""BME280 over I2C: temperature, pressure, humidity.

Source: Bosch BST-BME280-DS002, sections 4.2.3 (compensation in integers), 5.4 (registers).
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ID, _CHIP = 0xD0, 0x60
_CTRL_HUM, _CTRL_MEAS = 0xF2, 0xF4
_CALIBRATION, _CALIBRATION_HUMIDITY, _DATA = 0x88, 0xE1, 0xF7


def _s(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> bits - 1 else value


class BME280:
    """One sensor.

    Args:
        bus: a machine.I2C; None makes one of the other arguments.
        id, scl, sda: of the bus, as machine.I2C takes them.
        addr: of the sensor, 0x76 or 0x77.
    """

    def __init__(
        self,
        bus: "Any" = None,
        id: int = 0,
        scl: "Any" = None,
        sda: "Any" = None,
        addr: int = 0x76,
    ) -> None:
        if bus is None:
            import machine

            pins = {}
            if scl is not None and sda is not None:
                pins = {"scl": machine.Pin(scl), "sda": machine.Pin(sda)}
            bus = machine.I2C(id, freq=400_000, **pins)
        self._bus, self._addr = bus, addr
        if self._get(_ID, 1)[0] != _CHIP:
            raise OSError("no BME280 at 0x%02x" % addr)
        first = self._get(_CALIBRATION, 26)
        words = [first[i] | first[i + 1] << 8 for i in range(0, 24, 2)]
        self._t = [words[0], _s(words[1], 16), _s(words[2], 16)]
        self._p = [words[3]] + [_s(word, 16) for word in words[4:]]
        second = self._get(_CALIBRATION_HUMIDITY, 7)
        self._h = [
            first[25],
            _s(second[0] | second[1] << 8, 16),
            second[2],
            _s(second[3] << 4 | second[4] & 15, 12),
            _s(second[5] << 4 | second[4] >> 4, 12),
            _s(second[6], 8),
        ]
        self._set(_CTRL_HUM, 1)
        self._set(_CTRL_MEAS, 0x27)

    def read(self) -> "list[tuple[str, str, float]]":
        """Return temperature, pressure and humidity; OSError where the sensor does not answer."""
        raw = self._get(_DATA, 8)
        pressure = raw[0] << 12 | raw[1] << 4 | raw[2] >> 4
        temperature = raw[3] << 12 | raw[4] << 4 | raw[5] >> 4
        humidity = raw[6] << 8 | raw[7]
        fine = self._fine(temperature)
        return [
            ("temperature", "Cel", ((fine * 5 + 128) >> 8) / 100),
            ("pressure", "Pa", self._pressure(pressure, fine) / 256),
            ("humidity", "%RH", self._humidity(humidity, fine) / 1024),
        ]

    def _fine(self, raw: int) -> int:
        t1, t2, t3 = self._t
        first = ((raw >> 3) - (t1 << 1)) * t2 >> 11
        second = (((raw >> 4) - t1) ** 2 >> 12) * t3 >> 14
        return first + second

    def _pressure(self, raw: int, fine: int) -> int:
        p1, p2, p3, p4, p5, p6, p7, p8, p9 = self._p
        var1 = fine - 128000
        var2 = var1 * var1 * p6 + (var1 * p5 << 17) + (p4 << 35)
        var1 = (var1 * var1 * p3 >> 8) + (var1 * p2 << 12)
        var1 = ((1 << 47) + var1) * p1 >> 33
        if var1 == 0:
            return 0
        p = ((1048576 - raw << 31) - var2) * 3125 // var1
        var1 = p9 * (p >> 13) * (p >> 13) >> 25
        var2 = p8 * p >> 19
        return (p + var1 + var2 >> 8) + (p7 << 4)

    def _humidity(self, raw: int, fine: int) -> int:
        h1, h2, h3, h4, h5, h6 = self._h
        v = fine - 76800
        left = ((raw << 14) - (h4 << 20) - h5 * v + 16384) >> 15
        right = ((v * h6 >> 10) * ((v * h3 >> 11) + 32768) >> 10) + 2097152
        v = left * (right * h2 + 8192 >> 14)
        v -= ((v >> 15) ** 2 >> 7) * h1 >> 4
        return max(0, min(v, 419430400)) >> 12

    def _get(self, register: int, size: int) -> bytes:
        return bytes(self._bus.readfrom_mem(self._addr, register, size))

    def _set(self, register: int, value: int) -> None:
        self._bus.writeto_mem(self._addr, register, bytes((value,)))
