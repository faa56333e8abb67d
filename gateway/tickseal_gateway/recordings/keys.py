"""The recording key: what the grants of recordings lie under on the disk."""

import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tickseal.core.errors import StoreError
from tickseal.host.state import StateDirectory

KEY_FILE = "recordings.key"
_KEY_BYTES, _NONCE_BYTES = 32, 12
_LABEL = b"tickseal/1 recording"


def load_key(state: StateDirectory) -> bytes:
    """Return the recording key of a gateway; make it, and put it on disk, where there is none.

    Raises:
        StoreError: the file is not a key, or the disk refuses.
    """
    key = state.read(KEY_FILE)
    if key is None:
        key = os.urandom(_KEY_BYTES)
        state.write(KEY_FILE, key)
    return _checked(key, state.path / KEY_FILE)


def read_key(path: Path) -> bytes:
    """Return the recording key of a file, for a reader beside a running gateway.

    Raises:
        StoreError: it cannot be read, or is not a key.
    """
    try:
        return _checked(path.read_bytes(), path)
    except FileNotFoundError:
        raise StoreError(
            f"nothing was recorded in {path.parent}; the gateway records what comes from its next "
            "start on with [recordings] record = true"
        ) from None
    except OSError as error:
        raise StoreError(
            f"cannot read the recording key {path}: {error.strerror}; be the gateway's user"
        ) from None


class GrantBox:
    """Seals grants of one file: random nonces under a key that is for this file only.

    Args:
        key: the recording key, 32 bytes.
        salt: the file's, 32 bytes.
    """

    def __init__(self, key: bytes, salt: bytes) -> None:
        derived = HKDF(SHA256(), _KEY_BYTES, salt=salt, info=_LABEL).derive(key)
        self._cipher = ChaCha20Poly1305(derived)

    def seal(self, grant: bytes, place: bytes) -> bytes:
        """Return a sealed grant.

        Args:
            place: what it belongs to; opening it elsewhere fails.
        """
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, grant, place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """Return the grant.

        Raises:
            StoreError: it was sealed under another key, or altered.
        """
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], place)
        except (InvalidTag, ValueError):
            raise StoreError(
                "a recording that another recording key opens, or that was altered"
            ) from None

    def __repr__(self) -> str:
        """Show nothing of the key."""
        return "<GrantBox>"


def _checked(key: bytes, path: Path) -> bytes:
    if len(key) != _KEY_BYTES:
        raise StoreError(
            f"{path} is not a key of {_KEY_BYTES} bytes; put it back from a backup, or delete it "
            "together with the recordings, which nothing else opens"
        )
    return key
