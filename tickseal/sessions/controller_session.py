"""ControllerSession: one connection of a device at its gateway, without I/O."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from tickseal.clock import ClockInterval
from tickseal.core import constants
from tickseal.core.errors import (
    ConfigError,
    HandshakeError,
    LocalProtocolError,
    RemoteProtocolError,
)
from tickseal.handshake import FirstRecord, Responder
from tickseal.sessions import control
from tickseal.sessions import events as ev
from tickseal.sessions.control import Message, ReportRow
from tickseal.sessions.events import CloseReason, Event
from tickseal.sessions.granting import GrantingSession
from tickseal.sessions.liveness import RoundTrip
from tickseal.sessions.records import RecordType, unpack_segments
from tickseal.sessions.session import State, Table
from tickseal.sessions.throttle import Throttle
from tickseal.streams.generation import Generation
from tickseal.streams.metadata import StreamMetadata
from tickseal.streams.offline import open_offline_generation
from tickseal.streams.parameters import StreamParameters

#: Requests of a device that may wait for the application's answer, of each kind.
PENDING_MAX = 64

_TALK = (control.Ping, control.Pong, control.Alarm)
_STREAMS: tuple[type[Message] | RecordType, ...] = (
    control.Open,
    control.Close,
    control.Offer,
    control.Backfill,
    control.Backfilled,
    control.Subscribe,
    control.Recall,
    RecordType.DATA,
)
_ENDS: dict[type[Message] | RecordType, State] = {control.Bye: State.CLOSED}
#: What the device may send, by state, and the state that follows.
_TABLE: Table = {
    State.HANDSHAKE: dict.fromkeys((RecordType.CLASSICAL, RecordType.HYBRID), State.DECIDING),
    # accept() leads on to GREETING, refuse() to CLOSED.
    State.DECIDING: {},
    # At enrolment STORING follows instead.
    State.GREETING: {control.Hello: State.RUNNING},
    State.STORING: {
        control.Stored: State.RUNNING,
        **dict.fromkeys(_TALK, State.STORING),
        **_ENDS,
    },
    State.RUNNING: {**dict.fromkeys(_TALK + _STREAMS, State.RUNNING), **_ENDS},
}


class ControllerSession(GrantingSession):
    """One connection of a device, which speaks first. What to allow is the application's to decide.

    Until SessionStarted all may be a replay: nothing outside of this object may change before.

    Args:
        private_key: the gateway's static key, 32 bytes.
        public_key: its public key, where known: saves computing it for each connection.
        name: what the gateway calls itself, 1..64 bytes.
        udp_port: where it takes segments by UDP; 0 where it takes them on this connection only.
        random_bytes: returns as many unpredictable bytes as it is asked for.
        monotonic_ns: the monotonic clock now; the same clock as in every later call.
    Attributes:
        round_trip: the last ping and its pong: what the device's clock said between; None before.
    Raises:
        LocalProtocolError: a name or port out of range.
    """

    _table = _TABLE

    def __init__(
        self,
        *,
        private_key: bytes,
        public_key: bytes | None = None,
        name: str,
        udp_port: int,
        random_bytes: Callable[[int], bytes],
        monotonic_ns: int,
    ) -> None:
        super().__init__(monotonic_ns)
        # Made now so that a name that does not fit is reported here; its time is set when it is
        # sent.
        self._welcome = control.Welcome(name=name, tai=(0, 0), udp=udp_port)
        self._private_key = private_key
        self._responder: Responder | None = Responder(
            private=private_key, public=public_key, random_bytes=random_bytes
        )
        self._first: FirstRecord | None = None
        self._enrolling: str | None = None
        self._psk = b""
        self._suites: tuple[int, ...] = ()
        self._opening: dict[str, StreamMetadata] = {}
        self._offered: set[tuple[int, int]] = set()
        self._resyncs: dict[int, Throttle] = {}
        self.round_trip: RoundTrip | None = None

    # --- What the application calls ---

    def accept(self, psk: bytes, *, enrolling: str | None = None) -> None:
        """Answer HandshakeRequested; SessionStarted follows if the device holds this PSK too.

        Args:
            psk: 32 bytes: the device PSK, or the invite's secret.
            enrolling: the name that the device gets, 0..200 bytes, exactly where an invite id was
                given.
        Raises:
            LocalProtocolError: nothing to answer (the session may have ended meanwhile), or
                enrolling does not fit the request.
        """
        responder, first = self._decided()
        if (enrolling is not None) != bool(first.invite_id):
            raise LocalProtocolError("enrol a device that shows an invite, and no other")
        if enrolling is not None:
            control.Enrolled(device=enrolling)
        try:
            (kind, body), self._established = responder.accept(psk)
        except HandshakeError as fault:
            self._doom = (CloseReason.HANDSHAKE_FAILED, str(fault))
            return
        self._outbox.put(RecordType(kind), body)
        self._responder = None
        self._psk = psk
        self._enrolling = enrolling
        self._state = State.GREETING

    def refuse(self, reason: str) -> None:
        """Answer HandshakeRequested with a refusal, which ends the session.

        Args:
            reason: one of handshake.REFUSAL_REASONS.
        Raises:
            LocalProtocolError: nothing to answer, or there is no such reason.
        """
        responder, _ = self._decided()
        try:
            kind, body = responder.refuse(reason)
        except HandshakeError as fault:
            self._doom = (CloseReason.HANDSHAKE_FAILED, str(fault))
            return
        self._outbox.put(RecordType(kind), body)
        self._end(CloseReason.REFUSED, reason)

    def grant_stream(
        self, stream_id: str, parameters: StreamParameters, *, handle: int, salt: bytes
    ) -> Generation:
        """Answer OpenRequested; install the generation in the sink before the next data_to_send().

        Args:
            parameters: from negotiation.clamp().
            handle: the stream's own for its life, from negotiation.pick_handle().
            salt: 32 random bytes, fresh.
        Raises:
            LocalProtocolError: no such request (the session may have ended meanwhile), or a value
                out of range.
        """
        self._require(State.RUNNING)
        if stream_id not in self._opening:
            raise LocalProtocolError(f"the device has not asked for the stream {stream_id!r}")
        # Checked whole before the exporter is used: its uses must stay in step with the device's.
        opened = control.Opened(
            stream=stream_id,
            handle=handle,
            generation=parameters.generation,
            parameters=parameters.encode(),
            salt=salt,
            confirm=bytes(constants.CONFIRM_BYTES),
        )
        exporter = self._transport().exporter
        generation = Generation.derive(
            self._opening.pop(stream_id),
            parameters,
            initial_secret=exporter.initial_secret(stream_id, parameters.generation),
            salt=salt,
            handle=handle,
        )
        self._send(replace(opened, confirm=generation.confirm))
        return generation

    def refuse_stream(self, stream_id: str, reason: str, detail: str = "") -> None:
        """Answer OpenRequested with a refusal.

        Args:
            reason, detail: a word and a sentence, 0..200 bytes each; NegotiationError has both.
        Raises:
            LocalProtocolError: no such request, or a text too long.
        """
        self._require(State.RUNNING)
        if stream_id not in self._opening:
            raise LocalProtocolError(f"the device has not asked for the stream {stream_id!r}")
        self._send(control.Refused(stream=stream_id, reason=reason, detail=detail))
        del self._opening[stream_id]

    def answer_offer(
        self, handle: int, generation: int, *, accepted: bool, reason: str = ""
    ) -> None:
        """Answer OfflineGenerationOffered; where accepted, install the generation first.

        Raises:
            LocalProtocolError: no such offer, or the reason is over 200 bytes.
        """
        self._require(State.RUNNING)
        if (handle, generation) not in self._offered:
            raise LocalProtocolError("the device has not offered this generation")
        self._answer_offer(handle, generation, accepted=accepted, reason=reason)
        self._offered.remove((handle, generation))

    def report(self, rows: Sequence[ReportRow]) -> None:
        """Tell what the sink opened and refused; about every second, for streams with news only.

        Raises:
            LocalProtocolError: not running, or a number out of range.
        """
        self._require(State.RUNNING)
        for start in range(0, len(rows), control.REPORT_ROWS_MAX):
            part = tuple(rows[start : start + control.REPORT_ROWS_MAX])
            self._send(control.Report(streams=part))

    def resync(self, handle: int, generation: int, reason: str, monotonic_ns: int) -> bool:
        """Ask to open a stream again, as its segments cannot be opened.

        Call it where at least 8 segments were refused as key_hash, generation or exhausted in the
        last second and none was opened (section 7.3).

        Returns:
            False, and nothing is sent, within 5 s after the last for this stream.
        Raises:
            LocalProtocolError: not running, or a value out of range.
        """
        self._require(State.RUNNING)
        message = control.Resync(handle=handle, generation=generation, reason=reason)
        throttle = self._resyncs.setdefault(handle, Throttle(doubles=False))
        if not throttle.allow(monotonic_ns):
            return False
        self._send(message)
        return True

    def rekey(self, handle: int) -> None:
        """Ask for a new generation of a stream.

        Raises:
            LocalProtocolError: not running, or the handle is out of range.
        """
        self._require(State.RUNNING)
        self._send(control.Rekey(handle=handle))

    def send_stored_until(self, handle: int, generation: int, frame_until: int) -> None:
        """Tell that all frames below are on disk, or will never be: the device may delete them.

        Raises:
            LocalProtocolError: not running, or a number out of range.
        """
        self._require(State.RUNNING)
        self._send(
            control.StoredUntil(handle=handle, generation=generation, frame_until=frame_until)
        )

    def revoke(self) -> None:
        """Tell the device that it is revoked, if the session has started, and end it."""
        if self.is_closed:
            return
        if self._liveness is not None:
            self._send(control.Revoked())
        self._end(CloseReason.REVOKED, "this device was revoked")

    # --- What the device sends ---

    def _on_handshake(self, kind: RecordType, body: bytes, now: ClockInterval) -> list[Event]:
        if self._responder is None:
            return []
        try:
            self._first = first = self._responder.read_first(kind, body)
        except ConfigError as fault:
            return [self._end(CloseReason.HANDSHAKE_FAILED, str(fault))]
        return [
            ev.HandshakeRequested(
                static_public=first.device_public,
                invite_id=first.invite_id or None,
                hybrid=first.hybrid,
            )
        ]

    def _on_data(self, body: bytes) -> list[Event]:
        self._require_source()
        return [ev.SegmentsReceived(segments=tuple(unpack_segments(body)))]

    def _on_message(self, message: Message, now: ClockInterval, monotonic_ns: int) -> list[Event]:
        match message:
            case control.Hello():
                return self._take_role(message) or [self._on_hello(message, now, monotonic_ns)]
            case control.Stored():
                return [ev.DeviceStored()]
            case control.Subscribe() | control.Recall():
                return [self._on_sink_message(message)]
            case _:
                self._require_source()
                return self._on_stream_message(message)

    def _on_stream_message(self, message: Message) -> list[Event]:
        match message:
            case control.Open():
                return [self._on_open(message)]
            case control.Offer():
                return self._on_offer(message)
            case control.Close(handle=handle, generation=number):
                self._resyncs.pop(handle, None)
                return [ev.StreamClosed(handle=handle, generation=number)]
            case control.Backfill(handle=handle, generation=number, ticks=ticks, frames=frames):
                announced = ev.BackfillAnnounced(
                    handle=handle, generation=number, ticks=ticks, frames=frames
                )
                return [announced]
            case control.Backfilled(handle=handle, generation=number):
                return [ev.BackfillFinished(handle=handle, generation=number)]
            case _:
                raise RemoteProtocolError("a message that only a controller sends")

    def _on_hello(self, hello: control.Hello, now: ClockInterval, monotonic_ns: int) -> Event:
        self._suites = hello.suites
        self._send(replace(self._welcome, tai=control.tai(now)))
        if self._enrolling is not None:
            self._psk = self._transport().exporter.device_psk()
            self._send(control.Enrolled(device=self._enrolling))
            self._state = State.STORING
        self._start(monotonic_ns)
        return ev.SessionStarted(
            hello=hello, device_psk=self._psk if self._enrolling is not None else None
        )

    def _on_open(self, message: control.Open) -> Event:
        metadata = StreamMetadata.decode(message.metadata)
        if metadata.id in self._opening or len(self._opening) >= PENDING_MAX:
            raise RemoteProtocolError("open while this stream, or too many, are being opened")
        self._opening[metadata.id] = metadata
        wish = message.wish
        if not wish.suites:
            wish = replace(wish, suites=self._suites)
        return ev.OpenRequested(metadata=metadata, wish=wish)

    def _on_offer(self, message: control.Offer) -> list[Event]:
        if self._first is None:
            return []
        try:
            offer = open_offline_generation(
                message.blob,
                private=self._private_key,
                device_public=self._first.device_public,
                psk=self._psk,
            )
            metadata = StreamMetadata.decode(offer.metadata)
            parameters = StreamParameters.decode(offer.parameters)
        except RemoteProtocolError:
            # Not the end: a spool may hold what was sealed under an identity of before.
            self.counters["unreadable_offer"] += 1
            self._answer_offer(0, 0, accepted=False, reason="unreadable")
            return []
        key = (offer.handle, parameters.generation)
        if key in self._offered or len(self._offered) >= PENDING_MAX:
            raise RemoteProtocolError("offer while this generation, or too many, are unanswered")
        self._offered.add(key)
        generation = Generation.derive(
            metadata,
            parameters,
            initial_secret=offer.secret,
            salt=offer.salt,
            handle=offer.handle,
        )
        return [ev.OfflineGenerationOffered(handle=offer.handle, generation=generation)]

    def _on_round_trip(self, trip: RoundTrip) -> list[Event]:
        self.round_trip = trip
        return []

    def _answer_offer(self, handle: int, generation: int, *, accepted: bool, reason: str) -> None:
        self._send(
            control.Offered(handle=handle, generation=generation, accepted=accepted, reason=reason)
        )

    def _decided(self) -> tuple[Responder, FirstRecord]:
        self._require(State.DECIDING)
        if self._responder is None or self._first is None:
            raise LocalProtocolError("there is no handshake to answer")
        return self._responder, self._first

    def _forget(self) -> None:
        self._psk = b""
        if self._responder is not None:
            self._responder.clear()
