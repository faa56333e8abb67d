"""HMAC-SHA-256 (RFC 2104), prepared once for several messages under one key.

MicroPython's hashes cannot be copied, so what is prepared is the two pads, each by one XOR of big
integers: a loop over their bytes takes longer than the hash itself.
"""

from hashlib import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_BLOCK = 64
_INNER = int.from_bytes(b"\x36" * _BLOCK, "big")
_OUTER = int.from_bytes(b"\x5c" * _BLOCK, "big")


def prepare(key: bytes) -> "Callable[[bytes], bytes]":
    """Return the function that maps a message to its 32-byte HMAC under a key of any length."""
    if len(key) > _BLOCK:
        key = sha256(key).digest()
    padded = int.from_bytes(key + bytes(_BLOCK - len(key)), "big")
    inner = (padded ^ _INNER).to_bytes(_BLOCK, "big")
    outer = (padded ^ _OUTER).to_bytes(_BLOCK, "big")

    def digest(message: bytes) -> bytes:
        first = sha256(inner)
        first.update(message)
        second = sha256(outer)
        second.update(first.digest())
        return second.digest()

    return digest
