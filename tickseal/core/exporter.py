"""What a finished handshake yields: initial secrets and the device PSK (docs/protocol.md 6.3)."""

from tickseal.core.cipher import erasable, erase
from tickseal.core.constants import SECRET_BYTES
from tickseal.core.errors import LocalProtocolError
from tickseal.core.keyschedule import expand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tickseal.core.primitives import Primitives

_HASH_BYTES = 32


class Exporter:
    """Yields secrets, each from a state that is then replaced and erased.

    Both sides must ask for the same secrets in the same order: that of the controller's `opened`.

    Args:
        secret: the third output of the handshake's split, 32 bytes, copied.
        handshake_hash: h after the last message, 32 bytes.
    """

    __slots__ = ("_handshake_hash", "_primitives", "_secret", "_uses")

    def __init__(self, primitives: "Primitives", secret: bytes, handshake_hash: bytes) -> None:
        if len(secret) != SECRET_BYTES or len(handshake_hash) != _HASH_BYTES:
            raise LocalProtocolError("an exporter takes a secret and a handshake hash of 32 bytes")
        self._primitives = primitives
        self._secret = erasable(secret)
        self._handshake_hash = handshake_hash
        self._uses = 0

    def initial_secret(self, stream_id: str, generation: int) -> bytes:
        """Return the initial secret, 32 bytes, of one generation (u64) of one stream.

        Raises:
            LocalProtocolError: the generation is not a u64, or the exporter was cleared.
        """
        if not 0 <= generation < 1 << 64:
            raise LocalProtocolError("generation %d does not fit into 64 bits" % generation)
        # Hash and generation have fixed sizes, so the id between them needs no length.
        bound = self._handshake_hash + stream_id.encode() + generation.to_bytes(8, "big")
        return self._yield(b"initial", self._primitives.sha256(bound))

    def device_psk(self) -> bytes:
        """Return the device PSK, 32 bytes: the first secret after an enrolment, and only the first.

        Raises:
            LocalProtocolError: the exporter was used or cleared before.
        """
        if self._uses:
            raise LocalProtocolError("the device PSK is the first secret after an enrolment")
        return self._yield(b"psk", self._handshake_hash)

    def clear(self) -> None:
        """Erase the secret; nothing more can be had."""
        erase(self._secret)
        self._secret = b""

    def _yield(self, label: bytes, context: bytes) -> bytes:
        secret = self._secret
        if not secret:
            raise LocalProtocolError("this exporter was cleared: make a new handshake")
        output = expand(self._primitives, secret, label, context, SECRET_BYTES)
        self._secret = erasable(expand(self._primitives, secret, b"exporter", b"", SECRET_BYTES))
        erase(secret)
        self._uses += 1
        return output

    def __repr__(self) -> str:
        return "<Exporter, used %d times>" % self._uses
