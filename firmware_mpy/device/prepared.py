"""The port's primitives, with the slow products of a handshake computed beforehand.

An X25519 takes a Pico half a second, and a handshake four of them. Two need nothing from the
gateway: the next ephemeral key, and its product with the gateway's static key. They are made while
there is nothing else to do, so that a lost connection comes back sooner. The product of both static
keys never changes.
"""

from device import primitives as port

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KEY_BYTES = 32


class Prepared:
    """Stands in for the primitives in the handshakes of one identity.

    Attributes:
        shared: the product of the static keys, b"" until it was needed.
    """

    def __init__(self, random_bytes: "Any", private: bytes, gateway: bytes, shared: bytes) -> None:
        self.sha256, self.hmac, self.equal = port.sha256, port.hmac, port.equal
        self.seal, self.open = port.seal, port.open
        self.shared = shared
        self._random_bytes = random_bytes
        self._private, self._gateway = private, gateway
        self._ephemeral = self._public = self._product = b""
        self._handed_out = False

    def step(self) -> bool:
        """Do one slow step if one is left; return whether more are left."""
        if self._handed_out or not self._ephemeral:
            self._handed_out = False
            self._ephemeral, self._product = self._random_bytes(_KEY_BYTES), b""
            self._public = port.x25519_public(self._ephemeral)
            return True
        if not self._product:
            self._product = port.x25519(self._ephemeral, self._gateway)
        return False

    def random_bytes(self, size: int) -> bytes:
        """Return the ephemeral key that was prepared, once; else new random bytes."""
        if size == _KEY_BYTES and self._ephemeral and not self._handed_out:
            self._handed_out = True
            return self._ephemeral
        return bytes(self._random_bytes(size))

    def x25519_public(self, private: bytes) -> bytes:
        """Return a public key."""
        if port.equal(private, self._ephemeral):
            return self._public
        return port.x25519_public(private)

    def x25519(self, private: bytes, public: bytes) -> bytes:
        """Return a shared secret; ValueError where it is all zero."""
        if public == self._gateway:  # a public key
            if port.equal(private, self._private):
                if not self.shared:
                    self.shared = port.x25519(private, public)
                return self.shared
            if self._product and port.equal(private, self._ephemeral):
                return self._product
        return port.x25519(private, public)

    def __repr__(self) -> str:
        return "<Prepared>"
