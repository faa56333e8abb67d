"""A gateway killed at any moment, again and again, loses nothing that it acknowledged.

12 kills; for more: TICKSEAL_KILLS=500 pytest tests/gateway/test_kills.py
"""

import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from running_gateway import GatewayFactory, run
from source_device import Device, reading, until
from tickseal_gateway.config import Config
from tickseal_gateway.service import Gateway
from waiting import PATIENCE_S

from tickseal.core import constants
from tickseal.core.errors import LinkError
from tickseal.host.state import StateDirectory
from tickseal.sessions import events as ev
from tickseal.streams.generation import Generation
from tickseal.streams.sealing import FrameSealer

_KILLS = int(os.environ.get("TICKSEAL_KILLS", "12"))
_FRAMES, _AT_ONCE = 200, 5
#: A kill comes after up to so many acknowledgements, and somewhere within so long after the last.
_ACKNOWLEDGED_MOST, _LONGEST_S = 6, 0.02
# Forked from a process that has imported everything, a gateway stands in a tenth of a second.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__, "tickseal_gateway.service"])


def serve(config: Config, ready: Connection, more: Connection) -> None:
    """Run a gateway until it is killed; say its port and what it says at the start."""

    async def main() -> None:
        with StateDirectory.open(config.state_path) as state:
            async with Gateway(config, state).running() as view:
                token = (await view.invite())["token"]
                snapshot: Any = view.snapshot()
                kinds = [alarm["kind"] for alarm in snapshot["past_alarms"]]
                ready.send((token, snapshot["gateway"]["tcp_port"], kinds))
                await asyncio.to_thread(more.recv)

    with contextlib.suppress(EOFError):
        asyncio.run(main())


@contextlib.contextmanager
def killed(config: Config) -> Iterator[Connection]:
    """Run a gateway in a process of its own while the block lasts; then kill it."""
    ready, says = _processes.Pipe(duplex=False)
    waits, _more = _processes.Pipe(duplex=False)
    process = _processes.Process(target=serve, args=(config, says, waits), daemon=True)
    process.start()
    says.close()
    try:
        yield ready
    finally:
        process.kill()
        process.join(PATIENCE_S)
        ready.close()
        waits.close()
        _more.close()


class Noting(Device):
    """A device that notes what is acknowledged as soon as it hears it."""

    def __init__(self, token: str) -> None:
        super().__init__(token)
        self.heard: list[ev.StoredUntil] = []

    def note(self, event: ev.Event) -> None:
        if isinstance(event, ev.StoredUntil):
            self.heard.append(event)


class Source:
    """A device with one offline generation after another; it knows what is acknowledged."""

    def __init__(self, token: str) -> None:
        self.device = Noting(token)
        self.online: Generation | None = None
        self._blob, self._number, self._begun = b"", 0, 0
        self._is_connected = False
        self._sealer: FrameSealer
        self._frames: list[tuple[int, int, list[bytes]]] = []

    @property
    def acknowledgements(self) -> list[ev.StoredUntil]:
        """What was heard, in order."""
        return self.device.heard

    @property
    def acknowledged(self) -> Counter[int]:
        """Up to which frame all are stored, by generation."""
        highest: Counter[int] = Counter()
        for event in self.device.heard:
            highest[event.generation] = max(highest[event.generation], event.frame_until)
        return highest

    async def stream(self, port: int) -> None:
        """Offer what is not acknowledged, for ever."""
        device = self.device
        device.invite = replace(device.invite, addresses=(f"127.0.0.1:{port}",))
        async with device.connected():
            self._is_connected = True
            if self.online is None:
                self.online = await device.open()
            while True:
                if self.acknowledged[self._number] >= len(self._frames):
                    self._begin()
                await self._backfill()

    def _begin(self) -> None:
        assert self.online is not None
        self._blob, self._sealer = self.device.begin_offline(self.online)
        # The next one counts on from here.
        self.online = self._sealer.generation
        self._number, self._frames = self.online.number, []
        self._begun += 1
        for number in range(_FRAMES):
            payload = reading(number, time_ns=(self._begun * _FRAMES + number) * 10**6)
            tick = number + 1
            sealed = self._sealer.seal(payload, tick, constants.FLAG_BACKFILL)
            self._frames.append((tick, number, sealed))

    async def _backfill(self) -> None:
        device = self.device
        assert (await device.offer(self._blob)).accepted
        at = self._until()
        while at < _FRAMES:
            device.backfill(self._sealer, self._frames[at : at + _AT_ONCE])
            at += _AT_ONCE
            await asyncio.sleep(0.001)
        while self._until() < _FRAMES:
            await asyncio.sleep(0.001)
        device.session.finish_backfill(self.online.handle, self._number)  # type: ignore[union-attr]
        device.flush()

    def _until(self) -> int:
        """Return up to which frame all of the generation at hand are acknowledged."""
        return self.acknowledged[self._number]

    async def until_killed(self, port: int, acknowledgements: int, seconds: float) -> None:
        """Stream until the gateway is about to be killed: after so many, and so long."""
        self._is_connected = False
        streaming = asyncio.create_task(self.stream(port))
        deadline = time.monotonic() + PATIENCE_S
        before = len(self.acknowledgements)
        while not self._is_connected or len(self.acknowledgements) < before + acknowledgements:
            assert not streaming.done(), streaming.exception()
            assert time.monotonic() < deadline
            await asyncio.sleep(0.001)
        await asyncio.sleep(seconds)
        streaming.cancel()
        with contextlib.suppress(asyncio.CancelledError, LinkError):
            await streaming


def stored(path: Path) -> dict[int, list[float]]:
    found: dict[int, list[float]] = {}
    with contextlib.closing(sqlite3.connect(path)) as database:
        for generation, value in database.execute("SELECT generation, value FROM samples"):
            found.setdefault(int(generation, 16), []).append(value)
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return {generation: sorted(values) for generation, values in found.items()}


def written(lines: Path) -> dict[int, list[float]]:
    """Return what a file of JSON lines holds; what came twice counts once."""
    found: dict[int, set[float]] = {}
    for line in lines.read_text().splitlines():
        row = json.loads(line)
        found.setdefault(int(row["generation"], 16), set()).add(row["value"])
    return {generation: sorted(values) for generation, values in found.items()}


def test_nothing_that_was_acknowledged_is_lost_by_kills_at_random_moments(
    gateways: GatewayFactory, tmp_path: Path
) -> None:
    lines = tmp_path / "readings.jsonl"
    # The store is quicker than the output, which so has not got everything when a kill comes.
    output = f'[store]\ncommit = "10ms"\n[[outputs]]\nkind = "jsonl"\npath = "{lines}"\n'
    config = gateways.configure(output)
    chance = random.Random(20)
    source: Source | None = None
    for life in range(_KILLS):
        with killed(config) as ready:
            token, port, says = ready.recv()
            source = source or Source(token)
            assert ("ended" in says) is (life > 0)
            heard = chance.randrange(_ACKNOWLEDGED_MOST)
            asyncio.run(source.until_killed(port, heard, chance.uniform(0, _LONGEST_S)))
        kept = stored(gateways.state / "readings.db")
        for generation, stored_until in source.acknowledged.items():
            values = kept.get(generation, [])
            assert values[:stored_until] == list(range(stored_until))
            # What came again replaced itself.
            assert len(values) == len(set(values))
    assert source is not None
    assert sum(source.acknowledged.values()) > _KILLS

    async def last_life() -> None:
        async with gateways.inside(output):
            await until(lambda: written(lines) == kept)

    # And the output has got all of it, whatever moment it was killed at.
    run(last_life())
