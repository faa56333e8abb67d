"""DS18B20 and its kin on a 1-Wire bus, as the kernel's own driver shows them."""

from collections.abc import Sequence
from pathlib import Path

from tickseal.payloads.samples import Sample
from tickseal_edge.sensors.base import DeviceError

_DEVICES = Path("/sys/bus/w1/devices")
#: Family codes of thermometers: DS18S20, DS1822, DS18B20, DS1825, DS28EA00.
_FAMILIES = ("10", "22", "28", "3b", "42")
#: What the chip says before its first conversion, and after a loss of power.
_POWER_ON_MILLIDEGREES = 85_000
_LOWEST, _HIGHEST = -55_000, 125_000
_FAILURES_MOST = 3


class OneWireThermometers:
    """All thermometers of the bus, or one.

    Args:
        serial: of one, such as "28-00000abcdef1"; all where it is empty.
        root: where the kernel shows them.
    Raises:
        DeviceError: there is none.
    """

    def __init__(self, serial: str = "", root: Path = _DEVICES) -> None:
        self._paths = [
            path
            for path in sorted(root.glob(serial or "*-*"))
            if path.name.partition("-")[0] in _FAMILIES
        ]
        if not self._paths:
            raise DeviceError(
                f"no 1-Wire thermometer {serial or 'was found'}; on a Raspberry Pi add "
                "dtoverlay=w1-gpio to /boot/firmware/config.txt, and see its wires and pull-up"
            )
        self._failures = 0
        # Seen twice, 85 degrees is a temperature; once, it is the chip that lost its power.
        self._was_power_on: set[str] = set()

    def read(self, time_ns: int) -> Sequence[Sample]:
        """Return a temperature for each; a conversion takes up to 0.75 s each."""
        samples = [self._sample(path, time_ns) for path in self._paths]
        if any(sample.value is not None for sample in samples):
            self._failures = 0
        else:
            self._failures += 1
            if self._failures >= _FAILURES_MOST:
                raise DeviceError("no 1-Wire thermometer answers; see wires, pull-up and power")
        return samples

    def close(self) -> None:
        """Nothing is held."""

    def _sample(self, path: Path, time_ns: int) -> Sample:
        name = "temperature" if len(self._paths) == 1 else f"temperature/{path.name}"
        return Sample(name=name, value=self._degrees(path), unit="Cel", time_ns=time_ns)

    def _degrees(self, path: Path) -> float | None:
        try:
            # The kernel checks the CRC, and fails the read where it is wrong.
            value = int((path / "temperature").read_text("ascii"))
        except (OSError, ValueError):
            return None
        if value == _POWER_ON_MILLIDEGREES and path.name not in self._was_power_on:
            self._was_power_on.add(path.name)
            return None
        if value != _POWER_ON_MILLIDEGREES:
            self._was_power_on.discard(path.name)
        return value / 1000 if _LOWEST <= value <= _HIGHEST else None
