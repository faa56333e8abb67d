"""SourceSession: one connection of a device to its gateway, without I/O."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from tickseal import control
from tickseal import events as ev
from tickseal.clock import ClockDiscipline, ClockInterval
from tickseal.control import Message, Role
from tickseal.core.errors import LocalProtocolError, RemoteProtocolError
from tickseal.events import CloseReason, Event
from tickseal.handshake import HandshakeRefused, Initiator
from tickseal.invite import InviteToken
from tickseal.liveness import RoundTrip
from tickseal.metadata import StreamMetadata
from tickseal.negotiation import AcceptancePolicy, Wish
from tickseal.outbox import Lane
from tickseal.records import RecordType
from tickseal.session import Session, State, Table
from tickseal.source_streams import SourceStreams

_TALK = (control.Ping, control.Pong, control.Alarm)
_STREAMS = (
    control.Opened,
    control.Refused,
    control.Report,
    control.Resync,
    control.Rekey,
    control.Offered,
    control.StoredUntil,
)
_ENDS: dict[type[Message] | RecordType, State] = dict.fromkeys(
    (control.Revoked, control.Bye), State.CLOSED
)
#: What the gateway may send, by state, and the state that follows.
_TABLE: Table = {
    State.HANDSHAKE: {RecordType.ANSWER: State.GREETING, RecordType.REFUSAL: State.CLOSED},
    # With an invite ENROLLING follows instead.
    State.GREETING: {control.Welcome: State.RUNNING, **_ENDS},
    # confirm_stored() leads on to RUNNING.
    State.ENROLLING: {control.Enrolled: State.STORING, **_ENDS},
    State.STORING: {**dict.fromkeys(_TALK, State.STORING), **_ENDS},
    State.RUNNING: {**dict.fromkeys(_TALK + _STREAMS, State.RUNNING), **_ENDS},
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


class SourceSession(Session):
    """One connection of a device, which speaks first: write data_to_send() at once.

    Args:
        credentials: whom it trusts, and as whom it appears. With an invite, Enrolled follows
            Welcomed, and no stream can be opened before confirm_stored().
        name: what the device calls itself, 1..64 bytes.
        software: name and version, 1..64 bytes.
        policy: what it takes from the controller; its suites are offered in their order.
        random_bytes: returns as many unpredictable bytes as it is asked for.
        monotonic_ns: the monotonic clock now; the same clock as in every later call.
        role: SOURCE, or SINK, which opens no streams of its own.
    Raises:
        LocalProtocolError: a key or a text has the wrong size.
        ConfigError: hybrid, where `cryptography` has no ML-KEM.
        HandshakeError: the gateway's key is not one that can be used.
    """

    _table = _TABLE

    def __init__(
        self,
        *,
        credentials: Credentials,
        name: str,
        software: str,
        policy: AcceptancePolicy,
        random_bytes: Callable[[int], bytes],
        monotonic_ns: int,
        role: Role = Role.SOURCE,
    ) -> None:
        super().__init__(monotonic_ns)
        # Made now so that texts that do not fit are reported here; its time is set when it is sent.
        self._hello = control.Hello(
            role=role,
            name=name,
            software=software,
            suites=tuple(int(suite) for suite in policy.suites),
            tai=(0, 0),
            discipline=ClockDiscipline.NONE,
        )
        self._policy = policy
        self._is_enrolling = credentials.invite_id is not None
        self._initiator: Initiator | None = Initiator(
            private=credentials.private_key,
            gateway_public=credentials.gateway_key,
            psk=credentials.psk,
            hybrid=credentials.hybrid,
            random_bytes=random_bytes,
            invite_id=credentials.invite_id or b"",
        )
        self._streams = SourceStreams(policy, self.counters)
        self._offers_unanswered = 0
        kind, body = self._initiator.first_record()
        self._outbox.put(RecordType(kind), body)

    # --- What the application calls ---

    @property
    def refused_segments(self) -> int:
        """Segments that send_segments() did not take, so far."""
        return self._outbox.refused_segments

    def confirm_stored(self) -> None:
        """Tell the gateway that the identity of Enrolled is on disk: the invite is used up.

        Raises:
            LocalProtocolError: there was no Enrolled, or this was called before.
        """
        self._require(State.STORING)
        self._send(control.Stored())
        self._state = State.RUNNING

    def open_stream(self, metadata: StreamMetadata, wish: Wish) -> bool:
        """Ask for a generation of a stream; GenerationStarted or StreamRefused follows.

        Args:
            wish: without suites, those of the policy are offered.
        Returns:
            False, and nothing is sent, where an opening of this stream is under way.
        Raises:
            LocalProtocolError: not running, 256 streams are open, or the device is a sink.
        """
        self._require(State.RUNNING)
        if self._hello.role is not Role.SOURCE:
            raise LocalProtocolError("a sink opens no streams of its own")
        message = self._streams.ask(metadata, wish)
        if message is not None:
            self._send(message)
        return message is not None

    def close_stream(self, handle: int, generation: int) -> None:
        """Tell the gateway that a generation is done with.

        Raises:
            LocalProtocolError: not running, or a number out of range.
        """
        self._require(State.RUNNING)
        self._send(control.Close(handle=handle, generation=generation))
        self._streams.close(handle, generation)

    def offer(self, blob: bytes) -> None:
        """Offer an offline generation; OfferAnswered follows. Offer the next one after it.

        Args:
            blob: from seal_offline_generation(), at most 8192 bytes.
        Raises:
            LocalProtocolError: not running, or the blob is too long.
        """
        self._require(State.RUNNING)
        self._send(control.Offer(blob=blob))
        self._offers_unanswered += 1

    def announce_backfill(
        self, handle: int, generation: int, *, ticks: tuple[int, int], frames: tuple[int, int]
    ) -> None:
        """Say what the next backfilled segments hold.

        Args:
            ticks, frames: half-open ranges (from, until).
        Raises:
            LocalProtocolError: not running, or a number out of range.
        """
        self._require(State.RUNNING)
        message = control.Backfill(handle=handle, generation=generation, ticks=ticks, frames=frames)
        self._send(message, Lane.BACKFILL)

    def finish_backfill(self, handle: int, generation: int) -> None:
        """Say, behind all backfilled segments so far, that nothing more follows in this generation.

        Raises:
            LocalProtocolError: not running, or a number out of range.
        """
        self._require(State.RUNNING)
        self._send(control.Backfilled(handle=handle, generation=generation), Lane.BACKFILL)

    def send_segments(self, segments: Sequence[bytes], *, backfill: bool = False) -> int:
        """Send sealed segments on this connection, live ones ahead of backfill.

        Args:
            segments: 1..65532 bytes each.
            backfill: in order with announce_backfill() and finish_backfill().
        Returns:
            How many, from the first, were taken. The others found no room (256 KiB a lane) and are
            the caller's still: try them again after data_to_send(). refused_segments counts them.
        Raises:
            LocalProtocolError: not running, or a segment has a size that there is not.
        """
        self._require(State.RUNNING)
        return self._outbox.put_segments(segments, Lane.BACKFILL if backfill else Lane.LIVE)

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

    def _on_data(self, body: bytes) -> list[Event]:
        raise RemoteProtocolError("segments are not for a source")

    def _on_message(self, message: Message, now: ClockInterval, monotonic_ns: int) -> list[Event]:
        match message:
            case control.Welcome():
                return [self._on_welcome(message, monotonic_ns)]
            case control.Enrolled():
                psk = self._transport().exporter.device_psk()
                return [ev.Enrolled(device=message.device, device_psk=psk)]
            case control.Opened():
                return [self._on_opened(message)]
            case control.Refused():
                return [self._streams.refused(message)]
            case control.Report():
                return self._streams.report(message)
            case control.Resync():
                return self._streams.resync(message, monotonic_ns)
            case control.Rekey():
                return self._streams.rekey(message)
            case control.Offered():
                return [self._on_offered(message)]
            case control.StoredUntil(handle=handle, generation=generation, frame_until=until):
                stored = ev.StoredUntil(handle=handle, generation=generation, frame_until=until)
                return [stored]
            case control.Revoked():
                closed = self._end(CloseReason.REVOKED, "the gateway revoked this device")
                return [ev.Revoked(), closed]
            case _:
                raise RemoteProtocolError("a message that only a device sends")

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

    def _on_opened(self, message: control.Opened) -> Event:
        event = self._streams.opened(message, self._transport().exporter)
        if isinstance(event, ev.StreamRefused):
            self._send(control.Close(handle=message.handle, generation=message.generation))
        return event

    def _on_offered(self, message: control.Offered) -> Event:
        if not self._offers_unanswered:
            raise RemoteProtocolError("an answer to an offer that was not made")
        self._offers_unanswered -= 1
        return ev.OfferAnswered(
            handle=message.handle,
            generation=message.generation,
            accepted=message.accepted,
            reason=message.reason,
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
