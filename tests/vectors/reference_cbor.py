"""Deterministic CBOR, small and slow: docs/protocol.md section 1, RFC 8949 section 4.2.1."""

import math
import struct
from typing import Any


def encode(value: Any) -> bytes:
    """Return the one deterministic encoding of a value."""
    if value is None or isinstance(value, bool):
        return {False: b"\xf4", True: b"\xf5", None: b"\xf6"}[value]
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        return _head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return _head(4, len(value)) + b"".join(encode(item) for item in value)
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        pairs = sorted((encode(key), encode(item)) for key, item in value.items())
        return _head(5, len(pairs)) + b"".join(key + item for key, item in pairs)
    raise ValueError("not in the subset")


def decode(data: bytes) -> Any:
    """Return the value, or raise ValueError for anything but its deterministic encoding."""
    try:
        value, end = _item(data, 0)
    except (IndexError, struct.error) as fault:
        raise ValueError("truncated") from fault
    if end != len(data) or encode(value) != data:
        raise ValueError("does not come back byte for byte")
    return value


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << (8 * size):
            return bytes([major << 5 | info]) + number.to_bytes(size, "big")
    raise ValueError("integer beyond 64 bits")


def _float(value: float) -> bytes:
    if math.isnan(value):
        return b"\xf9\x7e\x00"
    for first, form in ((b"\xf9", ">e"), (b"\xfa", ">f")):
        try:
            short = struct.pack(form, value)
        except OverflowError:
            continue
        if struct.unpack(form, short)[0] == value:
            return first + short
    return b"\xfb" + struct.pack(">d", value)


def _item(data: bytes, at: int) -> tuple[Any, int]:  # noqa: PLR0912
    major, info = data[at] >> 5, data[at] & 31
    at += 1
    if info > 27:
        raise ValueError("indefinite or reserved length")
    size = {24: 1, 25: 2, 26: 4, 27: 8}.get(info, 0)
    if at + size > len(data):
        raise ValueError("truncated")
    number = int.from_bytes(data[at : at + size], "big") if size else info
    if major == 7:
        if size >= 2:
            form = {2: ">e", 4: ">f", 8: ">d"}[size]
            return struct.unpack(form, data[at : at + size])[0], at + size
        if info not in (20, 21, 22):
            raise ValueError("simple value")
        return {20: False, 21: True, 22: None}[info], at
    at += size
    if major < 2:
        return (number if major == 0 else -1 - number), at
    if major < 4:
        if at + number > len(data):
            raise ValueError("truncated")
        raw = data[at : at + number]
        return (raw if major == 2 else raw.decode()), at + number
    if major == 4:
        items = []
        for _ in range(number):
            item, at = _item(data, at)
            items.append(item)
        return items, at
    if major == 5:
        pairs: dict[str, Any] = {}
        for _ in range(number):
            key, at = _item(data, at)
            if not isinstance(key, str):
                raise ValueError("a key that is not text")
            pairs[key], at = _item(data, at)
        return pairs, at
    raise ValueError("tag")
