"""Readings: which attributes of a driver are read, in which unit, and what is believed of them."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tickseal.core.errors import ConfigError, LocalProtocolError
from tickseal.payloads.samples import Measured, Sample
from tickseal_edge.sensors.base import DeviceError

_ATTRIBUTE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\[(\d+)\])?\Z")
#: After so many readings in a row that failed as a whole the device is opened anew.
_FAILURES_MOST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingConfig:
    """One value of a sensor.

    Args:
        attribute: of the driver, as "temperature", or "acceleration[2]" for an element; one that is
            a method is called.
        name: as it is sent; by default the attribute.
        unit: SenML unit (RFC 8428), for example "Cel".
        scale: what the driver's number is multiplied by to be in that unit.
        low, high: what lies beyond cannot be true, and is marked instead.
    """

    attribute: str
    name: str = ""
    unit: str = ""
    scale: float = 1.0
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        """Check the attribute and the name."""
        if not _ATTRIBUTE.match(self.attribute):
            raise ConfigError(
                f'"{self.attribute}" is no attribute; write it as temperature or acceleration[2]'
            )
        if not self.name:
            name = self.attribute.replace("[", "/").rstrip("]")
            object.__setattr__(self, "name", name)
        try:
            Sample(name=self.name, value=None, time_ns=0)
        except LocalProtocolError as error:
            raise ConfigError(str(error)) from None

    @property
    def place(self) -> tuple[str, int | None]:
        """The attribute, and the index into it."""
        match = _ATTRIBUTE.match(self.attribute)
        if match is None:
            raise AssertionError("it was checked")
        return match[1], None if match[2] is None else int(match[2])


class Reader:
    """Reads the attributes of a driver; what fails is marked.

    Args:
        device: the driver's object.
        readings: what to read.
        label: of the device, for messages.
    """

    def __init__(self, device: object, readings: Sequence[ReadingConfig], label: str) -> None:
        self._device = device
        self._readings = [(*reading.place, reading) for reading in readings]
        self._label = label
        self._failures = 0

    def read(self, time_ns: int) -> list[Sample]:
        """Return a sample for each reading.

        Raises:
            DeviceError: it failed as a whole, some times in a row.
        """
        values: dict[str, object] = {}
        fault: Exception | None = None
        samples = []
        for attribute, index, reading in self._readings:
            if attribute not in values:
                # Drivers raise what they like: OSError of the bus, RuntimeError of a checksum, ...
                try:
                    values[attribute] = self._get(attribute)
                except Exception as error:
                    fault, values[attribute] = error, None
            samples.append(
                Sample(
                    name=reading.name,
                    value=_value(values[attribute], index, reading),
                    unit=reading.unit or None,
                    time_ns=time_ns,
                )
            )
        if fault is None or any(value is not None for value in values.values()):
            self._failures = 0
            return samples
        self._failures += 1
        if self._failures >= _FAILURES_MOST:
            raise DeviceError(f"{self._label} does not answer: {fault}; see its wires and power")
        return samples

    def _get(self, attribute: str) -> object:
        value = getattr(self._device, attribute)
        return value() if callable(value) else value


def _value(raw: object, index: int | None, reading: ReadingConfig) -> Measured | None:
    if index is not None:
        raw = raw[index] if isinstance(raw, list | tuple) and index < len(raw) else None
    match raw:
        case bool() | str():
            return raw
        case int() | float():
            value = raw if reading.scale == 1.0 else raw * reading.scale
            # NaN is not within any bounds.
            is_below = reading.low is not None and not value >= reading.low
            is_above = reading.high is not None and not value <= reading.high
            return None if is_below or is_above or not math.isfinite(value) else value
        case _:
            return None
