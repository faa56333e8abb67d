"""Stream metadata: what a stream is, bound into all of its keys (docs/protocol.md section 2.1)."""

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from tickseal import cbor
from tickseal.core.constants import METADATA_MAX_BYTES
from tickseal.core.errors import LocalProtocolError, RemoteProtocolError

_NAMED = ("id", "type", "qos", "unit")


def _check_text(name: str, value: object, longest: int) -> None:
    if not isinstance(value, str):
        raise LocalProtocolError(f"metadata {name} must be text, not {type(value).__name__}")
    if not 1 <= len(value.encode("utf-8", "replace")) <= longest:
        raise LocalProtocolError(f"metadata {name} must be 1 to {longest} bytes of UTF-8")
    if any(unicodedata.category(letter) == "Cc" for letter in value):
        raise LocalProtocolError(f"metadata {name} must not hold control characters")


@dataclass(frozen=True, slots=True, eq=False)
class StreamMetadata:
    """What a stream is. Integrity protected: a change of any part changes every key.

    Args:
        id: unique name of the stream, 1..128 bytes of UTF-8.
        type: what flows, for example "temperature" or "image/jpeg"; 1..64 bytes.
        qos: class of service, 0..255 or 1..64 bytes of text; None leaves it out.
        unit: SenML unit (RFC 8428), for example "Cel"; 1..32 bytes; None leaves it out.
        extra: free keys of the application; values that CBOR carries, at most 8 deep.
    Raises:
        LocalProtocolError: a value is out of its range, or the whole is over 1024 bytes encoded.
    """

    id: str
    type: str
    qos: int | str | None = None
    unit: str | None = None
    extra: Mapping[str, cbor.Value] = field(default_factory=dict[str, cbor.Value])
    # Made once: a list within extra may change later, but what the keys are bound to may not.
    _encoding: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check every field, so that invalid metadata cannot exist."""
        _check_text("id", self.id, 128)
        _check_text("type", self.type, 64)
        if isinstance(self.qos, str):
            _check_text("qos", self.qos, 64)
        elif self.qos is not None and (type(self.qos) is not int or not 0 <= self.qos <= 255):
            raise LocalProtocolError("metadata qos must be 0..255 or text")
        if self.unit is not None:
            _check_text("unit", self.unit, 32)
        object.__setattr__(self, "extra", dict(self.extra))
        for key in self.extra:
            if key in _NAMED:
                raise LocalProtocolError(f"metadata extra must not hold the key {key!r}")
        encoding = self._encode()
        if len(encoding) > METADATA_MAX_BYTES:
            raise LocalProtocolError(f"metadata is over {METADATA_MAX_BYTES} bytes encoded")
        object.__setattr__(self, "_encoding", encoding)

    def __eq__(self, other: object) -> bool:
        """Compare by the encoding: 1, 1.0 and True are equal in Python, but not in a key."""
        if not isinstance(other, StreamMetadata):
            return NotImplemented
        return self._encoding == other._encoding

    def __hash__(self) -> int:
        """Hash by the encoding, since extra is a dict."""
        return hash(self._encoding)

    def encode(self) -> bytes:
        """Return the deterministic CBOR map, at most 1024 bytes."""
        return self._encoding

    def _encode(self) -> bytes:
        content: dict[str, cbor.Value] = dict(self.extra)
        content["id"] = self.id
        content["type"] = self.type
        if self.qos is not None:
            content["qos"] = self.qos
        if self.unit is not None:
            content["unit"] = self.unit
        return cbor.encode(content)

    def digest(self) -> bytes:
        """Return SHA-256 of the encoding, 32 bytes."""
        return hashlib.sha256(self._encoding).digest()

    @classmethod
    def decode(cls, data: bytes) -> "StreamMetadata":
        """Return the metadata of an encoding.

        Raises:
            RemoteProtocolError: not deterministic CBOR, or a value out of its range.
        """
        if len(data) > METADATA_MAX_BYTES:
            raise RemoteProtocolError(f"metadata is over {METADATA_MAX_BYTES} bytes encoded")
        content = cbor.decode_map(data)
        try:
            named = {key: content.pop(key) for key in _NAMED if key in content}
            if any(value is None for value in named.values()):
                raise RemoteProtocolError("metadata with a null where the key is left out")
            return cls(**named, extra=content)  # type: ignore[arg-type]
        except (LocalProtocolError, TypeError) as error:
            raise RemoteProtocolError(f"metadata not accepted: {error}") from None
