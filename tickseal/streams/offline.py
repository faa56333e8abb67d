"""A generation that a source opens alone, sealed to its gateway (docs/protocol.md section 6.4)."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tickseal import cbor, primitives
from tickseal.core import constants
from tickseal.core.errors import HandshakeError, LocalProtocolError, RemoteProtocolError
from tickseal.core.noise import K_PSK0, HandshakeState

_KEYS = {"handle", "metadata", "parameters", "salt", "secret"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineGeneration:
    """All that the gateway needs to open what a source seals while it is away.

    Attributes:
        handle: u32, not 0: the one that the controller gave the stream.
        metadata: encoded, 1..1024 bytes.
        parameters: encoded, with a generation and t0 of their own.
        salt: 32 random bytes.
        secret: the initial secret, 32 random bytes.
    Raises:
        LocalProtocolError: a field is out of range.
    """

    handle: int
    metadata: bytes
    parameters: bytes
    salt: bytes = field(repr=False)
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 < self.handle < 1 << 32:
            raise LocalProtocolError(f"handle {self.handle} of an offline generation; 1..2^32-1")
        if not 0 < len(self.metadata) <= constants.METADATA_MAX_BYTES:
            raise LocalProtocolError(f"metadata of {len(self.metadata)} bytes; 1..1024 are allowed")
        if not self.parameters:
            raise LocalProtocolError("an offline generation has parameters")
        for name, value, size in (
            ("salt", self.salt, constants.SALT_BYTES),
            ("secret", self.secret, constants.SECRET_BYTES),
        ):
            if len(value) != size:
                raise LocalProtocolError(f"{name} of {len(value)} bytes; it must have {size}")


def seal_offline_generation(
    generation: OfflineGeneration,
    *,
    private: bytes,
    gateway_public: bytes,
    psk: bytes,
    random_bytes: Callable[[int], bytes],
) -> bytes:
    """Return the blob of an `offer`, which only the gateway can open.

    Args:
        private: the device's static key, 32 bytes.
        gateway_public: the gateway's static public key, 32 bytes.
        psk: the device PSK, 32 bytes.
        random_bytes: returns as many unpredictable bytes as it is asked for.
    Raises:
        LocalProtocolError: a key has the wrong size, or the blob would not fit a control message.
        HandshakeError: the gateway's public key is not one that can be used.
    """
    state = HandshakeState(
        primitives,
        random_bytes,
        K_PSK0,
        initiator=True,
        prologue=constants.OFFLINE_PROLOGUE,
        private=private,
        peer_public=gateway_public,
        psk=psk,
    )
    payload = cbor.encode(
        {
            "handle": generation.handle,
            "metadata": generation.metadata,
            "parameters": generation.parameters,
            "salt": generation.salt,
            "secret": generation.secret,
        }
    )
    blob = state.write_message(payload)
    state.clear()
    if len(blob) > constants.CONTROL_MAX_BYTES:
        raise LocalProtocolError(f"an offline generation of {len(blob)} bytes fits no message")
    return blob


def open_offline_generation(
    blob: bytes, *, private: bytes, device_public: bytes, psk: bytes
) -> OfflineGeneration:
    """Return what a device sealed with seal_offline_generation.

    A blob opens as often as it is shown: its opener must refuse a generation opened before.

    Args:
        private: the gateway's static key, 32 bytes.
        device_public: the device's static public key, 32 bytes.
        psk: the device PSK, 32 bytes.
    Raises:
        HandshakeError: from another device, for another gateway, under another PSK, or altered.
        RemoteProtocolError: what the device sealed is not what the protocol allows.
        LocalProtocolError: a key has the wrong size.
    """
    state = HandshakeState(
        primitives,
        _no_random_bytes,
        K_PSK0,
        initiator=False,
        prologue=constants.OFFLINE_PROLOGUE,
        private=private,
        peer_public=device_public,
        psk=psk,
    )
    if len(blob) > constants.CONTROL_MAX_BYTES:
        raise HandshakeError(f"an offline generation of {len(blob)} bytes is too long")
    payload = state.read_message(blob)
    state.clear()
    value = cbor.decode(payload)
    if not isinstance(value, dict) or set(value) != _KEYS:
        raise RemoteProtocolError("an offline generation with other keys than its five")
    handle, metadata, parameters, salt, secret = (value[key] for key in sorted(_KEYS))
    if (
        type(handle) is not int
        or not isinstance(metadata, bytes)
        or not isinstance(parameters, bytes)
        or not isinstance(salt, bytes)
        or not isinstance(secret, bytes)
    ):
        raise RemoteProtocolError("an offline generation with a value of the wrong type")
    try:
        return OfflineGeneration(
            handle=handle, metadata=metadata, parameters=parameters, salt=salt, secret=secret
        )
    except LocalProtocolError as fault:
        raise RemoteProtocolError(str(fault)) from None


def _no_random_bytes(_size: int) -> bytes:
    raise LocalProtocolError("opening an offline generation takes no random bytes")
