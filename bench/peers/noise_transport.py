"""The transport phase of Noise (ChaCha20-Poly1305 under one key a session), by noiseprotocol."""

from collections.abc import Callable
from importlib.metadata import version

from noise.connection import NoiseConnection


def describe() -> str:
    """Return name and version."""
    found = version("noiseprotocol")
    return f"Noise transport, ChaCha20-Poly1305, one message a frame (noiseprotocol {found})"


def prepare(payload: bytes, count: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return the functions that seal and open."""
    source = NoiseConnection.from_name(b"Noise_NN_25519_ChaChaPoly_SHA256")
    sink = NoiseConnection.from_name(b"Noise_NN_25519_ChaChaPoly_SHA256")
    source.set_as_initiator()
    sink.set_as_responder()
    source.start_handshake()
    sink.start_handshake()
    sink.read_message(source.write_message())
    source.read_message(sink.write_message())
    sealed: list[bytes] = []

    def seal() -> None:
        for _ in range(count):
            sealed.append(source.encrypt(payload))

    def open_all() -> None:
        for message in sealed:
            sink.decrypt(message)

    return seal, open_all
