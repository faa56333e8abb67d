"""The port: the cryptographic operations that the core needs, by name and size.

`tickseal.primitives` implements it over `cryptography`, `firmware_mpy/device/primitives.py` over
what a MicroPython board has. An implementation is any object (a module will do) with these
functions. Nothing in the core imports an implementation: it is passed in.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Primitives(Protocol):
        """What the core asks of the machine's cryptography: bytes-like in, bytes out."""

        def sha256(self, data: bytes) -> bytes:
            """Return the 32-byte SHA-256 of data."""
            ...

        def hmac(self, key: bytes) -> Callable[[bytes], bytes]:
            """Prepare HMAC-SHA-256 under key (any length); the result maps a message to 32 bytes.

            The pads are hashed or made once, so that several messages under one key cost less.
            """
            ...

        def seal(self, suite: int, key: bytes, nonce: bytes, aad: bytes, payload: bytes) -> bytes:
            """Return ciphertext || tag under a suite of core.constants, key of the suite's size."""
            ...

        def open(self, suite: int, key: bytes, nonce: bytes, aad: bytes, sealed: bytes) -> bytes:
            """Return the payload, or raise ValueError if the tag does not verify or is cut off."""
            ...

        def x25519_public(self, private: bytes) -> bytes:
            """Return the 32-byte public key of a 32-byte private key (RFC 7748)."""
            ...

        def x25519(self, private: bytes, public: bytes) -> bytes:
            """Return the 32-byte shared secret, or raise ValueError where it is all zero."""
            ...

        def equal(self, left: bytes, right: bytes) -> bool:
            """Compare in time that depends on the lengths only."""
            ...
