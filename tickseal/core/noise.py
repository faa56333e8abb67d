"""Noise handshakes with a PSK: IKpsk2, its hybrid IKhfs+psk2, and the one-way Kpsk0 (revision 34).

Every pattern here has a PSK, so `e` mixes its key too, and a cipher key stands before anything is
encrypted: what other patterns send in the clear does not occur.
"""

from tickseal.core import constants
from tickseal.core.cipher import (
    KEY_BYTES,
    MESSAGE_MAX_BYTES,
    TAG_BYTES,
    CipherState,
    erasable,
    erase,
)
from tickseal.core.errors import HandshakeError, LocalProtocolError, RemoteProtocolError
from tickseal.core.symmetric import SymmetricState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from tickseal.core.primitives import Primitives

    Pattern = tuple[bytes, str, tuple[tuple[str, ...], ...]]

    class KEM(Protocol):
        """A key encapsulation mechanism; its functions raise ValueError on invalid bytes."""

        public_bytes: int
        ciphertext_bytes: int

        def generate(self) -> tuple[object, bytes]:
            """Return a fresh private key, in a form of its own, and its public key."""
            ...

        def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
            """Return a shared secret of 32 bytes and the ciphertext that carries it."""
            ...

        def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
            """Return the shared secret."""
            ...


# A pattern: its name; whose static keys are known beforehand, i or r; the tokens
# of each message, the initiator's first. A DH names the initiator's key, then the responder's.
IK_PSK2 = (constants.NOISE_CLASSICAL, "r", (("e", "es", "s", "ss"), ("e", "ee", "se", "psk")))
IK_HFS_PSK2 = (
    constants.NOISE_HYBRID,
    "r",
    (("e", "es", "e1", "s", "ss"), ("e", "ee", "ekem1", "se", "psk")),
)
K_PSK0 = (constants.NOISE_OFFLINE, "ir", (("psk", "e", "es", "ss"),))


class HandshakeState:
    """One side of one handshake. A failure ends it, and erases its secrets.

    Args:
        random_bytes: returns as many unpredictable bytes as it is asked for.
        pattern: IK_PSK2, IK_HFS_PSK2 or K_PSK0.
        private: the own static key, 32 bytes; clear() lets go of it, its owner erases it.
        public: its public key, where known: computing it takes a microcontroller half a second.
        peer_public: the peer's static public key, 32 bytes, where the pattern has it beforehand.
        psk: 32 bytes; it may follow through set_psk().
        kem: for IK_HFS_PSK2 only.
    Raises:
        LocalProtocolError: a key has the wrong size, or one is missing or too many for the pattern.
    """

    __slots__ = (
        "_initiator", "_kem", "_kem_private", "_kem_public", "_name", "_next", "_own", "_peer",
        "_primitives", "_psk", "_public", "_random_bytes", "_symmetric", "_turns", "handshake_hash",
    )  # fmt: skip

    def __init__(
        self,
        primitives: "Primitives",
        random_bytes: "Callable[[int], bytes]",
        pattern: "Pattern",
        *,
        initiator: bool,
        prologue: bytes,
        private: bytes,
        public: "bytes | None" = None,
        peer_public: "bytes | None" = None,
        psk: "bytes | None" = None,
        kem: "KEM | None" = None,
    ) -> None:
        self._name, known, self._turns = pattern
        if (("r" if initiator else "i") in known) != (peer_public is not None):
            raise LocalProtocolError("the peer's static key is missing, or unknown to this pattern")
        if ("e1" in self._turns[0]) != (kem is not None):
            raise LocalProtocolError("the hybrid pattern needs a KEM, and no other pattern has one")
        for key in (private, public, peer_public, psk):
            _check_size(key)
        self._primitives = primitives
        self._random_bytes = random_bytes
        self._initiator = initiator
        self._public = public or primitives.x25519_public(private)
        # Private keys of this side and public keys of the other, by Noise's letters e and s.
        self._own: "dict[str, bytes]" = {"s": private}
        self._peer: "dict[str, bytes]" = {"s": peer_public} if peer_public else {}
        self._psk = psk
        self._kem = kem
        self._kem_private: object = None
        self._kem_public = b""
        # The number of the next message, from 0; -1 once the handshake has ended.
        self._next = 0
        #: h after the last message, 32 bytes, the same on both sides. Empty until then.
        self.handshake_hash = b""
        self._symmetric = SymmetricState(primitives, self._name, prologue)
        for side in known:
            own = (side == "i") == initiator
            self._symmetric.mix_hash(self._public if own else self._peer["s"])

    @property
    def peer_public(self) -> "bytes | None":
        """The peer's static public key, 32 bytes, once it is known and until the handshake ends."""
        return self._peer.get("s")

    def set_psk(self, psk: bytes) -> None:
        """Choose the PSK, 32 bytes, before the message that mixes it in."""
        _check_size(psk)
        self._psk = psk

    def write_message(self, payload: bytes = b"") -> bytes:
        """Return the next message, with the payload encrypted inside.

        Raises:
            LocalProtocolError: not this side's turn, no PSK, or the payload is too long.
            HandshakeError: a key of the peer cannot be used.
        """
        tokens = self._begin(self._initiator)
        try:
            message = self._write(tokens, payload)
        except BaseException:
            self.clear()
            raise
        self._complete()
        return message

    def read_message(self, message: bytes) -> bytes:
        """Return the payload of the peer's next message.

        Raises:
            LocalProtocolError: not the peer's turn, or no PSK.
            HandshakeError: the message does not authenticate; the handshake is over.
        """
        tokens = self._begin(not self._initiator)
        try:
            payload = self._read(tokens, message)
        except BaseException:
            self.clear()
            raise
        self._complete()
        return payload

    def split(self) -> "tuple[CipherState, CipherState, bytes]":
        """Return the cipher to send with, the one to receive with, and the exporter of 32 bytes.

        Once, after the last message. After a one-way pattern only the initiator may send.

        Raises:
            LocalProtocolError: the handshake is not complete, failed, or was split before.
        """
        if self._next != len(self._turns):
            raise LocalProtocolError("this handshake is not complete, or has ended")
        forth, back, exporter = self._symmetric.split()
        self.clear()
        send, receive = (forth, back) if self._initiator else (back, forth)
        return (
            CipherState(self._primitives, send),
            CipherState(self._primitives, receive),
            exporter,
        )

    def clear(self) -> None:
        """End the handshake and erase its secrets; the handshake hash stays."""
        self._next = -1
        self._symmetric.clear()
        erase(self._own.get("e", b""))
        self._own = {}
        self._peer = {}
        self._psk = None
        self._kem_private = None

    def _begin(self, initiator: bool) -> "tuple[str, ...]":
        """Return the tokens of the next message, if it is the one that this side sends."""
        if not 0 <= self._next < len(self._turns):
            raise LocalProtocolError("this handshake has ended: make a new one")
        if initiator != (self._next % 2 == 0):
            raise LocalProtocolError("message %d is for the other side" % (self._next + 1))
        tokens = self._turns[self._next]
        if "psk" in tokens and self._psk is None:
            raise LocalProtocolError("set the PSK before message %d" % (self._next + 1))
        return tokens

    def _complete(self) -> None:
        self._next += 1
        if self._next == len(self._turns):
            self.handshake_hash = self._symmetric.hash

    def _write(self, tokens: "tuple[str, ...]", payload: bytes) -> bytes:
        symmetric = self._symmetric
        message = b""
        for name in tokens:
            if name == "e":
                private = erasable(self._random_bytes(KEY_BYTES))
                self._own["e"] = private
                public = self._primitives.x25519_public(private)
                self._mix_ephemeral(public)
                message += public
            elif name == "s":
                message += symmetric.seal_and_hash(self._public)
            elif name == "e1" and self._kem:
                self._kem_private, public = self._kem.generate()
                message += symmetric.seal_and_hash(public)
            elif name == "ekem1" and self._kem:
                try:
                    secret, ciphertext = self._kem.encapsulate(self._kem_public)
                except ValueError:
                    raise HandshakeError("the peer's KEM key is not a valid one") from None
                message += symmetric.seal_and_hash(ciphertext)
                symmetric.mix_key(secret)
            else:
                self._mix_secret(name)
        message += symmetric.seal_and_hash(payload)
        if len(message) > MESSAGE_MAX_BYTES:
            raise LocalProtocolError("a payload of %d bytes is too long" % len(payload))
        return message

    def _read(self, tokens: "tuple[str, ...]", message: bytes) -> bytes:
        if len(message) > MESSAGE_MAX_BYTES:
            raise HandshakeError("a handshake message of %d bytes is too long" % len(message))
        rest = message
        for name in tokens:
            size = self._field_bytes(name)
            if len(rest) < size + TAG_BYTES:
                raise HandshakeError("a handshake message of %d bytes is cut off" % len(message))
            field, rest = rest[:size], rest[size:]
            if name == "e":
                self._peer["e"] = field
                self._mix_ephemeral(field)
            elif name == "s":
                self._peer["s"] = self._open(field, "static key")
            elif name == "e1":
                self._kem_public = self._open(field, "KEM key")
            elif name == "ekem1" and self._kem:
                ciphertext = self._open(field, "KEM ciphertext")
                try:
                    secret = self._kem.decapsulate(self._kem_private, ciphertext)
                except ValueError:
                    raise HandshakeError("the peer's KEM ciphertext is not a valid one") from None
                self._symmetric.mix_key(secret)
            else:
                self._mix_secret(name)
        return self._open(rest, "payload")

    def _field_bytes(self, name: str) -> int:
        if name == "e":
            return KEY_BYTES
        if name == "s":
            return KEY_BYTES + TAG_BYTES
        if name == "e1" and self._kem:
            return self._kem.public_bytes + TAG_BYTES
        if name == "ekem1" and self._kem:
            return self._kem.ciphertext_bytes + TAG_BYTES
        return 0

    def _open(self, sealed: bytes, what: str) -> bytes:
        try:
            return self._symmetric.open_and_hash(sealed)
        except RemoteProtocolError:
            raise HandshakeError(
                "handshake message %d does not authenticate at its %s: another static key or PSK "
                "than ours, or altered on the way" % (self._next + 1, what)
            ) from None

    def _mix_ephemeral(self, public: bytes) -> None:
        self._symmetric.mix_hash(public)
        # Noise section 9.2: where there is a PSK, "e" calls MixKey(e.public_key) too.
        self._symmetric.mix_key(public)

    def _mix_secret(self, name: str) -> None:
        if name == "psk" and self._psk is not None:
            self._symmetric.mix_key_and_hash(self._psk)
            return
        own, peer = (name[0], name[1]) if self._initiator else (name[1], name[0])
        try:
            shared = self._primitives.x25519(self._own[own], self._peer[peer])
        except ValueError:
            # All zero (RFC 7748 section 6.1): everybody would know this secret.
            raise HandshakeError("a public key of the peer is a point of low order") from None
        self._symmetric.mix_key(shared)

    def __repr__(self) -> str:
        return "<HandshakeState %s, %s, %s>" % (
            self._name.decode(),
            "initiator" if self._initiator else "responder",
            "ended" if self._next < 0 else "%d of %d messages" % (self._next, len(self._turns)),
        )


def _check_size(key: "bytes | None") -> None:
    if key is not None and len(key) != KEY_BYTES:
        raise LocalProtocolError(
            "a key or PSK has %d bytes; it must have %d" % (len(key), KEY_BYTES)
        )
