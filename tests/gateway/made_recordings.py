"""Recordings that a gateway made of a device, and what is played of them."""

import json
from typing import Any

from running_gateway import Done, GatewayFactory, run, tickseal
from source_device import Device, until
from tickseal_gateway.health.view import View
from tickseal_gateway.recordings.keys import KEY_FILE, read_key
from tickseal_gateway.recordings.library import Library

from tickseal.core import constants
from tickseal.streams.summary import Summary

SECOND = 10**9
RECORD = '[recordings]\nrecord = true\ncommit = "100ms"\n'
JPEG = b"\xff\xd8" + bytes(5000) + b"\xff\xd9"


async def enrolled(view: View) -> Device:
    device = Device(str((await view.invite(name="garden"))["token"]))
    async with device.connected():
        pass
    return device


async def summary(device: Device, stream_id: str = "garden", *, final: bool = False) -> None:
    """Seal and send a summary of all so far."""
    sealer = device.sealers[stream_id]
    tick = max(sealer.tick, sealer.generation.parameters.tick_at(device.clock.now().midpoint_ns))
    content = Summary(
        until_frame=sealer.frame_number, from_tick=0, until_tick=tick + 1, is_final=final
    )
    await device.udp.send(sealer.seal(content.encode(), tick, 0, constants.KIND_SUMMARY))


async def written(view: View, items: int) -> None:
    def count() -> int:
        outputs: Any = view.snapshot()["outputs"]
        (row,) = [row for row in outputs if row["name"] == "recordings"]
        assert not row["error"]
        assert not row["missed"]
        return int(row["written"])

    await until(lambda: count() >= items, what="the recording")


def play(gateways: GatewayFactory, *arguments: str) -> Done:
    return tickseal("play", *arguments, "--config", str(gateways.file))


def library(gateways: GatewayFactory) -> Library:
    return Library(gateways.state / "recordings", read_key(gateways.state / KEY_FILE))


def record(gateways: GatewayFactory, frames: int = 20, more: str = "") -> Device:
    """Record so many readings, one a frame, and a summary."""

    async def main() -> Device:
        async with gateways.inside(RECORD + more) as view:
            device = await enrolled(view)
            async with device.connected():
                await device.open()
                for value in range(frames):
                    await device.send(value)
                await summary(device)
                await written(view, frames + 1)
            return device

    device: Device = run(main())
    return device


def values(done: Done) -> list[Any]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["value"] for line in done.stdout.splitlines()]
