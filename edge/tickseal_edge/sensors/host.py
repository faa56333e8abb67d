"""Host telemetry, which every Linux machine has: CPU, temperature, memory, disk, network."""

from collections.abc import Callable, Sequence

import psutil

from tickseal.payloads.samples import Measured, Sample

#: Names under which the kernel shows a processor's temperature, the most telling first.
_CPU_TEMPERATURES = ("cpu_thermal", "coretemp", "k10temp", "zenpower", "acpitz", "soc_thermal")


class HostSensor:
    """Reads this machine's own state through psutil; cheap enough for ten times a second.

    Args:
        disk: any path on the disk to watch.
        monotonic_ns: for rates; the time between two readings.
    """

    def __init__(self, monotonic_ns: Callable[[], int], disk: str = "/") -> None:
        self._monotonic_ns = monotonic_ns
        self._disk = disk
        self._network: tuple[int, int, int] | None = None
        # The first call gives 0 always: it only starts the count.
        psutil.cpu_percent(interval=None)

    def read(self, time_ns: int) -> Sequence[Sample]:
        """Return load, temperature, memory, disk and network; None for what there is not."""
        memory = psutil.virtual_memory()
        received, sent = self._network_rates()
        rows: tuple[tuple[str, Measured | None, str], ...] = (
            ("cpu/load", psutil.cpu_percent(interval=None), "%"),
            ("cpu/temperature", cpu_temperature(), "Cel"),
            ("memory/used", memory.percent, "%"),
            ("memory/available", memory.available, "B"),
            ("disk/used", self._disk_used(), "%"),
            ("network/received", received, "B/s"),
            ("network/sent", sent, "B/s"),
        )
        return [Sample(name=name, value=v, unit=unit, time_ns=time_ns) for name, v, unit in rows]

    def close(self) -> None:
        """Nothing is held."""

    def _disk_used(self) -> float | None:
        try:
            return psutil.disk_usage(self._disk).percent
        except OSError:
            return None

    def _network_rates(self) -> tuple[float | None, float | None]:
        counters = psutil.net_io_counters()
        if counters is None:
            return None, None
        now = (self._monotonic_ns(), counters.bytes_recv, counters.bytes_sent)
        before, self._network = self._network, now
        if before is None or now[0] <= before[0]:
            return None, None
        seconds = (now[0] - before[0]) / 1e9
        return round((now[1] - before[1]) / seconds, 1), round((now[2] - before[2]) / seconds, 1)


def cpu_temperature() -> float | None:
    """Return the processor's temperature in degrees Celsius; None where it is not told."""
    read = getattr(psutil, "sensors_temperatures", None)
    found = read() if read else {}
    for name in _CPU_TEMPERATURES:
        for entry in found.get(name, ()):
            return float(entry.current)
    return None
