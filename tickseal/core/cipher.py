"""The cipher of one direction of a link, and secrets that can be erased.

Source: The Noise Protocol Framework, revision 34, section 5.1.
"""

from tickseal.core import constants
from tickseal.core.errors import LocalProtocolError, RemoteProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tickseal.core.primitives import Primitives

KEY_BYTES = 32
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
