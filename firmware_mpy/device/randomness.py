"""Random bytes that stay unpredictable where the port's own are weak.

An RP2040 has no certified random generator. So each draw hashes together what the port gives, the
jitter of the clock, the device's key, and a seed in flash that changes at every start and was given
by the computer that flashed the board. Whoever lacks one of them cannot tell what is drawn, and
two starts never draw the same.
"""

import os
import time
from hashlib import sha256

from device import cborlite, files
from device.hmac import prepare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SEED = "tickseal.seed"


class Randomness:
    """Call it with how many bytes are wanted.

    Args:
        key: the device's private key, where it has one already.
        urandom: the port's generator.
    """

    __slots__ = ("_state", "_urandom", "boots")

    def __init__(self, key: bytes = b"", urandom: "Any" = os.urandom) -> None:
        seed, boots = b"", 0
        if files.exists(SEED):
            known = cborlite.decode(files.read(SEED))
            seed, boots = known["seed"], known["boots"]
        self._urandom = urandom
        #: How often the board has started with this seed.
        self.boots = boots + 1
        mixed = sha256(b"tickseal/1 random" + seed + boots.to_bytes(8, "big") + key)
        mixed.update(urandom(32))
        for _ in range(64):
            mixed.update(time.ticks_us().to_bytes(8, "big"))
        pool = mixed.digest()
        mac = prepare(pool)
        # Written before anything is drawn: no two starts begin alike.
        following = {"seed": mac(b"seed"), "boots": self.boots}
        files.write(SEED, cborlite.encode(following))
        self._state = mac(b"state" + time.ticks_us().to_bytes(8, "big"))

    def __call__(self, size: int) -> bytes:
        """Return random bytes."""
        mac = prepare(self._state)
        fresh = self._urandom(32) + time.ticks_us().to_bytes(8, "big")
        out = b""
        while len(out) < size:
            out += mac(b"out" + bytes((len(out) // 32,)) + fresh)
        self._state = mac(b"next" + fresh)
        return out[:size]

    def __repr__(self) -> str:
        return "<Randomness>"
