"""libsodium's secretstream (XChaCha20-Poly1305 under a ratcheted key), by PyNaCl."""

from collections.abc import Callable

import nacl
from nacl import bindings


def describe() -> str:
    """Return name and version."""
    return f"secretstream, XChaCha20-Poly1305, one message a frame (PyNaCl {nacl.__version__})"


def prepare(payload: bytes, count: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return the functions that seal and open."""
    key = bytes(32)
    push = bindings.crypto_secretstream_xchacha20poly1305_push
    pull = bindings.crypto_secretstream_xchacha20poly1305_pull
    source = bindings.crypto_secretstream_xchacha20poly1305_state()
    header = bindings.crypto_secretstream_xchacha20poly1305_init_push(source, key)
    sink = bindings.crypto_secretstream_xchacha20poly1305_state()
    bindings.crypto_secretstream_xchacha20poly1305_init_pull(sink, header, key)
    sealed: list[bytes] = []

    def seal() -> None:
        for _ in range(count):
            sealed.append(push(source, payload))

    def open_all() -> None:
        for message in sealed:
            pull(sink, message)

    return seal, open_all
