"""Liveness: pings, silence, and the clock check that rides on them (section 7.5)."""

from dataclasses import dataclass

from tickseal.clock import ClockInterval, clocks_disagree
from tickseal.core.errors import RemoteProtocolError
from tickseal.sessions.control import Alarm, Ping, Pong, clock_of, tai
from tickseal.sessions.events import ClockAgreement, ClockDisagreement

_SECOND = 1_000_000_000
#: Specification: time between pings, ns.
PING_NS = 2 * _SECOND
#: Specification: a peer from which nothing authentic came for so long is gone, ns.
SILENCE_NS = 10 * _SECOND
#: As many pings as fit into the time until silence, and one.
_OUTSTANDING_MAX = SILENCE_NS // PING_NS + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTrip:
    """One ping and its pong: own clock at both ends, the peer's in between."""

    sent: ClockInterval
    received: ClockInterval
    peer: ClockInterval
    sent_monotonic_ns: int
    received_monotonic_ns: int


class Liveness:
    """When to ping, whether the peer is there, and whether its clock agrees.

    Attributes:
        disagrees: whether the last check found the clocks apart.
    """

    __slots__ = ("_heard_ns", "_next_n", "_next_ping_ns", "_outstanding", "disagrees")

    def __init__(self, monotonic_ns: int) -> None:
        self._heard_ns = monotonic_ns
        # The first ping goes out at once: a device without a clock waits for its pong.
        self._next_ping_ns = monotonic_ns
        self._next_n = 0
        self._outstanding: dict[int, tuple[ClockInterval, int]] = {}
        self.disagrees = False

    def heard(self, monotonic_ns: int) -> None:
        """Note that something authentic came."""
        self._heard_ns = monotonic_ns

    def is_silent(self, monotonic_ns: int) -> bool:
        """Tell whether the peer is gone."""
        return monotonic_ns >= self._heard_ns + SILENCE_NS

    def next_deadline_ns(self) -> int:
        """Return when to look again, monotonic ns."""
        return min(self._next_ping_ns, self._heard_ns + SILENCE_NS)

    def ping(self, now: ClockInterval, monotonic_ns: int) -> Ping | None:
        """Return a ping to send if one is due."""
        if monotonic_ns < self._next_ping_ns:
            return None
        n = self._next_n
        self._next_n += 1
        self._next_ping_ns = monotonic_ns + PING_NS
        self._outstanding[n] = (now, monotonic_ns)
        if len(self._outstanding) > _OUTSTANDING_MAX:
            del self._outstanding[min(self._outstanding)]
        return Ping(n=n, tai=tai(now), discipline=now.discipline)

    def pong(self, pong: Pong, now: ClockInterval, monotonic_ns: int) -> RoundTrip | None:
        """Return what a pong told; None where its ping was answered before or is forgotten.

        Raises:
            RemoteProtocolError: there was no such ping.
        """
        if pong.n >= self._next_n:
            raise RemoteProtocolError("a pong without its ping")
        sent = self._outstanding.pop(pong.n, None)
        if sent is None:
            return None
        return RoundTrip(
            sent=sent[0],
            received=now,
            peer=clock_of(pong),
            sent_monotonic_ns=sent[1],
            received_monotonic_ns=monotonic_ns,
        )

    def check_clock(
        self, trip: RoundTrip
    ) -> tuple[ClockDisagreement | ClockAgreement, Alarm] | None:
        """Return the event and the alarm of a change of state; None where nothing changed."""
        sent, received, peer = trip.sent, trip.received, trip.peer
        if received.latest_ns < sent.earliest_ns:
            # The own clock was set back meanwhile: that says nothing about the peer's.
            return None
        disagrees = clocks_disagree(sent, received, peer.earliest_ns, peer.latest_ns)
        if disagrees is self.disagrees:
            return None
        self.disagrees = disagrees
        local = ClockInterval(
            earliest_ns=sent.earliest_ns,
            latest_ns=received.latest_ns,
            discipline=received.discipline,
        )
        if not disagrees:
            alarm = Alarm(reason="clock_agrees", detail="the clocks agree again")
            return ClockAgreement(peer=peer, local=local), alarm
        ahead = peer.earliest_ns - local.latest_ns
        apart = ahead if ahead > 0 else peer.latest_ns - local.earliest_ns
        event = ClockDisagreement(peer=peer, local=local, apart_ns=apart)
        return event, Alarm(
            reason="clock",
            detail=f"your clock and mine are at least {abs(apart) / 1e9:.6g} s apart",
        )
