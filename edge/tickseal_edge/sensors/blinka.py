"""Sensors by any driver of CircuitPython's, through Blinka, on whichever bus."""

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tickseal.payloads.samples import Sample
from tickseal_edge.sensors.base import DeviceError
from tickseal_edge.sensors.readings import Reader, ReadingConfig

_OWN = ("board", "busio", "micropython", "adafruit_extended_bus", "Adafruit_PureIO")

#: How long one reading of a sensor may take.
_PATIENCE_S = 5.0


class PatientBus:
    """A bus that ends a driver's wait for a chip that never becomes ready, as an unplugged one.

    Such a wait would keep all other sensors of the bus for ever; it goes through the bus, again and
    again.
    """

    def __init__(self, bus: Any) -> None:
        self._bus = bus
        self.begin()

    def begin(self) -> None:
        """Let the time of a reading begin."""
        self._until = time.monotonic() + _PATIENCE_S

    def __getattr__(self, name: str) -> Any:
        if name != "unlock" and time.monotonic() > self._until:
            raise DeviceError(f"it does not become ready within {_PATIENCE_S:g} s")
        return getattr(self._bus, name)


class BlinkaSensor:
    """One sensor.

    Args:
        driver: "module:class".
        package: on PyPI, that brings it; for the message where it is missing.
        place: where the sensor is, for messages, as "I2C bus 1 address 0x77".
        look: how to find out why it does not answer.
        open_bus: opens what the driver is called with: its arguments by position, and what closes
            them.
        options: its keyword arguments.
        readings: what to read.
    Raises:
        DeviceError: the driver, the bus or the sensor is not there.
    """

    def __init__(
        self,
        *,
        driver: str,
        package: str,
        place: str,
        look: str,
        open_bus: Callable[[], tuple[tuple[Any, ...], Callable[[], None]]],
        options: Mapping[str, object],
        readings: Sequence[ReadingConfig],
    ) -> None:
        label = f"{driver.rpartition(':')[2]} at {place}"
        kind = _load(driver, package)
        (bus, *more), self._close = open_bus()
        self._bus = PatientBus(bus)
        try:
            device = kind(self._bus, *more, **options)
        except Exception as error:  # whatever a driver raises where its chip does not answer
            self.close()
            if isinstance(error, TypeError) and "argument" in str(error):
                raise DeviceError(
                    f"{driver} does not take all of {sorted(options)} ({error})"
                ) from None
            raise DeviceError(f"{label} is not there ({error}); {look}") from None
        self._reader = Reader(device, readings, label)

    def read(self, time_ns: int) -> Sequence[Sample]:
        """Return all readings."""
        self._bus.begin()
        return self._reader.read(time_ns)

    def close(self) -> None:
        """Close the bus."""
        self._close()


def refuse(path: Path, group: str, error: Exception, switch_on: str) -> DeviceError:
    """Return the error that says why a bus cannot be opened, and what to do.

    Args:
        path: the bus.
        group: whose members may use it.
        error: what opening it raised.
        switch_on: how the bus is made to be there.
    """
    if isinstance(error, ImportError):
        return DeviceError("this sensor needs Blinka: pip install 'tickseal[sensors]'")
    if isinstance(error, NotImplementedError):
        return DeviceError(f"Blinka does not know this machine: {error}")
    if isinstance(error, PermissionError):
        return DeviceError(
            f"{path} is not for this user: sudo usermod -aG {group} $USER, and log in again"
        )
    return DeviceError(f"there is no {path}; {switch_on}")


def _load(driver: str, package: str) -> Callable[..., object]:
    module, _, name = driver.partition(":")
    try:
        found: Callable[..., object] = getattr(importlib.import_module(module), name)
    except ImportError as error:
        missing = error.name or module
        wanted = package if missing.startswith(("adafruit_", "tickseal_edge")) else missing
        wanted = "'tickseal[sensors]'" if missing in _OWN else wanted
        raise DeviceError(f"the driver {driver} needs {missing}: pip install {wanted}") from None
    except AttributeError:
        raise DeviceError(f"{module} has no {name}; drivers are named module:class") from None
    return found
