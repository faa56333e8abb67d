"""The port of tickseal.core.primitives over what a MicroPython board has.

AES-256-GCM is not here: the port's AES has no field multiplication, so a board offers AES-128-CCM
for its frames and keeps ChaCha20-Poly1305 for the handshake.
"""

import hashlib

from device import ccm, chachapoly, compare
from device import hmac as _hmac
from tickseal.core.constants import AES_128_CCM_8, CHACHA20_POLY1305

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

equal = compare.equal
hmac = _hmac.prepare

_SUITES = {
    AES_128_CCM_8: (ccm.seal, ccm.open),
    CHACHA20_POLY1305: (chachapoly.seal, chachapoly.open),
}


def sha256(data: bytes) -> bytes:
    """Return the 32-byte SHA-256 of data (FIPS 180-4)."""
    return hashlib.sha256(data).digest()


def _aead(suite: int) -> "Any":
    if suite not in _SUITES:
        raise ValueError("no suite %d on this board" % suite)
    return _SUITES[suite]


def seal(suite: int, key: bytes, nonce: bytes, aad: bytes, payload: bytes) -> bytes:
    """Return ciphertext || tag.

    Raises:
        ValueError: the board has no such suite, or the key or nonce has the wrong size.
    """
    return _aead(suite)[0](key, nonce, aad, payload)


def open(suite: int, key: bytes, nonce: bytes, aad: bytes, sealed: bytes) -> bytes:
    """Return the payload.

    Raises:
        ValueError: the tag does not verify, or as for `seal`.
    """
    return _aead(suite)[1](key, nonce, aad, sealed)


def x25519_public(private: bytes) -> bytes:
    """Return the 32-byte public key of a private one."""
    from device.x25519 import public_key

    return public_key(private)


def x25519(private: bytes, public: bytes) -> bytes:
    """Return the 32-byte shared secret.

    Raises:
        ValueError: it is all zero, so public is a point of low order (RFC 7748 section 6.1).
    """
    from device.x25519 import scalar_mult

    secret = scalar_mult(private, public)
    if equal(secret, bytes(32)):
        raise ValueError("the public key is a point of low order")
    return secret
