"""The handshake between a device and its gateway, in records (docs/protocol.md section 6).

The device is the initiator. The gateway learns from the first record who asks, and only then
accepts with that device's PSK or refuses with a reason.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from tickseal import cbor, primitives
from tickseal.core import constants
from tickseal.core.cipher import CipherState
from tickseal.core.errors import (
    ConfigError,
    HandshakeError,
    LocalProtocolError,
    RemoteProtocolError,
)
from tickseal.core.exporter import Exporter
from tickseal.core.noise import IK_HFS_PSK2, IK_PSK2, HandshakeState
from tickseal.forks import clear_in_child
from tickseal.mlkem import mlkem768

#: What a refusal may name (docs/protocol.md section 6.2).
REFUSAL_REASONS = ("unknown", "revoked", "expired", "used", "incompatible", "busy")
#: Known to all: a refusal proves who refuses, by the gateway's static key, and nothing else.
REFUSAL_PSK = primitives.sha256(constants.REFUSAL_LABEL)

#: Type and body of a record.
Record = tuple[int, bytes]


class HandshakeRefused(HandshakeError):
    """The gateway refused the device; that it was the gateway is authenticated.

    Attributes:
        reason: one of REFUSAL_REASONS.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the gateway refused this device: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True, eq=False)
class Established:
    """What a handshake leaves behind on one side: ciphers for control records, and secrets to come.

    Attributes:
        send: seals the bodies of own control records.
        receive: opens the bodies of the peer's.
        exporter: yields initial secrets and, at enrolment, the device PSK.
        handshake_hash: h, 32 bytes, the same on both sides.
    """

    send: CipherState
    receive: CipherState
    exporter: Exporter
    handshake_hash: bytes = field(repr=False)

    def clear(self) -> None:
        """Erase all secrets."""
        self.send.clear()
        self.receive.clear()
        self.exporter.clear()


def _establish(state: HandshakeState) -> Established:
    send, receive, exporter = state.split()
    established = Established(
        send=send,
        receive=receive,
        exporter=Exporter(primitives, exporter, state.handshake_hash),
        handshake_hash=state.handshake_hash,
    )
    clear_in_child(established)
    return established


class Initiator:
    """The device's side of one handshake.

    Args:
        private: the device's static key, 32 bytes.
        gateway_public: the gateway's static public key, 32 bytes, as pinned at enrolment.
        psk: 32 bytes: the invite's secret at enrolment, the device PSK afterwards.
        hybrid: whether to use ML-KEM-768 too, as pinned at enrolment. There is no fall back.
        random_bytes: returns as many unpredictable bytes as it is asked for.
        invite_id: 8 bytes at enrolment, empty afterwards.
    Raises:
        LocalProtocolError: a key or the invite id has the wrong size.
        ConfigError: hybrid, where `cryptography` has no ML-KEM.
    """

    def __init__(
        self,
        *,
        private: bytes,
        gateway_public: bytes,
        psk: bytes,
        hybrid: bool,
        random_bytes: Callable[[int], bytes],
        invite_id: bytes = b"",
    ) -> None:
        if len(invite_id) not in (0, constants.INVITE_ID_BYTES):
            raise LocalProtocolError(f"an invite id of {len(invite_id)} bytes; it must have 8")
        self._type = constants.RECORD_HYBRID if hybrid else constants.RECORD_CLASSICAL
        self._invite_id = invite_id
        self._state = HandshakeState(
            primitives,
            random_bytes,
            IK_HFS_PSK2 if hybrid else IK_PSK2,
            initiator=True,
            prologue=constants.PROLOGUE,
            private=private,
            peer_public=gateway_public,
            psk=psk,
            kem=mlkem768() if hybrid else None,
        )

    def first_record(self) -> Record:
        """Return the record that opens the handshake, once.

        Raises:
            HandshakeError: the gateway's public key is not one that can be used.
            LocalProtocolError: called before.
        """
        return self._type, self._state.write_message(self._invite_id)

    def read_answer(self, record_type: int, body: bytes) -> Established:
        """Return what the gateway's answer establishes.

        Raises:
            HandshakeRefused: the gateway, authenticated, refuses and says why.
            HandshakeError: wrong gateway, wrong PSK, or altered; the handshake is over.
            LocalProtocolError: no first record was sent, or an answer was read before.
        """
        if record_type not in (constants.RECORD_ANSWER, constants.RECORD_REFUSAL):
            self._state.clear()
            raise HandshakeError(f"a record of type {record_type} where an answer was expected")
        refused = record_type == constants.RECORD_REFUSAL
        if refused:
            self._state.set_psk(REFUSAL_PSK)
        payload = self._state.read_message(body)
        if refused:
            self._state.clear()
            raise HandshakeRefused(_read_reason(payload))
        if payload:
            self._state.clear()
            raise HandshakeError("the gateway's answer carries a payload that it must not have")
        return _establish(self._state)

    def clear(self) -> None:
        """Erase all secrets; the handshake is over."""
        self._state.clear()

    def __repr__(self) -> str:
        return f"<Initiator {self._state!r}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstRecord:
    """What a gateway learns from a first record.

    The holder of the device's static key made it for this gateway, but perhaps long ago: it may be
    a replay. Nothing may change on its account before the session's first control record opens.

    Attributes:
        device_public: the device's static public key, 32 bytes.
        invite_id: 8 bytes at enrolment, empty from a device that says it is enrolled.
        hybrid: which pattern the device uses, to be compared with the one that is pinned.
    """

    device_public: bytes
    invite_id: bytes
    hybrid: bool


class Responder:
    """The gateway's side of one handshake: read_first(), then accept() or refuse().

    Args:
        private: the gateway's static key, 32 bytes.
        public: its public key, where known: saves computing it for each handshake.
        random_bytes: returns as many unpredictable bytes as it is asked for.
    """

    def __init__(
        self,
        *,
        private: bytes,
        random_bytes: Callable[[int], bytes],
        public: bytes | None = None,
    ) -> None:
        self._private = private
        self._public = public
        self._random_bytes = random_bytes
        self._state: HandshakeState | None = None

    def read_first(self, record_type: int, body: bytes) -> FirstRecord:
        """Return who asks, and how.

        Raises:
            HandshakeError: not a first record, not for this gateway, altered, or hybrid where
                `cryptography` has no ML-KEM.
            LocalProtocolError: called before.
        """
        if self._state is not None:
            raise LocalProtocolError("a responder reads one first record")
        if record_type not in (constants.RECORD_CLASSICAL, constants.RECORD_HYBRID):
            raise HandshakeError(f"a record of type {record_type} where a handshake must begin")
        hybrid = record_type == constants.RECORD_HYBRID
        try:
            kem = mlkem768() if hybrid else None
        except ConfigError as lacking:
            raise HandshakeError(str(lacking)) from None
        state = HandshakeState(
            primitives,
            self._random_bytes,
            IK_HFS_PSK2 if hybrid else IK_PSK2,
            initiator=False,
            prologue=constants.PROLOGUE,
            private=self._private,
            public=self._public,
            kem=kem,
        )
        invite_id = state.read_message(body)
        device_public = state.peer_public
        if device_public is None or len(invite_id) not in (0, constants.INVITE_ID_BYTES):
            state.clear()
            raise HandshakeError(f"an invite id of {len(invite_id)} bytes; it must have 8 or none")
        self._state = state
        return FirstRecord(device_public=device_public, invite_id=invite_id, hybrid=hybrid)

    def accept(self, psk: bytes) -> tuple[Record, Established]:
        """Answer with the device's PSK, 32 bytes: return the record to send, and the session.

        The session counts only once its first control record has been opened: the first record may
        be a replay, and the device may not hold the PSK.

        Raises:
            HandshakeError: a key of the device cannot be used.
            LocalProtocolError: no first record was read, or it was answered before.
        """
        state = self._answerable()
        state.set_psk(psk)
        body = state.write_message()
        return (constants.RECORD_ANSWER, body), _establish(state)

    def refuse(self, reason: str) -> Record:
        """Return the record that refuses the device, for a reason of REFUSAL_REASONS.

        Raises: as accept, and LocalProtocolError for a reason that there is not.
        """
        if reason not in REFUSAL_REASONS:
            raise LocalProtocolError(f"refuse for one of {', '.join(REFUSAL_REASONS)}")
        state = self._answerable()
        state.set_psk(REFUSAL_PSK)
        body = state.write_message(cbor.encode({"m": "refused", "reason": reason}))
        state.clear()
        return constants.RECORD_REFUSAL, body

    def clear(self) -> None:
        """Erase the secrets of the handshake, which is over."""
        if self._state is not None:
            self._state.clear()

    def _answerable(self) -> HandshakeState:
        if self._state is None:
            raise LocalProtocolError("read a first record before answering it")
        return self._state

    def __repr__(self) -> str:
        return f"<Responder {self._state!r}>"


def _read_reason(payload: bytes) -> str:
    try:
        message = cbor.decode(payload)
    except RemoteProtocolError as fault:
        raise HandshakeError(f"the gateway's refusal cannot be read: {fault}") from None
    for reason in REFUSAL_REASONS:
        if message == {"m": "refused", "reason": reason}:
            return reason
    raise HandshakeError("the gateway refused this device for a reason that this version lacks")
