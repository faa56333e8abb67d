"""A serial port served: what its board is told, whoever is there and whoever goes."""

import asyncio
import os
import tty
from collections.abc import Awaitable, Callable
from typing import Any

from waiting import PATIENCE_S

from tickseal.core import cable
from tickseal.core.cobs import PacketReader, encode
from tickseal.links.serial import SerialServer
from tickseal.links.serial_link import SerialLink
from tickseal.links.serial_port import SerialSettings

LINK = 0x1234
FIRST = bytes((1, LINK >> 8, LINK & 255, 0)) + b"first message"


class BoardEnd:
    """The board's end of a cable: packets in, packets out."""

    def __init__(self) -> None:
        self._file, self._end = os.openpty()
        tty.setraw(self._end)
        os.set_blocking(self._file, False)
        self.port = os.ttyname(self._end)
        self._reader = PacketReader(cable.BODY_MAX_BYTES)
        self._heard: asyncio.Queue[bytes] = asyncio.Queue()
        asyncio.get_running_loop().add_reader(self._file, self._hear)

    def _hear(self) -> None:
        for body in self._reader.receive(os.read(self._file, 4096)):
            self._heard.put_nowait(body)

    def say(self, body: bytes) -> None:
        os.write(self._file, encode(body))

    async def next(self, kind: int) -> bytes:
        """Return the next packet of a type."""
        while (body := await self._heard.get())[0] != kind:
            pass
        return body

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._file)
        os.close(self._file)
        os.close(self._end)


async def until_over(link: SerialLink) -> None:
    while await link.receive():
        pass


def run(
    scenario: Callable[[BoardEnd, SerialServer, "asyncio.Task[None]"], Awaitable[None]],
    handler: Callable[[SerialLink], Any] = until_over,
) -> None:
    async def main() -> None:
        board = BoardEnd()
        server = SerialServer(SerialSettings(port=board.port), handler)
        serving = asyncio.create_task(server.run())
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not server.is_open:
                    await asyncio.sleep(0.001)
                await scenario(board, server, serving)
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            board.close()

    asyncio.run(main())


def test_a_host_that_goes_tells_its_board() -> None:
    async def scenario(
        board: BoardEnd, server: SerialServer, serving: "asyncio.Task[None]"
    ) -> None:
        board.say(FIRST)
        await board.next(cable.ACK)
        serving.cancel()
        assert cable.link_of(await board.next(cable.RESET)) == LINK

    run(scenario)


def test_a_board_that_streams_to_nobody_is_told_so_but_not_for_each_frame() -> None:
    async def scenario(
        board: BoardEnd, server: SerialServer, serving: "asyncio.Task[None]"
    ) -> None:
        for _ in range(50):
            board.say(bytes((cable.SEGMENT,)) + bytes(40))
        assert await board.next(cable.RESET) == cable.reset(0)
        assert server.counters.resets < 5
        assert server.counters.segments == 0

    run(scenario)


def test_a_connection_of_before_is_reset_by_its_number() -> None:
    async def scenario(
        board: BoardEnd, server: SerialServer, serving: "asyncio.Task[None]"
    ) -> None:
        # Its number 0 is long gone: this one goes on where no host knows it.
        board.say(bytes((5, 0xAB, 0xCD, 7)) + b"control")
        assert await board.next(cable.RESET) == cable.reset(0xABCD)

    run(scenario)


def test_a_board_that_says_nothing_hears_nothing() -> None:
    async def scenario(
        board: BoardEnd, server: SerialServer, serving: "asyncio.Task[None]"
    ) -> None:
        # As a board's REPL does: text is for people, and is not answered.
        board.say(bytes((cable.TEXT,)) + b"hello")
        os.write(board._file, b"\r\nMicroPython\r\n>>> \x00")
        while not server.counters.damaged:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)
        assert board._heard.empty()

    run(scenario)


def test_nothing_is_acknowledged_before_somebody_receives() -> None:
    go_on = asyncio.Event()

    async def late(link: SerialLink) -> None:
        await go_on.wait()
        await until_over(link)

    async def scenario(
        board: BoardEnd, server: SerialServer, serving: "asyncio.Task[None]"
    ) -> None:
        board.say(FIRST)
        while not server.counters.connections:
            await asyncio.sleep(0.001)
        assert board._heard.empty()
        go_on.set()
        assert (await board.next(cable.ACK))[3] == 1

    run(scenario, late)
