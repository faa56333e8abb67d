"""A serial cable between two pseudo-terminals, that can be pulled and damage what it carries."""

import asyncio
import os
import random
import tty
from collections.abc import Callable
from typing import Self

#: What noise makes of a byte.
FAULTS: dict[str, Callable[[random.Random, int], bytes]] = {
    "dropped": lambda _chance, _byte: b"",
    "duplicated": lambda _chance, byte: bytes((byte, byte)),
    "flipped": lambda chance, byte: bytes((byte ^ 1 << chance.randrange(8),)),
    "inserted": lambda chance, byte: bytes((byte, chance.randrange(256))),
}


class TestCable:
    """Two terminals joined by a cable: `host` and `board` are their paths.

    Attributes:
        noise: the chance of each byte to be damaged.
        faults: what that means; of FAULTS.
        is_pulled: nothing passes while it is true.
        heard: all that passed, for an eavesdropper.
    """

    __test__ = False

    def __init__(self, seed: int = 0) -> None:
        self.noise = 0.0
        self.faults = list(FAULTS)
        self.is_pulled = False
        self.heard: list[bytes] | None = None
        self._random = random.Random(seed)
        self._files: list[int] = []
        self._ends = []
        for _ in range(2):
            master, slave = os.openpty()
            tty.setraw(slave)
            os.set_blocking(master, False)
            self._files += [master, slave]
            self._ends.append(master)
        self.host, self.board = (os.ttyname(slave) for slave in self._files[1::2])

    async def __aenter__(self) -> Self:
        """Join the ends."""
        loop = asyncio.get_running_loop()
        for source, sink in (self._ends, self._ends[::-1]):
            loop.add_reader(source, self._carry, source, sink)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Take the cable away."""
        for end in self._ends:
            asyncio.get_running_loop().remove_reader(end)
        for file in self._files:
            os.close(file)

    def _carry(self, source: int, sink: int) -> None:
        data = os.read(source, 4096)
        if self.heard is not None:
            self.heard.append(data)
        if self.is_pulled:
            return
        if self.noise:
            data = self._damage(data)
        try:
            # A terminal that is full drops the rest, as a UART without flow control does.
            os.write(sink, data)
        except BlockingIOError:
            pass

    def _damage(self, data: bytes) -> bytes:
        chance, faults = self._random, self.faults
        return b"".join(
            FAULTS[chance.choice(faults)](chance, byte)
            if chance.random() < self.noise
            else bytes((byte,))
            for byte in data
        )
