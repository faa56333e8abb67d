"""A clock that takes the gateway's time while the own is not synchronised (section 7.5)."""

from collections.abc import Callable

from tickseal.clock import Clock, ClockDiscipline, ClockInterval, GatewayTimeFilter
from tickseal.host.kernel_clock import boottime_ns
from tickseal.sessions.events import GatewayTime


class GatewayAssistedClock:
    """The own clock while it is synchronised, else the gateway's time if that is known.

    In holdover it is whichever of the two is surer.

    The clock check (`tickseal.clock.clocks_disagree`) must be given readings of `own`: a time that
    was taken from the gateway cannot disagree with it.

    Args:
        own: the device's own clock.
        gateway_time: what is known of the gateway's time; learn() tells it.
        monotonic_ns: the clock whose readings gateway_time is given.
    """

    def __init__(
        self,
        own: Clock,
        gateway_time: GatewayTimeFilter,
        monotonic_ns: Callable[[], int] = boottime_ns,
    ) -> None:
        self.own = own
        self._gateway_time = gateway_time
        self._monotonic_ns = monotonic_ns

    def learn(self, event: GatewayTime) -> None:
        """Take in what a session told of the gateway's time."""
        self._gateway_time.add(
            sent_monotonic_ns=event.sent_monotonic_ns,
            received_monotonic_ns=event.received_monotonic_ns,
            peer_earliest_ns=event.peer.earliest_ns,
            peer_latest_ns=event.peer.latest_ns,
        )

    def now(self) -> ClockInterval:
        """Return a reading."""
        reading = self.own.now()
        if reading.is_synchronised:
            return reading
        gateway = self._gateway_time.now(self._monotonic_ns())
        if gateway is None:
            return reading
        # A clock that was good until lately may know better than the network; a guess does not.
        is_held = reading.discipline is ClockDiscipline.HOLDOVER
        return reading if is_held and reading.uncertainty_ns <= gateway.uncertainty_ns else gateway
