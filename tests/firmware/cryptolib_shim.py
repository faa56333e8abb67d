"""MicroPython's cryptolib for CPython: AES in ECB and CBC mode, as the device's CCM asks for it."""

import sys
from types import ModuleType

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB


def aes(key: bytes, mode: int, iv: bytes | None = None) -> "Aes":
    """Return a cipher: mode 1 is ECB, mode 2 is CBC, as in MicroPython."""
    encryptor = Cipher(AES(key), ECB() if mode == 1 else CBC(iv or b"")).encryptor()
    return Aes(encryptor)


class Aes:
    """Encrypts whole blocks; chains from one call to the next, as cryptolib does."""

    def __init__(self, encryptor: CipherContext) -> None:
        self._encryptor = encryptor

    def encrypt(self, blocks: bytes) -> bytes:
        """Return as many bytes as were given, a multiple of 16."""
        if len(blocks) % 16:
            raise ValueError("blksize % 16")
        return self._encryptor.update(bytes(blocks))


def install() -> None:
    """Make `import cryptolib` find this."""
    module = ModuleType("cryptolib")
    module.__dict__["aes"] = aes
    sys.modules["cryptolib"] = module
