"""The relay: many boards at once, as they come and go, none of which it can read."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from board import STREAM
from cable import TestCable
from running_gateway import TICKSEAL, GatewayFactory, run
from tickseal_edge.relay import Relay
from waiting import PATIENCE_S

from bench import Ledger, invite, make_board
from tickseal import primitives
from tickseal.core import keyschedule
from tickseal.core.header import unpack
from tickseal.host.boards import known_usb
from tickseal.links import serial_fleet
from tickseal.links.serial_fleet import AUTO, SerialFleet
from tickseal.links.serial_port import FoundPort, SerialSettings
from tickseal.streams.generation import Generation

ROOT = Path(__file__).parents[2]
RULES = ROOT / "edge" / "udev" / "61-tickseal-boards.rules"
UNIT = ROOT / "edge" / "systemd" / "tickseal-relay.service"
BOARDS = 6


def test_udev_knows_the_boards_that_the_relay_serves_by_themselves() -> None:
    numbers = re.findall(r'idVendor}=="(\w{4})", ATTRS{idProduct}=="(\w{4})"', RULES.read_text())
    assert {(int(vendor, 16), int(product, 16)) for vendor, product in numbers} == known_usb()
    assert 'GROUP="dialout"' in RULES.read_text()
    assert "SupplementaryGroups=dialout" in UNIT.read_text()


def test_boards_come_and_go_and_the_others_stream_on(
    code: Path,
    tmp_path: Path,
    gateways: GatewayFactory,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there: dict[str, FoundPort] = {}
    # USB is out of reach of a test: what it would find, and how soon it looks again.
    monkeypatch.setattr(serial_fleet, "find_ports", lambda _known: list(there.values()))
    monkeypatch.setattr(serial_fleet, "_LOOK_S", 0.05)

    def streaming() -> set[str]:
        return {one.stream for one in ledger.readings}

    async def come(stack: contextlib.AsyncExitStack, number: int, token: str | None) -> Any:
        """Plug a board in; what it returns pulls it out."""
        plug = contextlib.AsyncExitStack()
        cable = await plug.enter_async_context(TestCable(seed=number))
        folder = tmp_path / f"board{number}"
        folder.mkdir(exist_ok=True)
        board = make_board(code, folder, cable)
        stream = {**STREAM, "id": f"board/{number}", "period_ms": 100}
        board.configure(cable.board, streams=[stream])
        if token:
            board.invite(token)
        board.start()
        plug.callback(board.kill)
        plug.callback(there.pop, cable.host)
        there[cable.host] = FoundPort(port=cable.host, usb=(0x2E8A, 5), description="a board")
        await stack.enter_async_context(plug)
        return plug

    async def all_stream() -> None:
        ledger.readings.clear()
        async with asyncio.timeout(PATIENCE_S):
            while streaming() != {f"board/{number}" for number in range(BOARDS)}:
                await asyncio.sleep(0.02)

    async def scenario() -> None:
        async with gateways.inside() as view, contextlib.AsyncExitStack() as stack:
            relay = Relay([view.snapshot()["gateway"]["addresses"][0]])
            fleet = SerialFleet([SerialSettings(port=AUTO)], relay.serve)
            serving = asyncio.create_task(fleet.run())
            plugs = [await come(stack, number, await invite(view)) for number in range(BOARDS)]
            await all_stream()
            for pulled in (0, 3):
                await plugs[pulled].aclose()
                ledger.readings.clear()
                await ledger.more(2 * BOARDS)
                assert f"board/{pulled}" not in streaming()
                assert len(fleet.servers) == BOARDS - 1
                plugs[pulled] = await come(stack, pulled, None)
                await all_stream()
            assert len(view.snapshot()["devices"]) == BOARDS
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
        ledger.check()

    run(scenario())


@contextlib.asynccontextmanager
async def relay_process(gateway: str, port: str, folder: Path) -> AsyncIterator[int]:
    """A relay as a process of its own, with nowhere to write but a folder; gives its number."""
    with (folder.parent / "relay.log").open("wb") as log:
        process = subprocess.Popen(
            [TICKSEAL, "edge", "relay", "--gateway", gateway, "--port", port],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, 5)


def memory_of(process: int) -> bytes:
    """Return all that a process can write to."""
    content = []
    with Path(f"/proc/{process}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{process}/maps").read_text().splitlines():
            where, allowed, *_ = line.split()
            if allowed.startswith("rw"):
                start, end = (int(part, 16) for part in where.split("-"))
                memory.seek(start)
                with contextlib.suppress(OSError):  # what the kernel keeps for itself
                    content.append(memory.read(end - start))
    return b"".join(content)


class Secrets:
    """What opens frames: taken from a gateway in this process as it derives it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.epochs: dict[int, bytes] = {}
        self.initial: list[bytes] = []
        derive = Generation.derive

        def deriving(*arguments: Any, **named: Any) -> Generation:
            generation = derive(*arguments, **named)
            self.initial.append(named["initial_secret"])
            for tick in range(200):
                self.epochs[tick] = generation.walker.secret(generation.epoch(tick))
            return generation

        monkeypatch.setattr(Generation, "derive", deriving)

    def of_segment(self, segment: bytes) -> list[bytes]:
        """Return the epoch secret and the frame key of a segment, which are shown to be right."""
        header = unpack(segment)
        assert header is not None
        secret = self.epochs[header.tick]
        key = keyschedule.frame_key(primitives, secret, header.tick, header.frame_number)
        assert segment[8:16] == keyschedule.key_hash(primitives, key, 8)
        return [secret, key[:16]]


def test_neither_its_memory_nor_its_disk_nor_the_cable_has_what_opens_a_frame(
    code: Path,
    tmp_path: Path,
    gateways: GatewayFactory,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = Secrets(monkeypatch)
    disk = tmp_path / "disk"
    disk.mkdir()
    secrets: list[bytes] = []
    places: dict[str, bytes] = {}

    async def scenario() -> None:
        async with TestCable() as cable, gateways.inside() as view:
            cable.heard = []
            gateway = view.snapshot()["gateway"]["addresses"][0]
            board = make_board(code, tmp_path, cable)
            sensors = [{"kind": "counter", "name": "porch-counter"}, {"kind": "memory"}]
            board.configure(cable.board, streams=[{**STREAM, "sensors": sensors}])
            token = await invite(view)
            board.invite(token)
            board.start()
            async with relay_process(gateway, cable.host, disk) as process:
                async with asyncio.timeout(PATIENCE_S):
                    while len(ledger.readings) < 40:
                        await asyncio.sleep(0.02)
                places["memory"] = memory_of(process)
                assert gateway.encode() in places["memory"], "the search finds nothing"
                assert view.snapshot()["streams"][0]["refusals"] == {}
                assert not [
                    path
                    for path in map(os.readlink, Path(f"/proc/{process}/fd").iterdir())
                    if path.startswith("/") and not path.startswith(("/dev", "/proc"))
                    if not path.endswith("relay.log")
                ]
                # What the search must find: this process is the gateway, and has all of it.
                here = memory_of(os.getpid())
            board.kill()
            places["cable"] = b"".join(cable.heard)
            places["log"] = (tmp_path / "relay.log").read_bytes()
            identity = (board.flash / "tickseal.identity").read_bytes()
            psk = identity[identity.index(b"psk") + 5 :][:32]
            secrets.extend([psk, *known.initial, token.encode()[-60:]])
            for segment in list(ledger.segments())[-20:]:
                secrets.extend(known.of_segment(segment))
            secrets.append(b"porch-counter")
            assert all(secret in here for secret in (psk, b"porch-counter"))

    run(scenario())
    assert list(disk.iterdir()) == []
    assert len(secrets) > 30
    for place, content in places.items():
        for secret in secrets:
            assert secret not in content, (place, secrets.index(secret))
            # Half of one gives it away as well.
            assert len(secret) < 32 or secret[:16] not in content, (place, secrets.index(secret))
