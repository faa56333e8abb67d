"""What frames of sensors carry: samples as SenML in CBOR (RFC 8428), which other tools read too."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import cbor2

from tickseal.cbor import is_plain
from tickseal.core.errors import LocalProtocolError, RemoteProtocolError

#: The `content` key of a stream's metadata, by which a sink knows how to read its frames.
CONTENT = "application/senml+cbor"

Measured: TypeAlias = float | int | bool | str

# Labels of RFC 8428 section 6, table 4.
_BASE_NAME, _BASE_TIME, _BASE_UNIT, _NAME, _UNIT = -2, -3, -4, 0, 1
_VALUE, _STRING, _BOOLEAN, _TIME = 2, 3, 4, 6
_SECOND = 1_000_000_000
_SAMPLES_MOST = 10_000
#: Characters of a value that is text, and of a unit.
TEXT_LONGEST, _UNIT_LONGEST = 1024, 32
_TIME_END = 1 << 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One value as it was taken.

    Args:
        name: what was measured, 1..64 characters of A-Z a-z 0-9 - : . / _ (RFC 8428 section 4.5.1).
        value: number, truth or text of up to 1024 characters; None for a reading that failed: it
            is marked, never invented.
        unit: SenML unit (RFC 8428 section 12.1), for example "Cel", up to 32 printable characters;
            None where there is none.
        time_ns: when it was taken, ns since 1970 UTC, within 64 bits; on the wire it keeps about a
            microsecond.
    Raises:
        LocalProtocolError: the name, the unit, a text or the time is not allowed.
    """

    name: str
    value: Measured | None
    unit: str | None = None
    time_ns: int

    def __post_init__(self) -> None:
        """Check every field: what outputs cannot write would cost them other devices' samples."""
        if not _is_name(self.name):
            raise LocalProtocolError(
                "a sample's name is 1..64 of A-Z a-z 0-9 - : . / _ and begins with a letter or "
                f"digit, not {self.name!r}"
            )
        unit, value = self.unit, self.value
        if unit is not None and not (len(unit) <= _UNIT_LONGEST and unit.isprintable()):
            raise LocalProtocolError("a sample's unit is up to 32 printable characters")
        if isinstance(value, str) and len(value) > TEXT_LONGEST:
            raise LocalProtocolError(f"a sample's text is up to {TEXT_LONGEST} characters")
        if not -_TIME_END <= self.time_ns < _TIME_END:
            raise LocalProtocolError("a sample's time is ns since 1970 within 64 bits")


def _is_name(name: str) -> bool:
    return (
        1 <= len(name) <= 64
        and name.isascii()
        and name[0].isalnum()
        and all(c.isalnum() or c in "-:./_" for c in name)
    )


def encode_samples(samples: Sequence[Sample]) -> bytes:
    """Return the payload of a frame: one SenML pack."""
    if not samples:
        return cbor2.dumps([])
    base_ns = samples[0].time_ns
    records: list[dict[int, Measured]] = []
    for sample in samples:
        record: dict[int, Measured] = {_NAME: sample.name}
        if not records:
            record[_BASE_TIME] = base_ns / _SECOND
        if sample.unit is not None:
            record[_UNIT] = sample.unit
        if sample.time_ns != base_ns:
            record[_TIME] = (sample.time_ns - base_ns) / _SECOND
        match sample.value:
            case bool():
                record[_BOOLEAN] = sample.value
            case str():
                record[_STRING] = sample.value
            case None:
                record[_VALUE] = math.nan
            case _:
                record[_VALUE] = sample.value
        records.append(record)
    return cbor2.dumps(records, canonical=True)


def decode_samples(payload: bytes) -> list[Sample]:
    """Return the samples of a payload.

    Raises:
        RemoteProtocolError: not a SenML pack of known labels.
    """
    if not is_plain(payload):
        raise RemoteProtocolError(
            "a frame of samples with a CBOR tag, an indefinite length, or too many items"
        )
    try:
        stream = io.BytesIO(payload)
        pack = cbor2.load(stream)
    except (cbor2.CBORDecodeError, ValueError, TypeError, OverflowError, RecursionError, EOFError):
        raise RemoteProtocolError("a frame of samples that is not CBOR") from None
    if not isinstance(pack, list) or len(pack) > _SAMPLES_MOST or stream.read(1):
        raise RemoteProtocolError("a frame of samples that is not one SenML pack")
    base: dict[int, Any] = {_BASE_NAME: "", _BASE_TIME: 0.0}
    samples = []
    for record in pack:
        if not isinstance(record, dict):
            raise RemoteProtocolError("a SenML record that is not a map")
        for label in (_BASE_NAME, _BASE_TIME, _BASE_UNIT):
            if label in record:
                base[label] = record[label]
        samples.append(_decode_record(record, base))
    return samples


def _decode_record(record: dict[int, Any], base: dict[int, Any]) -> Sample:
    try:
        name = f"{base[_BASE_NAME]}{record.get(_NAME, '')}"
        unit = record.get(_UNIT, base.get(_BASE_UNIT))
        values = [record[label] for label in (_VALUE, _STRING, _BOOLEAN) if label in record]
        if len(values) != 1 or not isinstance(values[0], bool | int | float | str):
            raise RemoteProtocolError("a SenML record without exactly one value")
        if unit is not None and not isinstance(unit, str):
            raise RemoteProtocolError("a SenML unit that is not text")
        value: Measured | None = values[0]
        if isinstance(value, float) and not math.isfinite(value):
            value = None
        base_s, offset_s = float(base[_BASE_TIME]), float(record.get(_TIME, 0))
        # Whole seconds and the fraction apart, so that the sum loses nothing more.
        time_ns = round(base_s * _SECOND) + round(offset_s * _SECOND)
        return Sample(name=name, value=value, unit=unit, time_ns=time_ns)
    except (LocalProtocolError, ValueError, TypeError, OverflowError) as error:
        raise RemoteProtocolError(f"a SenML record not accepted: {error}") from None
