"""The key schedule, one function a line of docs/protocol.md section 3."""

from tickseal.core import constants
from tickseal.core.errors import LocalProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tickseal.core.primitives import Primitives


def expand_info(label: bytes, context: bytes, size: int, prefix: bytes = constants.PREFIX) -> bytes:
    """Return the info of Expand: u16 size || vec(prefix || label) || vec(context).

    Raises:
        LocalProtocolError: a part is of 64 bytes or more, or size is not 1..8160.
    """
    name = prefix + label
    if len(name) > 63 or len(context) > 63:
        raise LocalProtocolError("a label or context of Expand must be under 64 bytes")
    if not 1 <= size <= 255 * 32:
        raise LocalProtocolError("Expand gives 1..8160 bytes, not %d" % size)
    return size.to_bytes(2, "big") + bytes((len(name),)) + name + bytes((len(context),)) + context


def expand(
    primitives: "Primitives",
    secret: bytes,
    label: bytes,
    context: bytes,
    size: int,
    *,
    prefix: bytes = constants.PREFIX,
) -> bytes:
    """Return Expand(secret, label, context, size): HKDF-Expand with a bound label.

    Args:
        secret: 32 bytes.
        label: with the prefix under 64 bytes.
        context: under 64 bytes.
        size: bytes wanted, 1..8160.
        prefix: names the protocol; another one only to check against its vectors.
    Raises:
        LocalProtocolError: label, context or size is out of its range.
    Source: RFC 5869 section 2.3, RFC 9420 section 8.
    """
    mac = primitives.hmac(secret)
    info = expand_info(label, context, size, prefix)
    out = block = mac(info + b"\x01")
    count = 1
    while len(out) < size:
        count += 1
        block = mac(block + info + bytes((count,)))
        out += block
    return out[:size]


def extract(primitives: "Primitives", salt: bytes, secret: bytes) -> bytes:
    """Return HKDF-Extract(salt, secret), 32 bytes (RFC 5869 section 2.2)."""
    return primitives.hmac(salt)(secret)


def context(primitives: "Primitives", metadata: bytes, parameters: bytes) -> bytes:
    """Return C, the 32 bytes that bind metadata and parameters (both encoded) into every key."""
    sha256 = primitives.sha256
    return sha256(constants.CONTEXT_LABEL + sha256(metadata) + sha256(parameters))


def root(primitives: "Primitives", prk: bytes, stream_context: bytes) -> bytes:
    """Return the root of the epoch tree, 32 bytes."""
    return expand(primitives, prk, b"root", stream_context, 32)


def confirm(primitives: "Primitives", prk: bytes, stream_context: bytes) -> bytes:
    """Return the 16 bytes that show that the controller derived the same PRK and context."""
    return expand(primitives, prk, b"confirm", stream_context, constants.CONFIRM_BYTES)


FRAME_INFO = expand_info(b"frame", bytes(16), 32)[:-16]


def frame_key_message(tick: int, frame: int) -> bytes:
    """Return what the epoch secret's HMAC takes in to give the frame key: info || 0x01."""
    return FRAME_INFO + tick.to_bytes(8, "big") + frame.to_bytes(8, "big") + b"\x01"


def frame_key(primitives: "Primitives", epoch_secret: bytes, tick: int, frame: int) -> bytes:
    """Return the frame key, 32 bytes.

    Args:
        epoch_secret: 32 bytes, of the tick's epoch.
        tick: 0..2^64-1.
        frame: the frame number; EVERY_FRAME_OF_INTERVAL where the key is renewed every interval.
    """
    return primitives.hmac(epoch_secret)(frame_key_message(tick, frame))


def key_hash(primitives: "Primitives", key: bytes, length: int) -> bytes:
    """Return the first length (8..32) bytes of SHA-256(key)."""
    return primitives.sha256(key)[:length]


def nonce(frame_number: int, segment_index: int) -> bytes:
    """Return the 12-byte AEAD nonce."""
    return frame_number.to_bytes(8, "big") + segment_index.to_bytes(4, "big")
