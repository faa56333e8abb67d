"""The port of `tickseal.core.primitives` over `cryptography` and hashlib."""

import hashlib
import hmac as _hmac
from collections.abc import Callable
from functools import partial
from typing import Protocol, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305

from tickseal.core import constants

Aead = AESGCM | AESCCM | ChaCha20Poly1305

#: Makes the AEAD of a suite from a key of exactly the suite's size.
AEADS: dict[int, Callable[[bytes], Aead]] = {
    constants.AES_256_GCM: AESGCM,
    constants.CHACHA20_POLY1305: ChaCha20Poly1305,
    constants.AES_128_CCM_8: partial(AESCCM, tag_length=constants.SUITE_TAG_BYTES[3]),
}


class HashState(Protocol):
    """A hash that has taken in something and is to be copied."""

    def copy(self) -> Self:
        """Return a second one in the same state."""
        ...

    def update(self, data: bytes, /) -> None:
        """Take in more."""
        ...

    def digest(self) -> bytes:
        """Return the digest of all taken in."""
        ...


_IPAD = bytes(x ^ 0x36 for x in range(256))
_OPAD = bytes(x ^ 0x5C for x in range(256))
_BLOCK = 64


def aead(suite: int, key: bytes) -> Aead:
    """Return the AEAD of a suite under a key of exactly the suite's size.

    Raises:
        ValueError: the suite is unknown, or the key has the wrong size.
    """
    if constants.SUITE_KEY_BYTES.get(suite) != len(key):
        raise ValueError(f"no suite {suite} with a key of {len(key)} bytes")
    return AEADS[suite](key)


def sha256(data: bytes) -> bytes:
    """Return the SHA-256 of data (FIPS 180-4)."""
    return hashlib.sha256(data).digest()


def hmac_states(key: bytes) -> tuple[HashState, HashState]:
    """Return SHA-256 states that have taken in HMAC's inner and outer pad (RFC 2104)."""
    if len(key) > _BLOCK:
        key = hashlib.sha256(key).digest()
    padded = key.ljust(_BLOCK, b"\0")
    return hashlib.sha256(padded.translate(_IPAD)), hashlib.sha256(padded.translate(_OPAD))


def hmac(key: bytes) -> Callable[[bytes], bytes]:
    """Prepare HMAC-SHA-256 (RFC 2104) under a key; the result maps a message to 32 bytes."""
    inner, outer = hmac_states(key)

    def digest(message: bytes) -> bytes:
        first = inner.copy()
        first.update(message)
        second = outer.copy()
        second.update(first.digest())
        return second.digest()

    return digest


def seal(suite: int, key: bytes, nonce: bytes, aad: bytes, payload: bytes) -> bytes:
    """Return ciphertext || tag."""
    return aead(suite, key).encrypt(nonce, payload, aad)


def open(suite: int, key: bytes, nonce: bytes, aad: bytes, sealed: bytes) -> bytes:
    """Return the payload, or raise ValueError if the tag does not verify."""
    try:
        return aead(suite, key).decrypt(nonce, sealed, aad)
    except InvalidTag:
        raise ValueError("the tag does not verify") from None


def x25519_public(private: bytes) -> bytes:
    """Return the public key of a private key (RFC 7748)."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def x25519(private: bytes, public: bytes) -> bytes:
    """Return the shared secret; raise ValueError where it is all zero (RFC 7748 section 6.1)."""
    return X25519PrivateKey.from_private_bytes(private).exchange(
        X25519PublicKey.from_public_bytes(public)
    )


def equal(left: bytes, right: bytes) -> bool:
    """Compare in constant time."""
    return _hmac.compare_digest(left, right)
