"""A frame's payload: samples as SenML in CBOR (RFC 8428), read by tickseal.payloads.samples."""

import struct

from device.cborlite import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CONTENT = "application/senml+cbor"
# Labels of RFC 8428 section 6, table 4.
_BASE_TIME = -3
_NAME = 0
_UNIT = 1
_VALUE = 2
_STRING = 3
_BOOLEAN = 4
_TIME = 6


def _value(value: "Any") -> bytes:
    if isinstance(value, float):
        return b"\xfa" + struct.pack(">f", value)
    return encode(value)


def pack(samples: "list[tuple[str, str, Any]]", utc_ns: int) -> bytes:
    """Return the payload of samples taken together.

    Args:
        samples: name, SenML unit or "", and value: number, bool, text, or None for a failed one.
        utc_ns: when, ns since 1970 UTC. Floats have 32 bits here, so the fraction of the second
            goes apart from the whole: it keeps better than a microsecond.
    """
    seconds, rest = utc_ns // 1_000_000_000, utc_ns % 1_000_000_000
    out = bytearray(encode([0] * len(samples))[:1])
    for index, (name, unit, value) in enumerate(samples):
        label = _VALUE
        if isinstance(value, bool):
            label = _BOOLEAN
        elif isinstance(value, str):
            label = _STRING
        elif value is None:
            value = float("nan")
        # A map of so many pairs; its keys are labels, which cborlite's maps cannot have.
        out.append(0xA0 | 3 + bool(unit) + (index == 0))
        out.extend(encode(_NAME) + encode(name) + encode(label) + _value(value))
        if unit:
            out.extend(encode(_UNIT) + encode(unit))
        out.extend(encode(_TIME) + _value(rest / 1_000_000_000))
        if index == 0:
            out.extend(encode(_BASE_TIME) + encode(seconds))
    return bytes(out)
