"""The least that must be done: a key a frame, its hash, AES-256-GCM each segment; no checks."""

from collections.abc import Callable
from hashlib import sha256
from hmac import compare_digest

import cryptography
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from peers import split

_INFO = bytes(48)
_CONTEXT = bytes(32)


def describe() -> str:
    """Return name and version."""
    return f"HKDF, SHA-256, AES-256-GCM (cryptography {cryptography.__version__})"


def prepare(payload: bytes, count: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return the functions that seal and open."""
    inner, outer = sha256(b"\x36" * 64 + _INFO), sha256(b"\x5c" * 64)
    # All that is the same for every frame is made before.
    parts = [
        (index.to_bytes(2, "big"), index.to_bytes(4, "big"), part)
        for index, part in enumerate(split(payload))
    ]
    sealed: list[list[bytes]] = []

    def seal() -> None:
        for number in range(count):
            number_8 = number.to_bytes(8, "big")
            first = inner.copy()
            first.update(number_8 + b"\x01")
            second = outer.copy()
            second.update(first.digest())
            key = second.digest()
            encrypt = AESGCM(key).encrypt
            key_hash = sha256(key).digest()[:16]
            head = b"ten bytes " + number_8[4:]
            segments = []
            for index_2, index_4, part in parts:
                header = head + index_2
                segments.append(
                    header + key_hash + encrypt(number_8 + index_4, part, header + _CONTEXT)
                )
            sealed.append(segments)

    def open_all() -> None:
        for number, segments in enumerate(sealed):
            number_8 = number.to_bytes(8, "big")
            first = inner.copy()
            first.update(number_8 + b"\x01")
            second = outer.copy()
            second.update(first.digest())
            key = second.digest()
            decrypt = AESGCM(key).decrypt
            key_hash = sha256(key).digest()[:16]
            for segment in segments:
                if not compare_digest(segment[16:32], key_hash):
                    raise ValueError("key hash")
                nonce = number_8 + b"\0\0" + segment[14:16]
                decrypt(nonce, segment[32:], segment[:16] + _CONTEXT)

    return seal, open_all
