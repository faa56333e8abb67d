"""A device and a gateway in one process: the test moves the bytes and the time."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tickseal import cbor, primitives
from tickseal.clock import ClockDiscipline, ClockInterval
from tickseal.sessions import control
from tickseal.sessions import events as ev
from tickseal.sessions.controller_session import ControllerSession
from tickseal.sessions.negotiation import AcceptancePolicy, NegotiationPolicy, Wish, clamp
from tickseal.sessions.records import RecordType, encode_record
from tickseal.sessions.session import Session
from tickseal.sessions.sink_session import SinkSession
from tickseal.sessions.source_session import Credentials, SourceSession
from tickseal.streams.generation import Generation
from tickseal.streams.metadata import StreamMetadata
from tickseal.streams.parameters import StreamParameters

SECOND = 10**9


class Conversation:
    """Both ends, the bytes between them, and an application at each that does the usual."""

    DEVICE, GATEWAY, PSK = b"d" * 32, b"g" * 32, b"p" * 32
    GATEWAY_PUBLIC = primitives.x25519_public(GATEWAY)
    CREDENTIALS = Credentials(private_key=DEVICE, gateway_key=GATEWAY_PUBLIC, psk=PSK, hybrid=False)
    STREAM = StreamMetadata(id="porch/temperature", type="temperature", unit="Cel")
    HANDLE = 0xA1B2C3D4
    START_NS = 1_700_000_000 * SECOND

    def __init__(
        self,
        credentials: Credentials = CREDENTIALS,
        *,
        sink: bool = False,
        source: dict[str, Any] | None = None,
        controller: dict[str, Any] | None = None,
    ) -> None:
        self.monotonic_ns = 0
        #: How far the gateway's clock is ahead of the device's.
        self.ahead_ns = 0
        shared = {"random_bytes": random.Random(1).randbytes, "monotonic_ns": 0}
        ours: dict[str, Any] = {"name": "porch", "software": "test 1"}
        theirs = {"name": "shed", "udp_port": 4711, "private_key": self.GATEWAY}
        ours |= {"suites": (1, 2)} if sink else {"policy": AcceptancePolicy()}
        device: type[Any] = SinkSession if sink else SourceSession
        #: The device's end, whichever its role.
        self.source: Any = device(credentials=credentials, **(shared | ours | (source or {})))
        self.controller = ControllerSession(**(shared | theirs | (controller or {})))
        self.decide: Callable[[ev.HandshakeRequested], None] = lambda request: (
            self.controller.accept(
                self.PSK, enrolling="porch-1" if request.invite_id is not None else None
            )
        )
        self.alter: Callable[[StreamParameters], StreamParameters] = lambda granted: granted
        self.numbers = iter(range(100, 200))
        self.granted: list[Generation] = []
        self.at_source: list[ev.Event] = []
        self.at_controller: list[ev.Event] = []
        self.cut: Callable[[bytes], Iterator[bytes]] = lambda data: iter([data])

    def now(self, session: Session) -> ClockInterval:
        ahead = self.ahead_ns if session is self.controller else 0
        at_ns = self.START_NS + self.monotonic_ns + ahead
        return ClockInterval.around(at_ns, 1000, ClockDiscipline.NTP)

    def give(self, session: Session, data: bytes) -> list[ev.Event]:
        """Let a session receive bytes, in pieces; return what happened there."""
        found: list[ev.Event] = []
        for piece in self.cut(data) if data else iter([b""]):
            found += session.receive(piece, self.now(session), self.monotonic_ns)
        self.note(session, found)
        return found

    def note(self, session: Session, found: list[ev.Event]) -> None:
        (self.at_source if session is self.source else self.at_controller).extend(found)
        for event in found:
            if isinstance(event, ev.HandshakeRequested):
                self.decide(event)
            elif isinstance(event, ev.OpenRequested):
                self.grant(event)
            elif isinstance(event, ev.Enrolled):
                self.source.confirm_stored()

    def grant(self, request: ev.OpenRequested) -> None:
        number = next(self.numbers)
        granted = clamp(
            request.wish, NegotiationPolicy(), now=self.now(self.controller), generation=number
        )
        generation = self.controller.grant_stream(
            request.metadata.id,
            self.alter(granted),
            handle=self.HANDLE,
            salt=number.to_bytes(32, "big"),
        )
        self.granted.append(generation)

    def talk(self) -> "Conversation":
        """Carry bytes both ways until there are none."""
        while True:
            up, down = self.source.data_to_send(), self.controller.data_to_send()
            if up:
                self.give(self.controller, up)
            if down:
                self.give(self.source, down)
            if not up and not down:
                return self

    def wait(self, seconds: float, *, deliver: bool = True) -> None:
        """Let time pass, with every deadline kept; where not delivered, the wire is dead."""
        until = self.monotonic_ns + int(seconds * SECOND)
        while True:
            due = [(s, s.next_deadline_ns()) for s in (self.source, self.controller)]
            first = min((at for _, at in due if at is not None), default=until + 1)
            if first > until:
                break
            self.monotonic_ns = max(first, self.monotonic_ns)
            for session, at in due:
                if at is not None and at <= self.monotonic_ns:
                    self.note(session, session.on_deadline(self.now(session), self.monotonic_ns))
            if deliver:
                self.talk()
        self.monotonic_ns = until

    def open(self, wish: Wish | None = None) -> "Conversation":
        assert self.source.open_stream(self.STREAM, wish or Wish())
        return self.talk()

    def inject(self, session: Session, message: control.Message | dict[str, Any]) -> list[ev.Event]:
        """Send what the other end's application would not, sealed as if it had."""
        other = self.controller if session is self.source else self.source
        plain = cbor.encode(message) if isinstance(message, dict) else control.encode(message)
        return self.give(
            session, encode_record(RecordType.CONTROL, other._transport().send.seal(plain))
        )

    def seen(self, session: Session, kind: type[Any]) -> list[Any]:
        """Return the events of a kind, in order."""
        events = self.at_source if session is self.source else self.at_controller
        return [event for event in events if isinstance(event, kind)]

    def one(self, session: Session, kind: type[Any]) -> Any:
        """Return the one event of a kind."""
        (event,) = self.seen(session, kind)
        return event

    def end(self, session: Session) -> ev.CloseReason:
        """Return why a session ended; that must be its last event, and there but once."""
        closed: ev.SessionClosed = self.one(session, ev.SessionClosed)
        assert (self.at_source if session is self.source else self.at_controller)[-1] is closed
        assert session.is_closed
        assert session.next_deadline_ns() is None
        return closed.reason


@pytest.fixture(scope="session")
def conversation() -> type[Conversation]:
    return Conversation
