"""DeviceSession: what a source's and a sink's connection to their gateway have in common."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tickseal.clock import ClockDiscipline, ClockInterval
from tickseal.handshake import HandshakeRefused, Initiator
from tickseal.invite import InviteToken
from tickseal.sessions import control
from tickseal.sessions import events as ev
from tickseal.sessions.control import Message, Role
from tickseal.sessions.events import CloseReason, Event
from tickseal.sessions.liveness import RoundTrip
from tickseal.sessions.records import RecordType
from tickseal.sessions.session import Session, State, Table

_TALK = (control.Ping, control.Pong, control.Alarm)
_ENDS: dict[type[Message] | RecordType, State] = dict.fromkeys(
    (control.Revoked, control.Bye), State.CLOSED
)


def device_table(*running: type[Message] | RecordType) -> Table:
    """Return what the gateway may send, by state, and the state that follows.

    Args:
        running: what it may send of streams while the session runs.
    """
    return {
        State.HANDSHAKE: {RecordType.ANSWER: State.GREETING, RecordType.REFUSAL: State.CLOSED},
        # With an invite ENROLLING follows instead.
        State.GREETING: {control.Welcome: State.RUNNING, **_ENDS},
        # confirm_stored() leads on to RUNNING.
        State.ENROLLING: {control.Enrolled: State.STORING, **_ENDS},
        State.STORING: {**dict.fromkeys(_TALK, State.STORING), **_ENDS},
        State.RUNNING: {**dict.fromkeys(_TALK + running, State.RUNNING), **_ENDS},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """By what a device and its gateway know each other.

    Args:
        private_key: the device's static key, 32 bytes.
        gateway_key: the gateway's static public key, 32 bytes, as pinned.
        psk: 32 bytes: the device PSK; the invite's secret while invite_id is given.
        hybrid: which handshake was pinned at enrolment.
        invite_id: 8 bytes at enrolment, else None.
    """

    private_key: bytes = field(repr=False)
    gateway_key: bytes
    psk: bytes = field(repr=False)
    hybrid: bool
    invite_id: bytes | None = None

    @classmethod
    def from_invite(cls, invite: InviteToken, *, private_key: bytes) -> "Credentials":
        """Return what a device enrols with."""
        return cls(
            private_key=private_key,
            gateway_key=invite.gateway_public,
            psk=invite.secret,
            hybrid=invite.hybrid,
            invite_id=invite.invite_id,
        )


class DeviceSession(Session):
    """One connection of a device, which speaks first: write data_to_send() at once.

    Args:
        credentials: whom it trusts, and as whom it appears. With an invite, Enrolled follows
            Welcomed, and nothing else can be done before confirm_stored().
        name: what the device calls itself, 1..64 bytes.
        software: name and version, 1..64 bytes.
        suites: that it can work with, as numbers, in the order of preference.
        random_bytes: returns as many unpredictable bytes as it is asked for.
        monotonic_ns: the monotonic clock now; the same clock as in every later call.
    Raises:
        LocalProtocolError: a key or a text has the wrong size.
        ConfigError: hybrid, where `cryptography` has no ML-KEM.
        HandshakeError: the gateway's key is not one that can be used.
    """

    _role: Role

    def __init__(
        self,
        *,
        credentials: Credentials,
        name: str,
        software: str,
        suites: tuple[int, ...],
        random_bytes: Callable[[int], bytes],
        monotonic_ns: int,
    ) -> None:
        super().__init__(monotonic_ns)
        # Made now so that texts that do not fit are reported here; its time is set when it is sent.
        self._hello = control.Hello(
            role=self._role,
            name=name,
            software=software,
            suites=suites,
            tai=(0, 0),
            discipline=ClockDiscipline.NONE,
        )
        self._is_enrolling = credentials.invite_id is not None
        self._initiator: Initiator | None = Initiator(
            private=credentials.private_key,
            gateway_public=credentials.gateway_key,
            psk=credentials.psk,
            hybrid=credentials.hybrid,
            random_bytes=random_bytes,
            invite_id=credentials.invite_id or b"",
        )
        kind, body = self._initiator.first_record()
        self._outbox.put(RecordType(kind), body)

    def confirm_stored(self) -> None:
        """Tell the gateway that the identity of Enrolled is on disk: the invite is used up.

        Raises:
            LocalProtocolError: there was no Enrolled, or this was called before.
        """
        self._require(State.STORING)
        self._send(control.Stored())
        self._state = State.RUNNING

    # --- What subclasses do ---

    @abstractmethod
    def _on_stream_message(self, message: Message, monotonic_ns: int) -> list[Event]: ...

    # --- What the gateway sends ---

    def _on_handshake(self, kind: RecordType, body: bytes, now: ClockInterval) -> list[Event]:
        if self._initiator is None:
            return []
        try:
            self._established = self._initiator.read_answer(kind, body)
        except HandshakeRefused as refusal:
            refused = ev.HandshakeRefused(reason=refusal.reason)
            return [refused, self._end(CloseReason.REFUSED, str(refusal))]
        self._initiator = None
        self._hello = replace(self._hello, tai=control.tai(now), discipline=now.discipline)
        self._send(self._hello)
        return []

    def _on_message(self, message: Message, now: ClockInterval, monotonic_ns: int) -> list[Event]:
        match message:
            case control.Welcome():
                return [self._on_welcome(message, monotonic_ns)]
            case control.Enrolled():
                psk = self._transport().exporter.device_psk()
                return [ev.Enrolled(device=message.device, device_psk=psk)]
            case control.Revoked():
                closed = self._end(CloseReason.REVOKED, "the gateway revoked this device")
                return [ev.Revoked(), closed]
            case _:
                return self._on_stream_message(message, monotonic_ns)

    def _on_welcome(self, message: control.Welcome, monotonic_ns: int) -> Event:
        if self._is_enrolling:
            self._state = State.ENROLLING
        self._start(monotonic_ns)
        earliest, latest = message.tai
        return ev.Welcomed(
            gateway=message.name,
            udp_port=message.udp,
            clock=ClockInterval(earliest_ns=earliest, latest_ns=latest),
        )

    def _on_round_trip(self, trip: RoundTrip) -> list[Event]:
        return [
            ev.GatewayTime(
                peer=trip.peer,
                sent_monotonic_ns=trip.sent_monotonic_ns,
                received_monotonic_ns=trip.received_monotonic_ns,
            )
        ]

    def _disconnected(self) -> tuple[CloseReason, str]:
        reason, detail = super()._disconnected()
        if self._state is State.HANDSHAKE:
            detail += ": a gateway that does not hold the key pinned here cannot answer"
        return reason, detail

    def _forget(self) -> None:
        if self._initiator is not None:
            self._initiator.clear()
