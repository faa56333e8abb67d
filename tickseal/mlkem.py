"""ML-KEM-768 (FIPS 203) over `cryptography`, for the hybrid handshake."""

from functools import cache
from typing import TYPE_CHECKING

from tickseal.core.errors import ConfigError, LocalProtocolError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey


class MLKEM768:
    """The KEM that `tickseal.core.noise` takes; it keeps nothing.

    Raises:
        ConfigError: `cryptography` has no ML-KEM here; distributions still ship versions without.
    """

    public_bytes = 1184
    ciphertext_bytes = 1088

    def __init__(self) -> None:
        try:
            from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
            from cryptography.hazmat.primitives.asymmetric import mlkem  # noqa: PLC0415
        except ImportError:
            raise ConfigError(_LACKING) from None
        self._mlkem = mlkem
        try:
            self.generate()
        except UnsupportedAlgorithm:
            raise ConfigError(_LACKING) from None

    def generate(self) -> "tuple[MLKEM768PrivateKey, bytes]":
        """Return a fresh private key and its public key, 1184 bytes."""
        private = self._mlkem.MLKEM768PrivateKey.generate()
        return private, private.public_key().public_bytes_raw()

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        """Return a shared secret, 32 bytes, and the ciphertext that carries it, 1088 bytes.

        Raises:
            ValueError: the public key fails the check of FIPS 203 section 7.2.
        """
        return self._mlkem.MLKEM768PublicKey.from_public_bytes(public).encapsulate()

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        """Return the shared secret; an altered ciphertext gives another one (implicit rejection).

        Raises:
            ValueError: the ciphertext has another size.
        """
        if not isinstance(private, self._mlkem.MLKEM768PrivateKey):
            raise LocalProtocolError("not a private key of ML-KEM-768")
        return private.decapsulate(ciphertext)


_LACKING = (
    "the hybrid handshake needs ML-KEM-768, which the `cryptography` installed here lacks: "
    "install cryptography 50 or newer, or enrol with a classical invite"
)


@cache
def mlkem768() -> MLKEM768:
    """Return the one MLKEM768, made at its first use; raises ConfigError where it cannot be."""
    return MLKEM768()
