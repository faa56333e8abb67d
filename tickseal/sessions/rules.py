"""Rules: what a value in a control message may be, and its form on the wire (section 7)."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from tickseal.clock import ClockDiscipline
from tickseal.core import constants
from tickseal.sessions.negotiation import Wish, is_suite_list

_U32, _U64 = (1 << 32) - 1, (1 << 64) - 1


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Rule:
    """What a value may be, and its form on the wire.

    Args:
        says: what it may be, for an error.
        accepts: tells whether a value, in its form in memory, is allowed.
        load: from the wire; passes on what it cannot take, which `accepts` then refuses.
        dump: to the wire.
    """

    says: str
    accepts: Callable[[Any], bool]
    load: Callable[[Any], Any] = _same
    dump: Callable[[Any], Any] = _same


def _is_unsigned(value: object, most: int = _U64) -> bool:
    return type(value) is int and 0 <= value <= most


def _unsigned(most: int, least: int = 0) -> Rule:
    return Rule(f"{least}..{most}", lambda value: _is_unsigned(value, most) and value >= least)


def _text(least: int, most: int) -> Rule:
    def accepts(value: object) -> bool:
        if type(value) is not str or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in value):
            return False
        # A lone surrogate makes three bytes here, and is refused by the encoder.
        return least <= len(value.encode("utf-8", "surrogatepass")) <= most

    return Rule(f"text of {least}..{most} bytes without control characters", accepts)


def _bytes(least: int, most: int) -> Rule:
    return Rule(
        f"{least}..{most} bytes",
        lambda value: type(value) is bytes and least <= len(value) <= most,
    )


def _tuple(value: object) -> object:
    return tuple(value) if type(value) is list else value


def _range() -> Rule:
    def accepts(value: object) -> bool:
        return (
            isinstance(value, tuple)
            and len(value) == 2
            and all(_is_unsigned(end) for end in value)
            and value[0] <= value[1]
        )

    return Rule("two ascending integers of 64 bits", accepts, _tuple, list)


def rows_of(kind: Callable[..., tuple[int, ...]], limits: tuple[int, ...], most: int) -> Rule:
    """Return the rule for up to `most` tuples of a kind, whose integers are 0..limit each."""

    def is_row(value: object) -> bool:
        return (
            isinstance(value, tuple)
            and len(value) == len(limits)
            and all(map(_is_unsigned, value, limits))
        )

    def load(value: object) -> object:
        if type(value) is not list:
            return value
        return tuple(
            kind(*row) if isinstance(row, list) and len(row) == len(limits) else None
            for row in value
        )

    return Rule(
        f"up to {most} rows of {len(limits)} integers",
        lambda rows: isinstance(rows, tuple) and len(rows) <= most and all(map(is_row, rows)),
        load,
        lambda rows: [list(row) for row in rows],
    )


def _nodes() -> Rule:
    def is_node(value: object) -> bool:
        match value:
            case (level, index, bytes(secret)):
                return (
                    _is_unsigned(level, constants.DEPTH_MAX)
                    and _is_unsigned(index, (1 << constants.DEPTH_MAX) - 1)
                    and len(secret) == constants.SECRET_BYTES
                )
            case _:
                return False

    most = 2 * constants.DEPTH_MAX
    return Rule(
        f"1..{most} nodes, each a level, an index and a secret of 32 bytes",
        lambda nodes: (
            isinstance(nodes, tuple) and 1 <= len(nodes) <= most and all(map(is_node, nodes))
        ),
        lambda value: tuple(map(_tuple, value)) if type(value) is list else value,
        lambda nodes: [list(node) for node in nodes],
    )


def _texts(each: Rule, most: int) -> Rule:
    return Rule(
        f"up to {most} different texts, each {each.says}",
        lambda texts: (
            isinstance(texts, tuple)
            and len(texts) <= most
            and all(map(each.accepts, texts))
            and len(set(texts)) == len(texts)
        ),
        _tuple,
        list,
    )


def one_of(kind: type[enum.Enum]) -> Rule:
    """Return the rule for a member of an enum whose values are the words on the wire."""
    words: dict[object, enum.Enum] = {member.value: member for member in kind}
    return Rule(
        f"one of {', '.join(str(word) for word in words)}",
        lambda value: isinstance(value, kind),
        lambda value: words.get(value, value) if isinstance(value, str) else value,
        lambda value: value.value,
    )


U16 = Annotated[int, _unsigned(0xFFFF)]
U32 = Annotated[int, _unsigned(_U32)]
U64 = Annotated[int, _unsigned(_U64)]
Handle = Annotated[int, _unsigned(_U32, 1)]
Flag = Annotated[bool, Rule("a bool", lambda value: type(value) is bool)]
Name = Annotated[str, _text(1, 64)]
Text = Annotated[str, _text(0, 200)]
StreamId = Annotated[str, _text(1, 128)]
Salt = Annotated[bytes, _bytes(constants.SALT_BYTES, constants.SALT_BYTES)]
#: Streams that one `subscribe` can name.
SUBSCRIBED_MAX = 64
StreamIds = Annotated[tuple[str, ...], _texts(_text(1, 128), SUBSCRIBED_MAX)]
Nodes = Annotated[tuple[tuple[int, int, bytes], ...], _nodes()]
Confirm = Annotated[bytes, _bytes(constants.CONFIRM_BYTES, constants.CONFIRM_BYTES)]
EncodedMap = Annotated[bytes, _bytes(1, constants.METADATA_MAX_BYTES)]
Blob = Annotated[bytes, _bytes(1, 8192)]
#: Longest part of a grant file in one `recalled`.
PART_MAX_BYTES = 12_288
Part = Annotated[bytes, _bytes(0, PART_MAX_BYTES)]
Range = Annotated[tuple[int, int], _range()]
Suites = Annotated[
    tuple[int, ...],
    Rule(
        "1..16 different numbers 1..255",
        is_suite_list,
        _tuple,
        lambda suites: [int(suite) for suite in suites],
    ),
]
Discipline = Annotated[ClockDiscipline, one_of(ClockDiscipline)]
WishMap = Annotated[
    Wish, Rule("a wish", lambda value: isinstance(value, Wish), Wish.from_wire, Wish.to_wire)
]
