"""Deterministic CBOR (RFC 8949 section 4.2.1): the one form in which tickseal writes and accepts it."""

from typing import TypeAlias, Union

import cbor2

from tickseal.core.errors import LocalProtocolError, RemoteProtocolError

Value: TypeAlias = Union[
    None, bool, int, float, str, bytes, list["Value"], tuple["Value", ...], dict[str, "Value"]
]

_DEPTH_MAX = 8
_INT_MIN, _INT_MAX = -(2**64), 2**64 - 1


def encode(value: Value) -> bytes:
    """Return the one deterministic encoding of a value.

    Raises:
        LocalProtocolError: the value holds what the protocol does not carry (docs/protocol.md section 1).
    """
    fault = _fault(value)
    if fault:
        raise LocalProtocolError(f"cannot encode: {fault}")
    try:
        return cbor2.dumps(value, canonical=True)
    except UnicodeEncodeError:
        raise LocalProtocolError("cannot encode: text with a lone surrogate") from None


def decode(data: bytes) -> Value:
    """Return the value of an encoding that is deterministic to the byte.

    Raises:
        RemoteProtocolError: not CBOR, not deterministic, or of a type that the protocol does not carry.
    """
    try:
        value: Value = cbor2.loads(data)
    # The decoder reports faults by several classes, and deep nesting by RecursionError.
    except (cbor2.CBORDecodeError, ValueError, TypeError, OverflowError, RecursionError, EOFError):
        raise RemoteProtocolError("not CBOR") from None
    fault = _fault(value)
    if fault:
        raise RemoteProtocolError(f"CBOR that tickseal does not carry: {fault}")
    try:
        again = cbor2.dumps(value, canonical=True)
    except UnicodeEncodeError:
        raise RemoteProtocolError("CBOR text that is not UTF-8") from None
    if again != data:
        raise RemoteProtocolError("CBOR that is not deterministic (RFC 8949 section 4.2.1)")
    return value


def decode_map(data: bytes) -> dict[str, Value]:
    """Return the map of a deterministic encoding, or raise RemoteProtocolError."""
    value = decode(data)
    if not isinstance(value, dict):
        raise RemoteProtocolError("CBOR that is not a map")
    return value


def _fault(value: object, depth: int = 0) -> str | None:
    kind = type(value)
    if kind is int:
        return None if _INT_MIN <= value <= _INT_MAX else "an integer beyond 64 bits"  # type: ignore[operator]
    if value is None or kind in (bool, float, str, bytes):
        return None
    if depth >= _DEPTH_MAX:
        return f"nesting deeper than {_DEPTH_MAX}"
    if isinstance(value, list | tuple):
        return next(filter(None, (_fault(item, depth + 1) for item in value)), None)
    if isinstance(value, dict):
        for key, item in value.items():
            if type(key) is not str:
                return "a map key that is not text"
            fault = _fault(item, depth + 1)
            if fault:
                return fault
        return None
    return f"a value of type {kind.__name__}"
