"""What both ends of a connection share: records in, events out, pings, silence and the end."""

import enum
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping

from tickseal.clock import ClockInterval
from tickseal.core.errors import HandshakeError, LocalProtocolError, RemoteProtocolError
from tickseal.handshake import Established
from tickseal.sessions import events as ev
from tickseal.sessions.control import (
    Alarm,
    Bye,
    Message,
    Ping,
    Pong,
    Unknown,
    decode,
    encode,
    message_name,
    tai,
)
from tickseal.sessions.events import CloseReason, Event, SessionClosed
from tickseal.sessions.liveness import Liveness, RoundTrip
from tickseal.sessions.outbox import Lane, Outbox
from tickseal.sessions.records import RecordReader, RecordType

#: Specification: from the connection until welcome (device) or hello (controller), ns.
HANDSHAKE_NS = 10_000_000_000


class State(enum.Enum):
    """Where a session stands."""

    #: Device: the answer is awaited. Controller: the first record is.
    HANDSHAKE = "in the handshake"
    #: Controller: the application decides whether to accept.
    DECIDING = "before the handshake is answered"
    #: Device: welcome is awaited. Controller: hello is.
    GREETING = "before the session has started"
    #: Device: enrolled is awaited.
    ENROLLING = "while enrolling"
    #: The device's application puts the new identity on disk.
    STORING = "before the identity is stored"
    #: Streams can be opened.
    RUNNING = "while running"
    #: Over.
    CLOSED = "after the end"


#: What may be received, by state, and the state that follows.
Table = Mapping[State, Mapping[type[Message] | RecordType, State]]


class Session(ABC):
    """One connection, without I/O: the part that is the same on both sides.

    The shell gives what it reads to receive(), handles the events, and writes data_to_send() until
    it is empty; at next_deadline_ns() it calls on_deadline() and does the same. After SessionClosed
    it writes once more, then closes the connection.

    Attributes:
        counters: messages and answers that were ignored, by kind.
    """

    _table: Table

    def __init__(self, monotonic_ns: int) -> None:
        self.counters: Counter[str] = Counter()
        self._state = State.HANDSHAKE
        self._reader = RecordReader()
        self._outbox = Outbox()
        self._established: Established | None = None
        self._liveness: Liveness | None = None
        self._handshake_until_ns = monotonic_ns + HANDSHAKE_NS
        # A reason to end that was met where no events can be given.
        self._doom: tuple[CloseReason, str] | None = None
        self._last_words = b""

    # --- What the shell calls ---

    @property
    def state(self) -> State:
        """Where the session stands."""
        return self._state

    @property
    def is_closed(self) -> bool:
        """Whether the session is over."""
        return self._state is State.CLOSED

    @property
    def clock_disagrees(self) -> bool:
        """Whether the last clock check found the clocks apart."""
        return self._liveness is not None and self._liveness.disagrees

    def receive(self, data: bytes, now: ClockInterval, monotonic_ns: int) -> list[Event]:
        """Take in what the connection gave; any bytes are allowed.

        Args:
            data: as read; empty where the peer has ended the connection.
            now: the clock, read when the data was.
            monotonic_ns: the monotonic clock, read when the data was.
        Returns:
            What happened, in order. Nothing after the end.
        """
        found: list[Event] = []
        if self._is_ending(found):
            return found
        if not data:
            found.append(self._end(*self._disconnected()))
            return found
        try:
            for kind, body in self._reader.feed(data):
                found += self._on_record(kind, body, now, monotonic_ns)
                if self.is_closed:
                    break
        except HandshakeError as fault:
            found.append(self._end(CloseReason.HANDSHAKE_FAILED, str(fault)))
        except RemoteProtocolError as fault:
            if self._liveness is not None:
                self._send(Bye(reason=CloseReason.PROTOCOL.value))
            found.append(self._end(CloseReason.PROTOCOL, str(fault)))
        return found

    def data_to_send(self) -> bytes:
        """Return the bytes to write next; call again, once they are written, until there are none.

        All control, and of waiting segments about 64 KiB at a time, so that pings overtake them.
        """
        if self._last_words:
            words, self._last_words = self._last_words, b""
            return words
        return self._outbox.take(self._seal)

    def next_deadline_ns(self) -> int | None:
        """Return when to call on_deadline(), monotonic ns, as of now; None after the end."""
        if self.is_closed:
            return None
        if self._doom is not None:
            return 0
        if self._liveness is None:
            return self._handshake_until_ns
        return self._liveness.next_deadline_ns()

    def on_deadline(self, now: ClockInterval, monotonic_ns: int) -> list[Event]:
        """Do what is due; nothing happens where it is called early.

        Args: as of receive().
        """
        found: list[Event] = []
        if self._is_ending(found):
            return found
        if self._liveness is None:
            if monotonic_ns >= self._handshake_until_ns:
                where = f"the peer sent nothing more for 10 s {self._state.value}"
                found.append(self._end(CloseReason.HANDSHAKE_TIMEOUT, where))
        elif self._liveness.is_silent(monotonic_ns):
            found.append(self._end(CloseReason.SILENT, "nothing was heard from the peer for 10 s"))
        elif (ping := self._liveness.ping(now, monotonic_ns)) is not None:
            self._send(ping)
        return found

    def alarm(self, reason: str, detail: str = "") -> None:
        """Tell the peer of something that people should know; reason is one word of 1..64 bytes.

        Raises:
            LocalProtocolError: the session has not started or is over, or a text is too long.
        """
        self._require(State.STORING, State.RUNNING)
        self._send(Alarm(reason=reason, detail=detail))

    def close(self, reason: str = "done") -> None:
        """End the session in order, with bye as the last to be sent; waiting segments are dropped.

        Args:
            reason: one word for the peer, 1..64 bytes.
        """
        if self.is_closed:
            return
        if self._liveness is not None:
            self._send(Bye(reason=reason))
        self._end(CloseReason.BYE, reason)

    # --- What subclasses use and give ---

    @abstractmethod
    def _on_handshake(self, kind: RecordType, body: bytes, now: ClockInterval) -> list[Event]: ...

    @abstractmethod
    def _on_data(self, body: bytes) -> list[Event]: ...

    def _on_stream_data(self, body: bytes) -> list[Event]:
        raise RemoteProtocolError("segments of one stream are for a sink")

    @abstractmethod
    def _on_message(
        self, message: Message, now: ClockInterval, monotonic_ns: int
    ) -> list[Event]: ...

    @abstractmethod
    def _on_round_trip(self, trip: RoundTrip) -> list[Event]: ...

    def _disconnected(self) -> tuple[CloseReason, str]:
        return CloseReason.DISCONNECTED, f"the peer ended the connection {self._state.value}"

    @abstractmethod
    def _forget(self) -> None: ...

    def _require(self, *states: State) -> None:
        if self._state not in states:
            raise LocalProtocolError(f"this cannot be done {self._state.value}")

    def _send(self, message: Message, lane: Lane = Lane.CONTROL) -> None:
        if not self._outbox.put(RecordType.CONTROL, encode(message), lane):
            self._doom = (CloseReason.OVERFLOW, "the peer does not read what is sent to it")

    def _transport(self) -> Established:
        if self._established is None:
            raise RemoteProtocolError("a control message before the handshake")
        return self._established

    def _start(self, monotonic_ns: int) -> None:
        self._liveness = Liveness(monotonic_ns)

    def _end(self, reason: CloseReason, detail: str) -> SessionClosed:
        self._state = State.CLOSED
        self._outbox.drop_segments()
        self._last_words = self._outbox.take(self._seal)
        if self._established is not None:
            self._established.clear()
        self._forget()
        return SessionClosed(reason=reason, detail=detail)

    # --- Private ---

    def _is_ending(self, found: list[Event]) -> bool:
        if self._doom is not None and not self.is_closed:
            found.append(self._end(*self._doom))
        return self.is_closed

    def _seal(self, plain: bytes) -> bytes:
        return self._transport().send.seal(plain)

    def _on_record(
        self, kind: RecordType, body: bytes, now: ClockInterval, monotonic_ns: int
    ) -> list[Event]:
        if kind is RecordType.CONTROL:
            return self._on_control(body, now, monotonic_ns)
        self._advance(kind, kind.name)
        if kind is RecordType.DATA:
            return self._on_data(body)
        if kind is RecordType.STREAM_DATA:
            return self._on_stream_data(body)
        return self._on_handshake(kind, body, now)

    def _on_control(self, body: bytes, now: ClockInterval, monotonic_ns: int) -> list[Event]:
        message = decode(self._transport().receive.open(body))
        if isinstance(message, Unknown):
            if self._liveness is None:
                raise RemoteProtocolError("an unknown message before the session has started")
            self._liveness.heard(monotonic_ns)
            self.counters["unknown_message"] += 1
            return []
        self._advance(type(message), message_name(type(message)))
        if self._liveness is not None:
            self._liveness.heard(monotonic_ns)
        match message:
            case Ping():
                self._send(Pong(n=message.n, tai=tai(now), discipline=now.discipline))
                return []
            case Pong():
                return self._on_pong(message, now, monotonic_ns)
            case Alarm():
                return [ev.AlarmRaised(reason=message.reason, detail=message.detail)]
            case Bye():
                return [self._end(CloseReason.BYE, message.reason)]
            case _:
                return self._on_message(message, now, monotonic_ns)

    def _advance(self, trigger: type[Message] | RecordType, name: str) -> None:
        following = self._table[self._state].get(trigger)
        if following is None:
            raise RemoteProtocolError(f"{name} is not allowed {self._state.value}")
        self._state = following

    def _on_pong(self, pong: Pong, now: ClockInterval, monotonic_ns: int) -> list[Event]:
        if self._liveness is None:
            return []
        trip = self._liveness.pong(pong, now, monotonic_ns)
        if trip is None:
            self.counters["late_pong"] += 1
            return []
        found = self._on_round_trip(trip)
        change = self._liveness.check_clock(trip)
        if change is not None:
            found.append(change[0])
            self._send(change[1])
        return found
