"""A gateway in this process with boards on test cables, and a ledger of all that it opened."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from board import Board
from cable import TestCable
from running_gateway import GatewayFactory
from tickseal_gateway.frames.readings import Batch, Reading
from tickseal_gateway.health.view import View
from tickseal_gateway.ingest.table import StreamTable
from waiting import PATIENCE_S

from tickseal.streams.opening import Buffer


class Ledger:
    """Every reading that any gateway of a test opened, in the order of arrival."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.readings: list[Reading] = []
        self._sealed: dict[bytes, set[bytes]] = {}
        take = StreamTable.take

        def taking(
            table: StreamTable, segments: Sequence[Buffer], *arguments: Any, **named: Any
        ) -> Batch:
            for segment in map(bytes, segments):
                # Of a compact header, frame number and index; and the key's hash.
                self._sealed.setdefault(segment[5:16], set()).add(segment)
            batch = take(table, segments, *arguments, **named)
            self.readings += batch.readings
            return batch

        monkeypatch.setattr(StreamTable, "take", taking)

    def segments(self) -> list[bytes]:
        """All segments that came, in the order of arrival."""
        return [segment for sealed in self._sealed.values() for segment in sealed]

    def counts(self) -> list[int]:
        """The values of the board's counter: each frame has another since the board started."""
        return [int(one.value or 0) for one in self.readings if one.name == "count"]

    def check(self) -> None:
        """Nothing was opened twice, and no two segments that came have the same key and nonce."""
        assert self.opened_twice() == []
        assert [sealed for sealed in self._sealed.values() if len(sealed) > 1] == []

    def opened_twice(self) -> list[tuple[str, int, int, str]]:
        """Frames that were opened more than once."""
        seen = Counter((one.stream, one.generation, one.frame, one.name) for one in self.readings)
        return [key for key, times in seen.items() if times > 1]

    async def more(self, frames: int = 3, *, within_s: float = PATIENCE_S) -> float:
        """Wait for so many further frames; return the seconds that it took."""
        start, wanted = time.monotonic(), len(self.counts()) + frames
        async with asyncio.timeout(within_s):
            while len(self.counts()) < wanted:
                await asyncio.sleep(0.01)
        return time.monotonic() - start

    async def new_generation(self, *, within_s: float = PATIENCE_S) -> float:
        """Wait for a frame of a generation that was not seen yet; return the seconds it took."""
        start, known = time.monotonic(), {one.generation for one in self.readings}
        async with asyncio.timeout(within_s):
            while {one.generation for one in self.readings} <= known:
                await asyncio.sleep(0.01)
        return time.monotonic() - start


async def settled(view: View) -> None:
    """Wait until nothing of the past is under way to the gateway's disk."""
    async with asyncio.timeout(PATIENCE_S):
        while any(one["backfilling"] for one in view.snapshot()["streams"]):
            await asyncio.sleep(0.02)
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def gateway_on(gateways: GatewayFactory, cable: TestCable) -> AsyncIterator[View]:
    """A gateway that serves the host's end of a cable."""
    async with gateways.inside(f'[[serial]]\nport = "{cable.host}"\n') as view:
        yield view


async def invite(view: View) -> str:
    """A classical invite, as a board needs one."""
    made: Any = await view.commands()["invite"]({"do": "invite", "hybrid": False})
    return str(made["token"])


Bench = Callable[..., Any]


def make_board(code: Path, folder: Path, cable: TestCable) -> Board:
    """A board at the other end of a cable."""
    return Board(code, folder / "flash", cable.board)
