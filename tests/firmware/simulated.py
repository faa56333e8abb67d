"""A board, its cable and its host in simulated time: the code is the real one at both ends.

The board is device.main.Board on CPython, the host a SerialServer with a simulated_gateway behind
it. What a time measured here holds is the line's, whatever else the machine has to do.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace

import device.cable
import device.clock
import device.main
import device.randomness
import pytest
from device import config, identity, main
from device.randomness import Randomness
from device.session import RUNNING
from simulated_gateway import Gateway, Ledger, now_ns
from timeline import LATENCY_S, USB, Cable, Timeline

from tickseal.links import serial
from tickseal.links.serial_port import SerialSettings

#: Bytes that the port of a board holds.
_PORT_BYTES = 256
STREAM = {
    "id": "board/counter", "period_ms": 25, "interval_ms": 50, "sensors": [{"kind": "counter"}],
}  # fmt: skip


class _Port:
    """The board's end, as MicroPython gives it."""

    def __init__(self, cable: Cable) -> None:
        self.input = self.output = self
        self.cable = cable
        self.byte_us = 1_000_000 // cable.to_host.rate
        #: For how long the board waits for bytes.
        self.wait_ms = 0

    def read(self, size: int) -> bytes:
        data = bytes(self.cable.received[:size])
        del self.cable.received[:size]
        return data

    def write(self, data: bytes) -> int:
        taken = data[: max(0, _PORT_BYTES - len(self.cable.to_host.waiting))]
        self.cable.to_host.put(taken)
        return len(taken)


class _Poll:
    def register(self, port: _Port, flag: int) -> None:
        self._port, self._flag = port, flag

    def poll(self, wait_ms: int) -> bool:
        cable = self._port.cable
        if self._flag == _SELECT.POLLOUT:
            return len(cable.to_host.waiting) < _PORT_BYTES
        # The test bench does the waiting, after this step.
        if not cable.received and wait_ms:
            self._port.wait_ms = wait_ms
        return bool(cable.received)


_SELECT = SimpleNamespace(poll=_Poll, POLLIN=1, POLLOUT=4)
_TIME = SimpleNamespace(
    ticks_us=lambda: now_ns() // 1000, ticks_diff=lambda end, start: end - start
)


class Bench:
    """A board with its cable and its host.

    Attributes:
        gateway: behind the host's processes.
        board: that has power now, or had it last.
        said: what the board had to say to people.
    """

    def __init__(self, ledger: Ledger, seed: int, rate: int) -> None:
        self.cable = Cable(seed, rate)
        self.ledger = ledger
        self.gateway = Gateway(ledger, random.Random(seed))
        self.said: list[str] = []
        self.board: main.Board | None = None
        self._host: asyncio.Task[None] | None = None
        self._board: asyncio.Task[None] | None = None

    # --- The host ---

    def start_host(self) -> None:
        """Start its process."""
        self.cable.to_board.is_cut = False
        server = serial.SerialServer(
            SerialSettings(port="cable", baudrate=10 * self.cable.to_board.rate),
            self.gateway.serve,
            lambda _port, line: self.said.append(line),
        )
        self._host = asyncio.get_running_loop().create_task(server.run())

    def stop_host(self, *, is_stopped: bool = True) -> None:
        """Let its process do nothing though its port stays open, or let it go on."""
        self.cable.set(is_held=is_stopped)
        for line in self.cable.lines:
            line.release()

    async def end_host(self, *, killed: bool = False) -> None:
        """End its process; one that is killed has no time to say so."""
        self.cable.to_board.is_cut = killed
        await _cancel(self._host)
        self._host = None

    # --- The board ---

    async def start_board(self) -> None:
        """Give it power, or take it away first and give it again."""
        await self.stop_board()
        self._board = asyncio.get_running_loop().create_task(self._run())
        # A board that fails is told of by whoever waits for its frames.
        self._board.add_done_callback(lambda _: self.gateway.news.set())

    async def stop_board(self) -> None:
        """Take its power away, at whatever it is doing."""
        await _cancel(self._board)
        self._board = None
        self.cable.to_host.waiting.clear()

    async def _run(self) -> None:
        port, cable = _Port(self.cable), self.cable
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(device.cable, "open_port", lambda _settings: port)
            urandom = self.gateway.chance.randbytes
            patch.setattr(main, "Randomness", lambda key: Randomness(key, urandom))
            self.board = board = main.Board(config.load())
        while True:
            port.wait_ms = 0
            board.step()
            cable.arrived.clear()
            if not cable.received and port.wait_ms:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(port.wait_ms / 1000):
                        await cable.arrived.wait()
            await asyncio.sleep(LATENCY_S)

    # --- What tests measure ---

    @property
    def is_connected(self) -> bool:
        """Whether the board takes its gateway for there."""
        assert self.board is not None
        session = self.board._session
        return session is not None and session.state == RUNNING

    async def frames(self, count: int = 1, *, within_s: float = 30) -> float:
        """Wait for so many further live frames; return how long it took, s."""
        wanted = self.ledger.live + count
        return await self._until(lambda: self.ledger.live >= wanted, within_s)

    async def new_generation(self, *, within_s: float = 30) -> float:
        """Wait for a frame of a generation that was not seen yet; return how long it took, s."""
        known = self.ledger.generations
        return await self._until(lambda: self.ledger.generations > known, within_s)

    async def _until(self, is_so: Callable[[], bool], within_s: float) -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            async with asyncio.timeout(within_s):
                while not is_so():
                    if self._board is not None and self._board.done():
                        self._board.result()
                    self.gateway.news.clear()
                    await self.gateway.news.wait()
        except TimeoutError:
            raise AssertionError(f"{self.ledger.live} frames, and was told {self.said}") from None
        return loop.time() - start


async def _cancel(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def simulate(
    folder: Path,
    scenario: Callable[[Bench], Awaitable[None]],
    *,
    seed: int = 0,
    rate: int = USB,
    noise: float = 0,
    period_ms: int = 25,
) -> None:
    """Play a scenario with a new board that has an invite; all of it is checked at the end.

    Args:
        folder: for the board's flash.
        rate: bytes a second of the cable, each way.
        noise: the chance of each byte to be damaged, from the beginning on.
        period_ms: between two frames.
    """
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner(loop_factory=Timeline) as runner:
        ledger = Ledger(patch)
        patch.setattr(device.cable, "select", _SELECT)
        # It takes CPython longer than all else here.
        patch.setattr(main, "gc", SimpleNamespace(collect=lambda: None))
        for module in (device.clock, device.main, device.randomness):
            patch.setattr(module, "time", _TIME)

        async def play() -> None:
            bench = Bench(ledger, seed, rate)
            patch.setattr(serial, "open_port", bench.cable.open)
            bench.cable.set(noise=noise)
            stream = {**STREAM, "period_ms": period_ms}
            (folder / "config.json").write_text(json.dumps({"streams": [stream]}))
            (folder / identity.INVITE).write_text(bench.gateway.invite())
            bench.start_host()
            await bench.start_board()
            try:
                await scenario(bench)
            finally:
                await bench.stop_board()
                await bench.end_host()
                bench.cable.close()

        patch.chdir(folder)
        runner.run(play())
        ledger.check()
