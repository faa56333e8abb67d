"""The gateway's identity: one X25519 key, made at the first start, by which devices know it."""

import os
from dataclasses import dataclass, field

from tickseal import primitives
from tickseal.core.errors import StoreError
from tickseal.host.state import StateDirectory

_FILE = "identity.key"
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The gateway's static key pair.

    Attributes:
        private: 32 bytes.
        public: 32 bytes; devices pin it at enrolment.
    """

    private: bytes = field(repr=False)
    public: bytes

    @property
    def fingerprint(self) -> str:
        """The public key's hash, short enough for people to compare."""
        digest = primitives.sha256(self.public).hex()
        return "-".join(digest[at : at + 4] for at in range(0, 24, 4))


def load_identity(state: StateDirectory) -> Identity:
    """Return the gateway's identity; make it, and put it on disk, where there is none.

    Raises:
        StoreError: the file is not a key, or the disk refuses.
    """
    private = state.read(_FILE)
    if private is None:
        private = os.urandom(_KEY_BYTES)
        state.write(_FILE, private)
    if len(private) != _KEY_BYTES:
        raise StoreError(
            f"{state.path / _FILE} is not a key of {_KEY_BYTES} bytes; put it back from a "
            "backup, or delete it for a new identity, after which every device must enrol again"
        )
    return Identity(private=private, public=primitives.x25519_public(private))
