"""What the sessions report to the application: frozen values, one a fact."""

import enum
from dataclasses import dataclass, field

from tickseal.clock import ClockDiscipline, ClockInterval
from tickseal.sessions.control import Hello, ReportRow
from tickseal.sessions.negotiation import Wish
from tickseal.streams.generation import Generation
from tickseal.streams.metadata import StreamMetadata


class CloseReason(enum.StrEnum):
    """Why a session ended."""

    #: The peer said bye; the detail is its reason.
    BYE = "bye"
    #: The connection ended without a bye.
    DISCONNECTED = "disconnected"
    #: The handshake was not done after 10 s.
    HANDSHAKE_TIMEOUT = "handshake_timeout"
    #: A handshake message did not authenticate: another key, another PSK, or altered bytes.
    HANDSHAKE_FAILED = "handshake_failed"
    #: The gateway refused the handshake, and proved that it is the gateway.
    REFUSED = "refused"
    #: The gateway revoked this device.
    REVOKED = "revoked"
    #: The device is enrolled as a source and says that it is a sink, or the other way.
    ROLE = "role"
    #: Nothing authentic was heard from the peer for 10 s.
    SILENT = "silent"
    #: The peer sent what the protocol does not allow.
    PROTOCOL = "protocol"
    #: The peer does not read what it makes this side send.
    OVERFLOW = "overflow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that a session reports."""


# --- Both sides ---


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClosed(Event):
    """The session is over: the last event, given once. Write data_to_send(), then close.

    Not given after the application's own close() or revoke().

    Args:
        detail: for people; it holds no secret. Text of the peer only where it was authenticated.
    """

    reason: CloseReason
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockDisagreement(Event):
    """From now on the clocks disagree beyond all stated uncertainties (section 7.5).

    Args:
        peer: the interval that the peer stated in its pong.
        local: from the earliest at which the ping was sent to the latest at which the pong was
            received.
        apart_ns: the gap between the two, ns, at least 1; positive where the peer is ahead, else
            negative.
    """

    peer: ClockInterval
    local: ClockInterval
    apart_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockAgreement(Event):
    """The clocks agree again, after a ClockDisagreement."""

    peer: ClockInterval
    local: ClockInterval


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRaised(Event):
    """The peer raised an alarm: "clock", "clock_agrees", or another word."""

    reason: str
    detail: str


# --- At the device ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcomed(Event):
    """The gateway has answered hello: the session stands.

    Args:
        gateway: the name by which the gateway calls itself.
        udp_port: where it takes segments by UDP; 0 where it takes them on this connection only.
        clock: its clock on sending, discipline NONE as it is not told; a first hint, GatewayTime is
            better.
    """

    gateway: str
    udp_port: int
    clock: ClockInterval


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled(Event):
    """The device has an identity: put it on disk, then call confirm_stored().

    Args:
        device: the name that the gateway gave.
        device_psk: 32 bytes, for all later handshakes in place of the invite.
    """

    device: str
    device_psk: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationStarted(Event):
    """The sink holds this generation: switch to it at the next frame boundary.

    Its confirmation and the device's policy were checked.
    """

    generation: Generation
    stream_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRefused(Event):
    """No generation was started; at a sink: there is no grant for a stream that it named.

    Args:
        reason: the gateway's word ("suite", "profile", ...), or of this side "policy" (the
            parameters break the device's policy) and "confirm" (the gateway derived other keys);
            then the stream was closed.
    """

    stream_id: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported(Event):
    """What the sink opened and refused, each second for streams with news."""

    rows: tuple[ReportRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResyncRequested(Event):
    """The sink cannot open what arrives: open the stream again. Throttled (section 7.3)."""

    stream_id: str
    handle: int
    generation: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RekeyRequested(Event):
    """The controller wants a new generation: open the stream again."""

    stream_id: str
    handle: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferAnswered(Event):
    """The gateway answered an offer; handle and generation are 0 where it could not read it."""

    handle: int
    generation: int
    accepted: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredUntil(Event):
    """Frames below frame_until are on disk at the sink, or will never be: delete them."""

    handle: int
    generation: int
    frame_until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantReceived(Event):
    """A sink may open a span of a stream: install its generation, or renew the one that it holds.

    Args:
        generation: holds the epochs of the span and nothing else.
        device: name of the source.
        ticks: half-open range (from, until).
        frame_from: first frame number that may come.
    """

    generation: Generation
    device: str
    ticks: tuple[int, int]
    frame_from: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantWithdrawn(Event):
    """A sink may not open a generation any more: erase it."""

    handle: int
    generation: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallReceived(Event):
    """A part of the grant file that answers a recall, in order. Its keys lie in clear in it.

    Args:
        is_last: nothing follows.
        reason: why it ends without being whole, one word; else empty.
    """

    stream_id: str
    part: bytes = field(repr=False)
    is_last: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayTime(Event):
    """What a pong told of the gateway's time, for a device without a clock (section 7.5).

    Args:
        peer: the gateway's reading, with its discipline.
        sent_monotonic_ns, received_monotonic_ns: when the ping left and its pong came, ns.
    """

    peer: ClockInterval
    sent_monotonic_ns: int
    received_monotonic_ns: int

    @property
    def round_trip_ns(self) -> int:
        """From ping to pong, ns."""
        return self.received_monotonic_ns - self.sent_monotonic_ns

    @property
    def clock(self) -> ClockInterval:
        """TAI at received_monotonic_ns: all that the reading and the round trip allow."""
        return ClockInterval.around(
            self.peer.midpoint_ns + self.round_trip_ns // 2,
            self.peer.uncertainty_ns + (self.round_trip_ns + 1) // 2,
            ClockDiscipline.GATEWAY,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked(Event):
    """The gateway revoked this device; SessionClosed follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeRefused(Event):
    """The gateway refused, authenticated by its static key; SessionClosed follows.

    Args:
        reason: "unknown", "revoked", "expired", "used", "incompatible", "busy".
    """

    reason: str


# --- At the controller ---


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeRequested(Event):
    """A device asks for a session: answer with accept() or refuse(). It may still be a replay.

    Args:
        static_public: the device's identity, 32 bytes.
        invite_id: 8 bytes at enrolment, else None.
        hybrid: whether the handshake is the one with ML-KEM-768.
    """

    static_public: bytes
    invite_id: bytes | None
    hybrid: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStarted(Event):
    """The device's first transport message authenticated: now it may displace an older session.

    Args:
        device_psk: at enrolment the device's new PSK, 32 bytes, else None. Put it on disk before
            the next data_to_send(), which tells the device that it is enrolled. Where a device with
            an invite of its own starts a session without it, it has its identity on disk too.
    """

    hello: Hello
    device_psk: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStored(Event):
    """The device has its identity on disk: the invite is used up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRequested(Event):
    """The device wants a generation: answer with grant_stream() or refuse_stream()."""

    metadata: StreamMetadata
    wish: Wish


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribeRequested(Event):
    """A sink wants to read streams: answer with grant_span() or refuse_subscription().

    Args:
        streams: ids; none stands for all that it may read. They replace those of before.
    """

    streams: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallRequested(Event):
    """A sink wants what was recorded: answer with send_recalled(), part by part.

    Args:
        tai: half-open range (from, until), ns TAI.
    """

    stream_id: str
    tai: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineGenerationOffered(Event):
    """A generation that the device began alone: answer with answer_offer().

    The blob was sealed by this device to this gateway. Whether the handle belongs to the device,
    and whether the generation was opened before (a replay), is for the application to check.
    """

    handle: int
    generation: Generation


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentsReceived(Event):
    """Data came on the control connection: a source's, or for a sink. The views stay valid.

    Args:
        handle: of the stream that all are of; 0 where each tells its own.
    """

    segments: tuple[memoryview, ...]
    handle: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillAnnounced(Event):
    """What the next segments of this generation hold. Check that the handle is this device's.

    Args:
        ticks, frames: half-open ranges (from, until).
    """

    handle: int
    generation: int
    ticks: tuple[int, int]
    frames: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillFinished(Event):
    """Nothing more follows in this generation: erase it. Check that the handle is this device's."""

    handle: int
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamClosed(Event):
    """The device closed a generation, or did not take it. Check that the handle is its own."""

    handle: int
    generation: int
