"""Clocks: what happens while a device's clock and this machine's contradict each other."""

from tickseal import events as ev
from tickseal.clock import ClockAction, ClockInterval
from tickseal_gateway.alarms import Alarms
from tickseal_gateway.config import ClockConfig
from tickseal_gateway.registered import Device
from tickseal_gateway.table import StreamTable

#: Alarms by which this machine's check, and the device's, say that the clocks disagree.
_OURS, _THEIRS, _OWN = "clock", "clock_of_device", "own_clock"


class ClockWatch:
    """Raises the alarms, and does to a device's streams what the policy says."""

    def __init__(self, config: ClockConfig, table: StreamTable, alarms: Alarms) -> None:
        self._config = config
        self._table = table
        self._alarms = alarms

    def disagrees(self, device: Device, event: ev.ClockDisagreement) -> None:
        """Note that the clocks disagree from now on."""
        self._alarms.set(
            _OURS,
            device.name,
            f"its clock and this machine's are at least {abs(event.apart_ns) / 1e9:.3f} s apart, "
            "more than both state as uncertain; look at the time sources of both",
        )
        self.withhold(device)

    def agrees(self, device: Device) -> None:
        """Note that the clocks agree again, or that nothing is known of them."""
        self._alarms.clear(_OURS, device.name)
        self._alarms.clear(_THEIRS, device.name)
        for stream in self._table.of_device(device.id):
            stream.is_withheld = False

    def withhold(self, device: Device) -> None:
        """Do what the policy says to the streams of a device whose clock disagrees."""
        for stream in self._table.of_device(device.id):
            stream.is_withheld = self._config.policy is ClockAction.HOLD
            if self._config.policy is ClockAction.STOP:
                self._table.erase_all(stream)

    @property
    def stops(self) -> bool:
        """Whether a device whose clock disagrees may open nothing."""
        return self._config.policy is ClockAction.STOP

    def device_says(self, device: Device, event: ev.AlarmRaised) -> None:
        """Show what a device raises."""
        if event.reason == "clock_agrees":
            self._alarms.clear(_THEIRS, device.name)
        elif event.reason == "clock":
            self._alarms.set(_THEIRS, device.name, f"the device says: {event.detail}")
        else:
            self._alarms.set("device", device.name, f"{event.reason}: {event.detail}")

    def check_own(self, now: ClockInterval) -> None:
        """Raise an alarm where this machine's own clock is too uncertain."""
        if now.uncertainty_ns > self._config.widest_ns:
            self._alarms.set(
                _OWN, "", f"this machine's clock is only known to {now.uncertainty_ns / 1e9:.3f} s"
            )
        else:
            self._alarms.clear(_OWN, "")
