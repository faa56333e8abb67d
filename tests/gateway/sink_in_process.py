"""A separate sink in this process, enrolled at a gateway with a source that it may read."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from running_gateway import GatewayFactory
from source_device import Device, until
from tickseal_gateway.health.view import View
from tickseal_gateway.sink.config import SinkSettings
from tickseal_gateway.sink.enrolment import enrol_sink
from tickseal_gateway.sink.service import Sink

from tickseal.host.device_identity import DeviceIdentity
from tickseal.host.kernel_clock import KernelClock
from tickseal.host.state import StateDirectory
from tickseal.invite import InviteToken
from tickseal.sessions.control import Role


async def source(view: View) -> Device:
    device = Device(str((await view.invite(name="garden"))["token"]))
    async with device.connected():
        pass
    return device


async def enrol(view: View, settings: SinkSettings, **changes: Any) -> DeviceIdentity:
    token = str((await view.invite(name="office", role=Role.SINK))["token"])
    invite = replace(InviteToken.parse(token), **changes)
    with StateDirectory.open(settings.state_path) as state:
        return await enrol_sink(invite, name="test", state=state, clock=KernelClock())


@contextlib.asynccontextmanager
async def running(settings: SinkSettings) -> AsyncIterator[Sink]:
    with StateDirectory.open(settings.state_path) as state:
        sink = Sink(settings, state)
        task = asyncio.create_task(sink.run())
        try:
            yield sink
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def reading_sink(
    gateways: GatewayFactory, settings: SinkSettings, more: str = "", since_ns: int | None = None
) -> AsyncIterator[tuple[View, Device, Sink]]:
    """Run a gateway, a source that is connected, and a sink that may read its stream.

    Args:
        since_ns: from when on it may read what was recorded, ns since 1970 UTC.
    """
    async with gateways.inside(more) as view:
        device = await source(view)
        await enrol(view, settings)
        await view.allow("office", "garden", None, since_ns)
        async with running(settings) as sink, device.connected():
            await until(lambda: sink.status()["gateway"]["is_up"])
            yield view, device, sink


async def until_recorded(view: View, segments: int) -> None:
    def written() -> int:
        outputs: Any = view.snapshot()["outputs"]
        return sum(row["written"] for row in outputs if row["name"] == "recordings")

    await until(lambda: written() >= segments)
