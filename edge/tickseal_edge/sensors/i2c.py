"""An I2C bus of this machine: /dev/i2c-N."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from tickseal_edge.sensors.blinka import BlinkaSensor, refuse
from tickseal_edge.sensors.readings import ReadingConfig

_SWITCH_ON = (
    "switch I2C on (on a Raspberry Pi: sudo raspi-config nonint do_i2c 0), and `modprobe i2c-dev`"
)


def open_i2c(
    *,
    driver: str,
    package: str,
    bus: int,
    address: int | None,
    options: Mapping[str, object],
    readings: Sequence[ReadingConfig],
) -> BlinkaSensor:
    """Return one sensor on an I2C bus; the driver is called with the bus.

    Args:
        driver, package, readings: as of BlinkaSensor.
        bus: N of /dev/i2c-N.
        address: of the sensor; None for the driver's own default.
        options: further keyword arguments of the driver.
    Raises:
        DeviceError: the driver, the bus or the sensor is not there.
    """
    where = "" if address is None else f" address {address:#04x}"
    return BlinkaSensor(
        driver=driver,
        package=package,
        place=f"I2C bus {bus}{where}",
        look=f"see its wires and address with `i2cdetect -y {bus}`",
        open_bus=lambda: _open_bus(bus),
        options=dict(options) if address is None else {**options, "address": address},
        readings=readings,
    )


def _open_bus(number: int):  # type: ignore[no-untyped-def]
    try:
        from adafruit_extended_bus import ExtendedI2C  # noqa: PLC0415 - only where it is used

        with warnings.catch_warnings():
            # It warns that Linux does not let it set the bus's frequency.
            warnings.simplefilter("ignore", RuntimeWarning)
            bus = ExtendedI2C(number)
    except (ImportError, OSError, ValueError, RuntimeError) as error:
        raise refuse(Path(f"/dev/i2c-{number}"), "i2c", error, _SWITCH_ON) from None
    # Blinka's deinit() only forgets the bus, whose file its destructor closes.
    return (bus,), bus.deinit
