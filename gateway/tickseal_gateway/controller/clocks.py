"""Clocks: what happens while a device's clock and this machine's contradict each other."""

from collections.abc import Iterable

from tickseal.clock import ClockAction, ClockDiscipline, ClockInterval
from tickseal.clock_votes import Vote, judge
from tickseal.sessions import events as ev
from tickseal.sessions.liveness import RoundTrip
from tickseal_gateway.alarms import Alarms
from tickseal_gateway.config import ClockConfig
from tickseal_gateway.ingest.table import StreamTable
from tickseal_gateway.registry.registered import Device

#: Alarms by which this machine's check, and the device's, say that the clocks disagree.
_OURS, _THEIRS, _OWN = "clock", "clock_of_device", "own_clock"
_HERE = "this machine"
#: A device's own sources of time are at odds.
_SOURCES = "clock_sources"
#: What a device says, and the alarm that it raises or ends by that.
_RAISES = {"clock": _THEIRS, "clock_sources": _SOURCES}
_ENDS = {"clock_agrees": _THEIRS, "clock_sources_agree": _SOURCES}


class ClockWatch:
    """Raises the alarms, and does to a device's streams what the policy says."""

    def __init__(self, config: ClockConfig, table: StreamTable, alarms: Alarms) -> None:
        self._config = config
        self._table = table
        self._alarms = alarms
        # How far each device is apart that disagrees, by name.
        self._apart: dict[str, str] = {}

    def disagrees(self, device: Device, event: ev.ClockDisagreement) -> None:
        """Note that the clocks disagree from now on."""
        self._apart[device.name] = (
            f"its clock and this machine's are at least {abs(event.apart_ns) / 1e9:.3f} s apart, "
            "more than both state as uncertain"
        )
        self._tell(device.name, set())
        self.withhold(device)

    def agrees(self, device: Device) -> None:
        """Note that the clocks agree again."""
        self._apart.pop(device.name, None)
        self._alarms.clear(_OURS, device.name)
        self._alarms.clear(_THEIRS, device.name)
        for stream in self._table.of_device(device.id):
            stream.is_withheld = False

    def forget(self, device: Device) -> None:
        """Note that nothing is known of a device's clock: a session begins, or has ended."""
        self.agrees(device)
        self._alarms.clear(_SOURCES, device.name)

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
        if event.reason in _ENDS:
            self._alarms.clear(_ENDS[event.reason], device.name)
        elif event.reason in _RAISES:
            kind = _RAISES[event.reason]
            self._alarms.set(kind, device.name, f"the device says: {event.detail}")
        else:
            self._alarms.set("device", device.name, f"{event.reason}: {event.detail}")

    def review(self, now: ClockInterval, trips: Iterable[tuple[str, RoundTrip]]) -> None:
        """Say who is to blame, as far as the clocks of the other devices tell. Call once a second.

        Args:
            now: this machine's clock.
            trips: the last exchange with each connected device, and its name.
        """
        if not self._apart:
            return
        votes, connected = [Vote(_HERE, _HERE, now)], set()
        for name, trip in trips:
            connected.add(name)
            # A time that was taken from here, or is a guess, says nothing of this one.
            if trip.peer.is_synchronised and trip.peer.discipline is not ClockDiscipline.GATEWAY:
                votes.append(Vote(name, name, _as_of(now, trip)))
        liars, _ = judge(votes)
        for name in self._apart.keys() & connected:
            self._tell(name, liars)

    def _tell(self, name: str, liars: set[str]) -> None:
        if _HERE in liars:
            who = "others agree with each other against this machine: mend its clock"
        elif name in liars:
            who = "others agree with this machine: mend the clock of that device"
        else:
            who = "who is right cannot be told: look at the time sources of both"
        self._alarms.set(_OURS, name, f"{self._apart[name]}; {who}")

    def check_own(self, now: ClockInterval) -> None:
        """Raise an alarm where this machine's own clock is too uncertain."""
        if now.uncertainty_ns > self._config.widest_ns:
            self._alarms.set(
                _OWN, "", f"this machine's clock is only known to {now.uncertainty_ns / 1e9:.3f} s"
            )
        else:
            self._alarms.clear(_OWN, "")


def _as_of(now: ClockInterval, trip: RoundTrip) -> ClockInterval:
    """Return what a device's clock would say now, had it kept its distance to this one."""
    ahead_ns = trip.peer.midpoint_ns - (trip.sent.midpoint_ns + trip.received.midpoint_ns) // 2
    round_trip_ns = trip.received_monotonic_ns - trip.sent_monotonic_ns
    return ClockInterval.around(
        now.midpoint_ns + ahead_ns,
        trip.peer.uncertainty_ns + round_trip_ns // 2,
        trip.peer.discipline,
    )
