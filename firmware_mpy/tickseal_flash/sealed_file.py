"""Files as the board's own code reads them (device/files.py): content, then 8 bytes of its hash."""

import hashlib

from tickseal import cbor

_SUM_BYTES = 8


def sealed_file(content: bytes) -> bytes:
    """Return a file that a board finds undamaged."""
    return content + hashlib.sha256(content).digest()[:_SUM_BYTES]


def seed_file(seed: bytes) -> bytes:
    """Return tickseal.seed for a board that has not started yet."""
    return sealed_file(cbor.encode({"boots": 0, "seed": seed}))
