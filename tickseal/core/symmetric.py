"""What a Noise handshake carries along: a cipher with its nonce, a chaining key, a hash.

Source: The Noise Protocol Framework, revision 34, sections 4.3, 5.1 and 5.2.
"""

from tickseal.core import constants
from tickseal.core.errors import LocalProtocolError, RemoteProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tickseal.core.primitives import Primitives

KEY_BYTES = 32
HASH_BYTES = 32
TAG_BYTES = 16
#: The longest Noise message.
MESSAGE_MAX_BYTES = 65535
#: Never a message's own: Noise keeps it for rekeying.
_NONCE_RESERVED = 0xFFFFFFFFFFFFFFFF
_SUITE = constants.CHACHA20_POLY1305


def erasable(secret: bytes) -> bytes:
    """Return a copy that erase() can overwrite, typed as what the port's functions take."""
    return bytearray(secret)  # type: ignore[return-value]


def erase(secret: bytes) -> None:
    """Overwrite a secret where it can be: bytes of Python cannot, erasable() copies can."""
    if isinstance(secret, bytearray):
        secret[:] = bytes(len(secret))


class CipherState:
    """Seals or opens the messages of one direction, numbering them itself.

    Args:
        key: 32 bytes, copied.
    """

    __slots__ = ("_key", "_nonce", "_primitives")

    def __init__(self, primitives: "Primitives", key: bytes) -> None:
        self._primitives = primitives
        self._key = erasable(key)
        self._nonce = 0

    def seal(self, payload: bytes, aad: bytes = b"") -> bytes:
        """Return the next message: the payload encrypted, and a tag of 16 bytes.

        Raises:
            LocalProtocolError: the payload is over 65519 bytes; the cipher is used up or cleared.
        """
        if len(payload) > MESSAGE_MAX_BYTES - TAG_BYTES:
            raise LocalProtocolError(
                "a payload of %d bytes is too long for a Noise message" % len(payload)
            )
        nonce = self._next_nonce()
        # Counted before it is used: a failure below loses a number and never repeats one.
        self._nonce += 1
        return self._primitives.seal(_SUITE, self._key, nonce, aad, payload)

    def open(self, message: bytes, aad: bytes = b"") -> bytes:
        """Return the payload of the next message; a message that fails does not count.

        Raises:
            RemoteProtocolError: altered, out of order, too long, or sealed under another key.
            LocalProtocolError: the cipher is used up or cleared.
        """
        nonce = self._next_nonce()
        if len(message) > MESSAGE_MAX_BYTES:
            raise RemoteProtocolError("a message of %d bytes is too long for Noise" % len(message))
        try:
            payload = self._primitives.open(_SUITE, self._key, nonce, aad, message)
        except ValueError:
            raise RemoteProtocolError(
                "encrypted message %d does not authenticate; close the link" % self._nonce
            ) from None
        self._nonce += 1
        return payload

    def clear(self) -> None:
        """Erase the key; nothing can be sealed or opened any more."""
        erase(self._key)
        self._key = b""

    def _next_nonce(self) -> bytes:
        if not self._key:
            raise LocalProtocolError("this cipher has no key, or was cleared: make a new handshake")
        if self._nonce >= _NONCE_RESERVED:
            raise LocalProtocolError("the nonces of this cipher are used up: make a new handshake")
        return bytes(4) + self._nonce.to_bytes(8, "little")

    def __repr__(self) -> str:
        return "<CipherState, next message %d>" % self._nonce


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
