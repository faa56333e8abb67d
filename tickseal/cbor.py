"""Deterministic CBOR (RFC 8949 section 4.2.1): the one form that tickseal writes and accepts."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias, cast

import cbor2

from tickseal.core.errors import LocalProtocolError, RemoteProtocolError

Value: TypeAlias = (
    "bool | int | float | str | bytes | list[Value] | tuple[Value, ...] | dict[str, Value] | None"
)

#: The metadata map and eight levels below it (docs/protocol.md section 2.1); nothing goes deeper.
_DEPTH_MAX = 9
_INT_MIN, _INT_MAX = -(2**64), 2**64 - 1
#: Items of one encoding: more than the largest pack of samples has. A byte can be an item, which
#: makes an object of 64 bytes in memory.
_ITEMS_MOST = 200_000


def encode(value: Value) -> bytes:
    """Return the one deterministic encoding of a value.

    Raises:
        LocalProtocolError: the value holds what the protocol does not carry.
    Source: docs/protocol.md section 1.
    """
    fault = _fault(value)
    if fault:
        raise LocalProtocolError(f"cannot encode: {fault}")
    try:
        return cbor2.dumps(value, canonical=True)
    except (UnicodeEncodeError, cbor2.CBOREncodeError):
        raise LocalProtocolError("cannot encode: text with a lone surrogate") from None


def decode(data: bytes) -> Value:
    """Return the value of an encoding that is deterministic to the byte.

    Raises:
        RemoteProtocolError: not CBOR, not deterministic, or of a type that is not carried.
    """
    if not is_plain(data):
        raise RemoteProtocolError("CBOR with a tag, an indefinite length, or too many items")
    try:
        value: Value = cbor2.loads(data)
    # The decoder reports faults by several classes, and deep nesting by RecursionError.
    except (cbor2.CBORDecodeError, ValueError, TypeError, OverflowError, RecursionError, EOFError):
        raise RemoteProtocolError("not CBOR") from None
    fault = _fault(value)
    if fault:
        raise RemoteProtocolError(f"CBOR that tickseal does not carry: {fault}")
    if cbor2.dumps(value, canonical=True) != data:
        raise RemoteProtocolError("CBOR that is not deterministic (RFC 8949 section 4.2.1)")
    return value


def decode_map(data: bytes) -> dict[str, Value]:
    """Return the map of a deterministic encoding, or raise RemoteProtocolError."""
    value = decode(data)
    if not isinstance(value, dict):
        raise RemoteProtocolError("CBOR that is not a map")
    return value


def is_plain(data: bytes) -> bool:
    """Return whether every item is of a definite length, none a tag, and they are not too many.

    The decoder acts on tags: one for shared values makes a kilobyte expand without bound, others
    parse dates, regular expressions and big numbers. So it must never see one.
    """
    position, size = 0, len(data)
    for _ in range(_ITEMS_MOST):
        if position >= size:
            return True
        major, short = data[position] >> 5, data[position] & 31
        position += 1
        count = short
        if short >= 24:
            if short > 27:
                return False
            after = position + (1 << (short - 24))
            count = int.from_bytes(data[position:after], "big")
            position = after
        if major == 6:
            return False
        if major in (2, 3):
            position += count
    return position >= size


def _fault(value: object, depth: int = 0) -> str | None:
    """Return what makes a value one that the protocol does not carry, or None."""
    kind = type(value)
    if isinstance(value, int) and kind is int:
        return None if _INT_MIN <= value <= _INT_MAX else "an integer beyond 64 bits"
    if value is None or kind in (bool, float, str, bytes):
        return None
    if depth >= _DEPTH_MAX:
        return f"nesting deeper than {_DEPTH_MAX}"
    if kind in (list, tuple):
        return _fault_of_items(cast("Sequence[object]", value), depth + 1)
    if kind is dict:
        content = cast("dict[object, object]", value)
        if any(type(key) is not str for key in content):
            return "a map key that is not text"
        return _fault_of_items(content.values(), depth + 1)
    return f"a value of type {kind.__name__}"


def _fault_of_items(items: Iterable[object], depth: int) -> str | None:
    return next(filter(None, (_fault(item, depth) for item in items)), None)
