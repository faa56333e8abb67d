"""Sensors on an I2C bus, by any driver of CircuitPython's, through Blinka."""

import importlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from tickseal.samples import Sample
from tickseal_edge.sensors.base import DeviceError
from tickseal_edge.sensors.readings import Reader, ReadingConfig


class I2CSensor:
    """One sensor.

    Args:
        driver: "module:class"; the class is called with the bus, and the address and options.
        package: on PyPI, that brings it; for the message where it is missing.
        bus: N of /dev/i2c-N.
        address: of the sensor; None for the driver's own default.
        options: further keyword arguments of the driver.
        readings: what to read.
    Raises:
        DeviceError: the driver, the bus or the sensor is not there.
    """

    def __init__(
        self,
        *,
        driver: str,
        package: str,
        bus: int,
        address: int | None,
        options: Mapping[str, object],
        readings: Sequence[ReadingConfig],
    ) -> None:
        where = f"bus {bus}" + (f" address {address:#04x}" if address is not None else "")
        label = f"{driver.rpartition(':')[2]} at I2C {where}"
        kind = _load(driver, package)
        self._bus = _open_bus(bus)
        arguments = dict(options) if address is None else {**options, "address": address}
        try:
            device = kind(self._bus, **arguments)
        except Exception as error:  # whatever a driver raises where its chip does not answer
            self.close()
            if isinstance(error, TypeError) and "keyword" in str(error):
                raise DeviceError(f"{driver} does not take all of {sorted(arguments)}") from None
            raise DeviceError(
                f"{label} is not there ({error}); see its wires and address with "
                f"`i2cdetect -y {bus}`"
            ) from None
        self._reader = Reader(device, readings, label)

    def read(self, time_ns: int) -> Sequence[Sample]:
        """Return all readings."""
        return self._reader.read(time_ns)

    def close(self) -> None:
        """Close the bus."""
        # Blinka's deinit() only forgets the bus, whose file its destructor closes.
        self._bus.deinit()


def _load(driver: str, package: str):  # type: ignore[no-untyped-def]
    module, _, name = driver.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        missing = error.name or module
        wanted = package if missing.startswith(("adafruit_", "tickseal_edge")) else missing
        raise DeviceError(
            f"the driver {driver} needs {missing}: pip install {_packages(wanted, missing)}"
        ) from None
    except AttributeError:
        raise DeviceError(f"{module} has no {name}; drivers are named module:class") from None


def _packages(wanted: str, missing: str) -> str:
    if missing in ("board", "busio", "micropython", "adafruit_extended_bus"):
        return "'tickseal[sensors]'"
    return wanted


def _open_bus(number: int):  # type: ignore[no-untyped-def]
    path = Path(f"/dev/i2c-{number}")
    try:
        from adafruit_extended_bus import ExtendedI2C  # noqa: PLC0415 - only where it is used
    except ImportError:
        raise DeviceError("I2C sensors need Blinka: pip install 'tickseal[sensors]'") from None
    except NotImplementedError as error:
        raise DeviceError(f"Blinka does not know this machine: {error}") from None
    try:
        with warnings.catch_warnings():
            # It warns that Linux does not let it set the bus's frequency.
            warnings.simplefilter("ignore", RuntimeWarning)
            return ExtendedI2C(number)
    except PermissionError:
        raise DeviceError(
            f"{path} is not for this user: sudo usermod -aG i2c $USER, and log in again"
        ) from None
    except (OSError, ValueError, RuntimeError):
        raise DeviceError(
            f"there is no {path}: switch I2C on (on a Raspberry Pi: sudo raspi-config nonint "
            "do_i2c 0), and `modprobe i2c-dev`"
        ) from None
