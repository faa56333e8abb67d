"""Simulated time, and a serial cable in it: the same each run, however busy the machine is."""

import asyncio
import contextlib
import itertools
import random
import selectors
import socket
from collections.abc import Callable, Iterator
from typing import Any

from cable import FAULTS

from tickseal.links.serial_port import SerialSettings

#: Bytes a second: over USB, and at two rates of a UART.
USB, BAUD_115200, BAUD_9600 = 1_000_000, 11_520, 960
#: What an end takes until it sees what has come, s.
LATENCY_S = 0.001


class _Jumping(selectors.DefaultSelector):
    """Does not wait: it moves the time."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "nothing will ever happen again"
            self.now += max(timeout, 0)
        return ready


class Timeline(asyncio.SelectorEventLoop):
    """An event loop in simulated time, which begins at 1 s."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        self._jumping.now = 1.0
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


class Line:
    """One direction of a cable: so many bytes a second, each damaged with a chance.

    Attributes:
        noise: that chance; faults: what it means, of FAULTS.
        is_cut: nothing arrives while it is true.
        is_held: nothing is taken at its end while it is true; it waits there.
        carried: bytes so far.
    """

    def __init__(self, chance: random.Random, rate: int, sink: Callable[[bytes], None]) -> None:
        self.noise, self.faults, self.carried = 0.0, list(FAULTS), 0
        self.is_cut = self.is_held = False
        self.rate = rate
        self.waiting = bytearray()
        self._chance, self._sink = chance, sink
        self._is_busy = False
        self._held = b""
        self.on_free: Callable[[], None] = lambda: None

    def put(self, data: bytes) -> None:
        """Send bytes after those that wait."""
        self.waiting += data
        if not self._is_busy:
            self._carry()

    def _carry(self) -> None:
        piece = bytes(self.waiting[: max(1, self.rate // 1000)])
        del self.waiting[: len(piece)]
        self._is_busy = bool(piece)
        if piece:
            loop = asyncio.get_running_loop()
            took = len(piece) / self.rate
            loop.call_later(took, self._carry)
            loop.call_later(took + LATENCY_S, self._arrive, piece)
        self.on_free()

    def _arrive(self, piece: bytes) -> None:
        self.carried += len(piece)
        if not self.is_cut:
            self._held += self._damaged(piece) if self.noise else piece
            self.release()

    def release(self) -> None:
        """Let the end take what waits there, unless it does nothing."""
        if not self.is_held:
            held, self._held = self._held, b""
            self._sink(held)

    def _damaged(self, piece: bytes) -> bytes:
        chance = self._chance
        return b"".join(
            FAULTS[chance.choice(self.faults)](chance, byte)
            if chance.random() < self.noise
            else bytes((byte,))
            for byte in piece
        )


class Cable:
    """Both directions, and the host's port, which is there as long as it is."""

    def __init__(self, seed: int, rate: int) -> None:
        chance = random.Random(seed)
        self.received = bytearray()
        self.arrived = asyncio.Event()
        self.to_host = Line(chance, rate, self._hear_host)
        self.to_board = Line(chance, rate, self._hear_board)
        self.lines = (self.to_host, self.to_board)
        self._host, self._far = socket.socketpair()
        for end in (self._host, self._far):
            end.setblocking(False)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._far, self._take)
        self.to_board.on_free = lambda: loop.add_reader(self._far, self._take)

    def set(self, **settings: Any) -> None:
        """Set attributes of both lines."""
        for line, (name, value) in itertools.product(self.lines, settings.items()):
            setattr(line, name, value)

    @contextlib.contextmanager
    def open(self, _settings: SerialSettings) -> Iterator[int]:
        """Stand in for opening the port; what came before is gone."""
        with contextlib.suppress(BlockingIOError):
            while self._host.recv(4096):
                pass
        yield self._host.fileno()

    def _take(self) -> None:
        # As much as a terminal holds; the rest stays with the host.
        if len(self.to_board.waiting) < 4096:
            self.to_board.put(self._far.recv(256))
        else:
            asyncio.get_running_loop().remove_reader(self._far)

    def _hear_host(self, data: bytes) -> None:
        with contextlib.suppress(BlockingIOError):
            self._far.send(data)

    def _hear_board(self, data: bytes) -> None:
        self.received += data
        self.arrived.set()

    def close(self) -> None:
        """Take it away."""
        asyncio.get_running_loop().remove_reader(self._far)
        self._host.close()
        self._far.close()
