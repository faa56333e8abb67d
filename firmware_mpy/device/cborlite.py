"""The CBOR that control messages are made of (docs/protocol.md section 1), deterministic.

null, bool, integers of 64 bits, text, bytes, lists, and maps with text keys. No floats: no control
message has one, and a board's own have but 32 bits.
"""

from tickseal.core.errors import LocalProtocolError, RemoteProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DEPTH_MAX = 8
_SIMPLE = {False: b"\xf4", True: b"\xf5", None: b"\xf6"}


def _head(major: int, number: int) -> bytes:
    major <<= 5
    if number < 24:
        return bytes((major | number,))
    for short, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if not number >> 8 * size:
            return bytes((major | short,)) + number.to_bytes(size, "big")
    raise LocalProtocolError("an integer of more than 64 bits")


def encode(value: "Any") -> bytes:
    """Return the one deterministic encoding of a value.

    Raises:
        LocalProtocolError: of a type that is not carried.
    """
    out = bytearray()
    _encode(value, out)
    return bytes(out)


def _encode(value: "Any", out: bytearray) -> None:
    if value is None or isinstance(value, bool):
        out.extend(_SIMPLE[value])
    elif isinstance(value, int):
        out.extend(_head(0, value) if value >= 0 else _head(1, -1 - value))
    elif isinstance(value, bytes):
        out.extend(_head(2, len(value)) + value)
    elif isinstance(value, str):
        data = value.encode()
        out.extend(_head(3, len(data)) + data)
    elif isinstance(value, (list, tuple)):
        out.extend(_head(4, len(value)))
        for item in value:
            _encode(item, out)
    elif isinstance(value, dict):
        out.extend(_head(5, len(value)))
        for key, item in sorted([(encode(key), item) for key, item in value.items()], key=_first):
            out.extend(key)
            _encode(item, out)
    else:
        raise LocalProtocolError("CBOR of a board has no %s" % type(value).__name__)


def _first(pair: "tuple[bytes, Any]") -> bytes:
    return pair[0]


def decode(data: bytes) -> "Any":
    """Return the value of an encoding that is deterministic to the byte.

    Raises:
        RemoteProtocolError: it is not, or holds what is not carried.
    """
    try:
        value, end = _decode(data, 0, 0)
        same = end == len(data) and encode(value) == data
    except (IndexError, ValueError, TypeError, LocalProtocolError):
        same = False
    if not same:
        raise RemoteProtocolError("not CBOR as tickseal has it")
    return value


def _decode(data: bytes, at: int, depth: int) -> "tuple[Any, int]":
    first = data[at]
    at += 1
    major, number = first >> 5, first & 31
    if first in (0xF4, 0xF5, 0xF6):
        return (False, True, None)[first - 0xF4], at
    if 24 <= number <= 27:
        size = 1 << number - 24
        if at + size > len(data):
            raise ValueError
        number = int.from_bytes(data[at : at + size], "big")
        at += size
    elif number > 27:
        raise ValueError
    if major < 2:
        return (-1 - number if major else number), at
    if major > 5 or number > len(data) - at:
        # An item takes a byte at least, so no count exceeds what is left.
        raise ValueError
    if major < 4:
        piece = data[at : at + number]
        return (piece if major == 2 else str(piece, "utf-8")), at + number
    if depth == _DEPTH_MAX:
        raise ValueError
    found: "Any" = [] if major == 4 else {}
    for _ in range(number):
        item, at = _decode(data, at, depth + 1)
        if major == 4:
            found.append(item)
        elif isinstance(item, str):
            found[item], at = _decode(data, at, depth + 1)
        else:
            raise ValueError
    return found, at
