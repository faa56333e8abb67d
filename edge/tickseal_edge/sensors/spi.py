"""An SPI bus of this machine: /dev/spidevB.D, and a GPIO line that selects the chip."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tickseal_edge.sensors.blinka import BlinkaSensor, refuse
from tickseal_edge.sensors.gpio import request_line
from tickseal_edge.sensors.readings import ReadingConfig

_SWITCH_ON = "switch SPI on (on a Raspberry Pi: sudo raspi-config nonint do_spi 0)"


class ChipSelect:
    """A GPIO line as drivers use CircuitPython's DigitalInOut to select a chip.

    Blinka's own wants a board that it knows the pins of; this one needs the kernel's number only.

    Args:
        chip: N of /dev/gpiochipN.
        line: number of the line on it.
    Raises:
        DeviceError: the library or the line is not there, or the kernel uses it.
    """

    def __init__(self, chip: int, line: int) -> None:
        self._line = line
        # High from the first moment on: no chip listens before it is spoken to.
        self._value = True
        self._request = request_line(f"/dev/gpiochip{chip}", line, _unselected)

    @property
    def value(self) -> bool:
        """The line's level."""
        return self._value

    @value.setter
    def value(self, value: bool) -> None:
        from gpiod.line import Value  # noqa: PLC0415 - only where it is used

        self._value = bool(value)
        self._request.set_value(self._line, Value.ACTIVE if value else Value.INACTIVE)

    def switch_to_output(self, value: bool = False, drive_mode: object = None) -> None:
        """Set the level; an output it is from the start."""
        self.value = value

    def deinit(self) -> None:
        """Give the line back."""
        self._request.release()


def _unselected(gpiod: Any) -> Any:
    kinds = gpiod.line
    return gpiod.LineSettings(direction=kinds.Direction.OUTPUT, output_value=kinds.Value.ACTIVE)


def open_spi(
    *,
    driver: str,
    package: str,
    bus: int,
    device: int,
    select: tuple[int, int] | None,
    options: Mapping[str, object],
    readings: Sequence[ReadingConfig],
) -> BlinkaSensor:
    """Return one sensor on an SPI bus; the driver is called with the bus and the chip select.

    Args:
        driver, package, readings: as of BlinkaSensor.
        bus, device: B and D of /dev/spidevB.D.
        select: GPIO chip and line that select the sensor; None leaves it to the kernel, which
            lets go of the chip between a driver's writing and reading.
        options: keyword arguments of the driver, the baud rate among them.
    Raises:
        DeviceError: the driver, the bus, the line or the sensor is not there.
    """
    path = f"/dev/spidev{bus}.{device}"
    by_line = f"GPIO line {select[1]}" if select else "the kernel"
    look = "see its wires" if select else "see its wires; most chips need chip_select"
    return BlinkaSensor(
        driver=driver,
        package=package,
        place=f"{path}, selected by {by_line}",
        look=look,
        open_bus=lambda: _open_bus(bus, device, select),
        options=options,
        readings=readings,
    )


def _open_bus(bus: int, device: int, select: tuple[int, int] | None):  # type: ignore[no-untyped-def]
    chip_select = ChipSelect(*select) if select else None
    closing = contextlib.ExitStack()
    if chip_select:
        closing.callback(chip_select.deinit)
    try:
        from adafruit_extended_bus import ExtendedSPI  # noqa: PLC0415 - only where it is used

        spi: Any = ExtendedSPI(bus, device)
    except (ImportError, OSError, ValueError, RuntimeError) as error:
        closing.close()
        raise refuse(Path(f"/dev/spidev{bus}.{device}"), "spi", error, _SWITCH_ON) from None
    # Blinka forgets the bus, and never closes its file.
    closing.callback(os.close, spi._spi._spi.handle)  # noqa: SLF001
    return (spi, chip_select), closing.close
