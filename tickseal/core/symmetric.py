"""What a Noise handshake carries along: a cipher, a chaining key, a hash.

Source: The Noise Protocol Framework, revision 34, sections 4.3 and 5.2.
"""

from tickseal.core.cipher import CipherState, erasable, erase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tickseal.core.primitives import Primitives


class SymmetricState:
    """The chaining key, and the hash of all that was said; seals under both."""

    __slots__ = ("_chaining_key", "_cipher", "_primitives", "hash")

    def __init__(self, primitives: "Primitives", name: bytes, prologue: bytes) -> None:
        self._primitives = primitives
        #: h, 32 bytes. Noise hashes a name of more than 32 bytes, and every name here is.
        self.hash = primitives.sha256(name)
        self._chaining_key = erasable(self.hash)
        self._cipher = CipherState(primitives, b"")
        self.mix_hash(prologue)

    def mix_hash(self, data: bytes) -> None:
        """Take public data into the hash."""
        self.hash = self._primitives.sha256(self.hash + data)

    def mix_key(self, material: bytes) -> None:
        """Take a secret into the chaining key, and start a new cipher."""
        chaining_key, key, _ = self._hkdf(material)
        self._replace(chaining_key, key)

    def mix_key_and_hash(self, psk: bytes) -> None:
        """Take a PSK into the chaining key and the hash, and start a new cipher."""
        chaining_key, data, key = self._hkdf(psk)
        self.mix_hash(data)
        self._replace(chaining_key, key)

    def seal_and_hash(self, payload: bytes) -> bytes:
        """Return the payload sealed under all that was said, and take the result in."""
        sealed = self._cipher.seal(payload, self.hash)
        self.mix_hash(sealed)
        return sealed

    def open_and_hash(self, sealed: bytes) -> bytes:
        """Return the payload of what seal_and_hash made, or raise RemoteProtocolError."""
        payload = self._cipher.open(sealed, self.hash)
        self.mix_hash(sealed)
        return payload

    def split(self) -> "tuple[bytes, bytes, bytes]":
        """Return the initiator's key, the responder's, and the exporter, 32 bytes each."""
        return self._hkdf(b"")

    def clear(self) -> None:
        """Erase the secrets."""
        self._replace(b"", b"")

    def _hkdf(self, material: bytes) -> "tuple[bytes, bytes, bytes]":
        # The first two outputs do not depend on whether the third is wanted.
        mac = self._primitives.hmac(self._primitives.hmac(self._chaining_key)(material))
        first = mac(b"\x01")
        second = mac(first + b"\x02")
        return first, second, mac(second + b"\x03")

    def _replace(self, chaining_key: bytes, key: bytes) -> None:
        erase(self._chaining_key)
        self._cipher.clear()
        self._chaining_key = erasable(chaining_key)
        self._cipher = CipherState(self._primitives, key)

    def __repr__(self) -> str:
        return "<SymmetricState>"
