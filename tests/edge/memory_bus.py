"""I2C and SPI buses in memory, below the real drivers: chips with registers that the test sets."""

import errno
import os
import struct
from collections.abc import Callable

import pytest


class Chip:
    """A file of registers; or, with `answer`, whatever the test makes of what is written."""

    def __init__(self, *, width: int = 1, answer: Callable[[bytes], bytes] | None = None) -> None:
        self.registers: dict[int, int] = {}
        self.width = width
        self.is_plugged = True
        self.pointer = 0
        self.answer = answer
        self.written: list[bytes] = []

    def set(self, register: int, data: bytes) -> None:
        for place, byte in enumerate(data):
            self.registers[register * self.width + place] = byte

    def write(self, data: bytes) -> None:
        self.written.append(data)
        if self.answer is None and data:
            self.pointer = data[0]
            self.set(data[0], data[1:])

    def read(self, size: int) -> bytes:
        if self.answer is not None:
            return self.answer(self.written[-1])[:size]
        start = self.pointer * self.width
        return bytes(self.registers.get(start + place, 0) for place in range(size))


class MemoryBus:
    """Stands in for Adafruit_PureIO's SMBus, which talks to /dev/i2c-N."""

    def __init__(self) -> None:
        self.chips: dict[int, Chip] = {}
        self.number = -1

    def __call__(self, number: int) -> "MemoryBus":
        self.number = number
        return self

    def _chip(self, address: int) -> Chip:
        chip = self.chips.get(address)
        if chip is None or not chip.is_plugged:
            raise OSError(errno.EREMOTEIO, "Remote I/O error")
        return chip

    def write_bytes(self, address: int, data: bytes) -> None:
        self._chip(address).write(bytes(data))

    def read_bytes(self, address: int, size: int) -> bytes:
        return self._chip(address).read(size)

    def read_i2c_block_data(self, address: int, register: int | bytes, size: int) -> bytes:
        data = bytes([register]) if isinstance(register, int) else bytes(register)
        self._chip(address).write(data)
        return self._chip(address).read(size)

    def write_quick(self, address: int) -> None:
        self._chip(address)

    def read_byte(self, address: int) -> int:
        return self._chip(address).read(1)[0]

    def close(self) -> None:
        pass


def plug_in(monkeypatch: pytest.MonkeyPatch) -> MemoryBus:
    """Put the bus in the place of every /dev/i2c-N."""
    pytest.importorskip("adafruit_extended_bus", reason="Blinka is not installed")
    from Adafruit_PureIO import smbus  # noqa: PLC0415

    bus = MemoryBus()
    monkeypatch.setattr(smbus, "SMBus", bus)
    monkeypatch.setattr("adafruit_extended_bus.path.exists", lambda _: True)
    return bus


class MemorySPI:
    """Stands in for Adafruit_PureIO's SPI, which talks to /dev/spidevB.D, and for the GPIO lines.

    A chip hears what is transferred while its line is low. Of all registers the first byte names
    one, its highest bit that it is read, as Bosch's chips have it.

    Attributes:
        levels: of the lines that are requested.
        floating: what is read where no chip answers.
    """

    def __init__(self) -> None:
        self.chips: dict[int, Chip] = {}
        self.levels: dict[int, bool] = {}
        self.device = (-1, -1)
        self.max_speed_hz = self.mode = 0
        self.bits_per_word = 8
        self.floating = 0xFF
        self._is_begun = False

    def __call__(self, device: tuple[int, int]) -> "MemorySPI":
        self.device = device
        self.handle = os.open(os.devnull, os.O_RDWR)
        return self

    def request_line(self, _path: str, line: int, _settings: object) -> "MemoryLine":
        return MemoryLine(self, line)

    def select(self, line: int, *, level: bool) -> None:
        self.levels[line] = level
        self._is_begun = False

    def writebytes(self, data: bytes) -> None:
        chip = self._selected()
        if chip is None:
            return
        if self._is_begun:
            raise AssertionError("one transfer writes one command")
        self._is_begun = True
        chip.write(bytes([data[0] | 0x80, *data[1:]]))

    def transfer(self, data: list[int]) -> list[int]:
        chip = self._selected()
        if chip is None or not self._is_begun:
            return [self.floating] * len(data)
        return list(chip.read(len(data)))

    def _selected(self) -> Chip | None:
        low = [line for line, level in self.levels.items() if not level]
        assert len(low) <= 1, "two chips answer at once"
        chip = self.chips.get(low[0]) if low else None
        return chip if chip is not None and chip.is_plugged else None


class MemoryLine:
    """A requested line of GPIO, of a chip select."""

    def __init__(self, bus: MemorySPI, line: int) -> None:
        self._bus, self._line = bus, line
        bus.select(line, level=True)

    def set_value(self, line: int, value: object) -> None:
        assert line == self._line
        self._bus.select(line, level=bool(value.value))  # type: ignore[attr-defined]

    def release(self) -> None:
        del self._bus.levels[self._line]


def plug_in_spi(monkeypatch: pytest.MonkeyPatch) -> MemorySPI:
    """Put the bus in the place of every /dev/spidevB.D."""
    pytest.importorskip("adafruit_extended_bus", reason="Blinka is not installed")
    pytest.importorskip("gpiod", reason="gpiod is not installed")
    from Adafruit_PureIO import spi  # noqa: PLC0415

    bus = MemorySPI()
    monkeypatch.setattr(spi, "SPI", bus)
    monkeypatch.setattr("adafruit_extended_bus.path.exists", lambda _: True)
    monkeypatch.setattr("tickseal_edge.sensors.spi.request_line", bus.request_line)
    return bus


#: Bosch BST-BMP280-DS001, section 3.12: an example of calibration and raw data.
BME280_CALIBRATION = struct.pack("<HhhHhhhhhhhh", 27504, 26435, -1000, 36477, -10685, 3024, 2855,
                                 140, -7, 15500, -14600, 6000)  # fmt: skip


def bme280(raw_temperature: int = 519_888, raw_pressure: int = 415_148) -> Chip:
    """Return a BME280; the default raw readings are 25.08 Cel and 100653 Pa."""
    chip = Chip()
    chip.set(0xD0, b"\x60")
    chip.set(0x88, BME280_CALIBRATION)
    chip.set(0xA1, b"\x4b")
    chip.set(0xE1, struct.pack("<hBbBbb", 355, 0, 20, 0, 50, 30))
    raw = (raw_pressure << 4).to_bytes(3, "big") + (raw_temperature << 4).to_bytes(3, "big")
    chip.set(0xF7, raw + b"\x6a\x00")
    return chip


def sht4x(celsius: float, humidity: float, *, crc_ok: bool = True) -> Chip:
    """Return an SHT4x, which answers each command with words and their checksums."""

    def crc(data: bytes) -> int:
        value = 0xFF
        for byte in data:
            value ^= byte
            for _ in range(8):
                value = ((value << 1) ^ 0x31) & 0xFF if value & 0x80 else value << 1
        return value

    words = (
        round((celsius + 45) / 175 * 65535).to_bytes(2, "big"),
        round((humidity + 6) / 125 * 65535).to_bytes(2, "big"),
    )
    answer = b"".join(word + bytes([crc(word) ^ (not crc_ok)]) for word in words)
    return Chip(answer=lambda _command: answer)
