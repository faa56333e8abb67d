"""What the board measures. A sensor is an object with read(), which returns its samples.

A sample is (name, SenML unit or "", value); a value is a number, a bool, text, or None where the
sensor failed: a failure is told, never made up.
"""

from tickseal.core.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Samples = list[tuple[str, str, Any]]


class Counter:
    """Counts its own readings: a sensor that every board has."""

    def __init__(self, name: str = "count") -> None:
        self._name = name
        self._count = -1

    def read(self) -> "Samples":
        """Return how often it was read before."""
        self._count += 1
        return [(self._name, "count", self._count)]


class Memory:
    """Bytes of the heap that are in use, after a collection."""

    def __init__(self, name: str = "memory") -> None:
        self._name = name

    def read(self) -> "Samples":
        """Return them."""
        import gc

        gc.collect()
        return [(self._name, "B", gc.mem_alloc())]


class ADC:
    """A voltage at a pin.

    Args:
        pin: its number or name.
        full_scale: volts at the highest reading.
    """

    def __init__(self, pin: "Any", name: str = "voltage", full_scale: float = 3.3) -> None:
        import machine

        self._adc = machine.ADC(pin)
        self._name, self._full_scale = name, full_scale

    def volts(self) -> float:
        """Return the voltage."""
        return float(self._adc.read_u16() * self._full_scale / 65535)

    def read(self) -> "Samples":
        """Return the voltage."""
        return [(self._name, "V", self.volts())]


class ChipTemperature:
    """The temperature of the chip: RP2040 and RP2350 by their ADC, ESP32 by its own sensor."""

    def __init__(self, name: str = "chip_temperature") -> None:
        self._name = name
        try:
            import esp32

            self._celsius = esp32.mcu_temperature
        except (ImportError, AttributeError):
            self._adc = ADC(4)
            self._celsius = self._by_adc

    def _by_adc(self) -> float:
        # RP2040 datasheet section 4.9.5.
        return 27 - (self._adc.volts() - 0.706) / 0.001721

    def read(self) -> "Samples":
        """Return it."""
        return [(self._name, "Cel", self._celsius())]


def bme280(**settings: "Any") -> "Any":
    """Return a BME280: its code is loaded only where there is one."""
    from device.bme280 import BME280

    return BME280(**settings)


_KINDS = {
    "adc": ADC,
    "bme280": bme280,
    "chip_temperature": ChipTemperature,
    "counter": Counter,
    "memory": Memory,
}


def make(settings: "dict[str, Any]") -> "Any":
    """Return the sensor that a configuration names by "kind"; its other keys are arguments.

    Raises:
        ConfigError: there is no such kind, or it does not take these keys, or is not there.
    """
    arguments = dict(settings)
    kind = arguments.pop("kind", "")
    if kind not in _KINDS:
        raise ConfigError("no sensor of kind %r; known are %s" % (kind, sorted(_KINDS)))
    try:
        return _KINDS[kind](**arguments)
    except (TypeError, ValueError, OSError, ImportError, AttributeError) as error:
        raise ConfigError("sensor %s: %s" % (kind, error)) from None


def read(sensors: "list[Any]") -> "Samples":
    """Return the samples of several sensors; one that fails gives its last names, no values."""
    samples: "Samples" = []
    for index, (sensor, names) in enumerate(sensors):
        try:
            taken = sensor.read()
            sensors[index][1] = [(name, unit) for name, unit, _ in taken]
        except OSError:
            taken = [(name, unit, None) for name, unit in names]
        samples += taken
    return samples


#: Needed at the start only.
ONCE = (make, bme280, _KINDS, ADC, ChipTemperature, Counter, Memory)
