"""Control messages, to and from deterministic CBOR (docs/protocol.md section 7).

The classes are the table: a field's name is its wire key, its annotation the rule for its value.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple, TypeVar, dataclass_transform, get_type_hints

from tickseal import cbor
from tickseal.clock import ClockInterval
from tickseal.core import constants
from tickseal.core.errors import LocalProtocolError, RemoteProtocolError
from tickseal.sessions.rules import (
    U16,
    U32,
    U64,
    Blob,
    Confirm,
    Discipline,
    EncodedMap,
    Flag,
    Handle,
    Name,
    Nodes,
    Part,
    Range,
    Rule,
    Salt,
    StreamId,
    StreamIds,
    Suites,
    Text,
    WishMap,
    one_of,
    rows_of,
)

#: Rows in one report; more take more messages. 256 rows of 42 bytes fit into a message.
REPORT_ROWS_MAX = 256
_U32, _U64 = (1 << 32) - 1, (1 << 64) - 1


class Role(enum.Enum):
    """What a device is; the values are the words on the wire."""

    #: It seals.
    SOURCE = "source"
    #: It opens, by grants.
    SINK = "sink"


class ReportRow(NamedTuple):
    """What a sink made of one generation."""

    #: u32.
    handle: int
    #: u64.
    generation: int
    #: 1 + the highest frame number opened; 0 before the first.
    frame_until: int
    #: Frames opened.
    opened: int
    #: Segments refused.
    refused: int


class Message:
    """A control message. Fields are checked on making: an invalid one cannot exist.

    Raises:
        LocalProtocolError: a field breaks its rule.
    """

    __slots__ = ()

    def __post_init__(self) -> None:
        """Check every field by its rule."""
        for key, rule in _RULES[type(self)].items():
            if not rule.accepts(getattr(self, key)):
                raise LocalProtocolError(f"{_NAMES[type(self)]}: {key} must be {rule.says}")


_M = TypeVar("_M", bound=Message)
_BY_NAME: dict[str, type[Message]] = {}
_NAMES: dict[type[Message], str] = {}
_RULES: dict[type[Message], dict[str, Rule]] = {}


@dataclass_transform(frozen_default=True, kw_only_default=True)
def _message(name: str) -> Callable[[type[_M]], type[_M]]:
    def register(plain: type[_M]) -> type[_M]:
        made = dataclass(frozen=True, slots=True, kw_only=True)(plain)
        hints = get_type_hints(made, include_extras=True)
        _BY_NAME[name] = made
        _NAMES[made] = name
        _RULES[made] = {key: hint.__metadata__[0] for key, hint in hints.items()}
        return made

    return register


@_message("hello")
class Hello(Message):
    """The device's first transport message; the session counts from here."""

    role: Annotated[Role, one_of(Role)]
    name: Name
    software: Name
    suites: Suites
    tai: Range
    discipline: Discipline


@_message("welcome")
class Welcome(Message):
    """The controller's answer to hello; udp is a port, or 0."""

    name: Text
    tai: Range
    udp: U16


@_message("enrolled")
class Enrolled(Message):
    """Right after welcome, in an enrolment session only: the device's name."""

    device: Text


@_message("stored")
class Stored(Message):
    """The device has its identity on disk."""


@_message("ping")
class Ping(Message):
    """Every 2 s, from both."""

    n: U64
    tai: Range
    discipline: Discipline


@_message("pong")
class Pong(Message):
    """At once, with the n of the ping."""

    n: U64
    tai: Range
    discipline: Discipline


@_message("alarm")
class Alarm(Message):
    """Something that people should know."""

    reason: Text
    detail: Text


@_message("revoked")
class Revoked(Message):
    """The device is revoked."""


@_message("bye")
class Bye(Message):
    """An orderly end."""

    reason: Text


@_message("open")
class Open(Message):
    """The device wants a generation of a stream."""

    metadata: EncodedMap
    wish: WishMap


@_message("opened")
class Opened(Message):
    """The sink holds the generation."""

    stream: StreamId
    handle: Handle
    generation: U64
    parameters: EncodedMap
    salt: Salt
    confirm: Confirm


@_message("refused")
class Refused(Message):
    """The stream is not opened."""

    stream: StreamId
    reason: Text
    detail: Text


@_message("close")
class Close(Message):
    """The device is done with a generation, or does not take it."""

    handle: Handle
    generation: U64


@_message("report")
class Report(Message):
    """What the sink opened and refused."""

    streams: Annotated[
        tuple[ReportRow, ...],
        rows_of(ReportRow, (_U32, _U64, _U64, _U64, _U64), REPORT_ROWS_MAX),
    ]


@_message("resync")
class Resync(Message):
    """Segments arrive that the sink cannot open."""

    handle: Handle
    generation: U64
    reason: Text


@_message("rekey")
class Rekey(Message):
    """The controller wants a new generation."""

    handle: Handle


@_message("offer")
class Offer(Message):
    """An offline generation (section 6.4)."""

    blob: Blob


@_message("offered")
class Offered(Message):
    """Whether it is taken; handle and generation are 0 where it cannot be read."""

    handle: U32
    generation: U64
    accepted: Flag
    reason: Text


@_message("backfill")
class Backfill(Message):
    """What the next data records hold; half-open ranges."""

    handle: Handle
    generation: U64
    ticks: Range
    frames: Range


@_message("stored_until")
class StoredUntil(Message):
    """All frames below are on disk at the sink, or will never be."""

    handle: Handle
    generation: U64
    frame_until: U64


@_message("backfilled")
class Backfilled(Message):
    """Nothing more follows in this generation."""

    handle: Handle
    generation: U64


@_message("subscribe")
class Subscribe(Message):
    """What a sink wants to read; nothing named stands for all that it may. Replaces the last."""

    streams: StreamIds


@_message("grant")
class Grant(Message):
    """The keys of a span of ticks of one generation; frames below frame_from are not for it."""

    device: Text
    handle: Handle
    metadata: EncodedMap
    parameters: EncodedMap
    ticks: Range
    frame_from: U64
    nodes: Nodes = field(repr=False)


@_message("withdrawn")
class Withdrawn(Message):
    """The sink erases what it holds of a generation."""

    handle: Handle
    generation: U64
    reason: Text


@_message("recall")
class Recall(Message):
    """A sink wants what was recorded of a stream within a span of time."""

    stream: StreamId
    tai: Range


@_message("recalled")
class Recalled(Message):
    """The next part of the grant file that answers a recall; a reason where it ends without."""

    stream: StreamId
    part: Part = field(repr=False)
    last: Flag
    reason: Text


class Unknown(NamedTuple):
    """A message of a later version: to be ignored and counted."""


def message_name(kind: type[Message]) -> str:
    """Return the word that names a kind of message on the wire."""
    return _NAMES[kind]


def encode(message: Message) -> bytes:
    """Return the deterministic CBOR map of a message.

    Raises:
        LocalProtocolError: it is over 16384 bytes.
    """
    kind = type(message)
    content: dict[str, cbor.Value] = {
        key: rule.dump(getattr(message, key)) for key, rule in _RULES[kind].items()
    }
    content["m"] = _NAMES[kind]
    data = cbor.encode(content)
    if len(data) > constants.CONTROL_MAX_BYTES:
        raise LocalProtocolError(f"a control message of {len(data)} bytes; 16384 are allowed")
    return data


def decode(data: bytes) -> Message | Unknown:
    """Return the message of a map.

    Raises:
        RemoteProtocolError: too long, not deterministic CBOR, no map with `m`, a key missing or
            unknown, or a value that breaks its rule.
    """
    if len(data) > constants.CONTROL_MAX_BYTES:
        raise RemoteProtocolError("a control message over 16384 bytes")
    content = cbor.decode_map(data)
    name = content.pop("m", None)
    if not isinstance(name, str):
        raise RemoteProtocolError("a control message without a name")
    kind = _BY_NAME.get(name)
    if kind is None:
        return Unknown()
    rules = _RULES[kind]
    if content.keys() != rules.keys():
        raise RemoteProtocolError(f"{name} with a key missing or unknown")
    loaded = {key: rule.load(content[key]) for key, rule in rules.items()}
    try:
        return kind(**loaded)
    except LocalProtocolError as fault:
        raise RemoteProtocolError(f"control message not accepted: {fault}") from None


def tai(now: ClockInterval) -> tuple[int, int]:
    """Return a clock reading as messages carry it."""
    return (now.earliest_ns, now.latest_ns)


def clock_of(message: Hello | Ping | Pong) -> ClockInterval:
    """Return the reading that a message carries."""
    earliest, latest = message.tai
    return ClockInterval(earliest_ns=earliest, latest_ns=latest, discipline=message.discipline)
