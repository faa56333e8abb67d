"""The service of a separate sink, in this process: what it opens, counts, keeps and lets go."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from running_gateway import GatewayFactory, run
from source_device import Device, until
from tickseal_gateway.sink.config import SinkSettings, load
from tickseal_gateway.sink.enrolment import enrol_sink
from tickseal_gateway.sink.service import Sink
from tickseal_gateway.view import View

from tickseal.control import Role
from tickseal.core.errors import ConfigError, EnrolmentError, StoreError
from tickseal.host.device_identity import DeviceIdentity
from tickseal.host.kernel_clock import KernelClock
from tickseal.host.state import StateDirectory
from tickseal.invite import InviteToken


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


@pytest.fixture
def settings(tmp_path: Path) -> SinkSettings:
    file = tmp_path / "sink.toml"
    file.write_text(
        f'[sink]\nname = "test"\nstate = "{tmp_path}/sink"\n'
        f'[[outputs]]\nkind = "jsonl"\npath = "{tmp_path}/readings.jsonl"\n'
    )
    return load(file)


def test_what_is_granted_reaches_every_output(
    gateways: GatewayFactory, settings: SinkSettings, tmp_path: Path
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device = await source(view)
            assert (await enrol(view, settings)).name == "office"
            await view.allow("office", "garden")
            async with running(settings) as sink, device.connected():
                await until(lambda: sink.status()["gateway"]["is_up"])
                await device.open()
                await until(lambda: sink.status()["streams"])
                for value in range(10):
                    await device.send(value)
                await until(lambda: sink.status()["streams"][0]["frames"] == 10)
                (row,) = sink.status()["streams"]
                assert (row["device"], row["keys_derived"], row["missing"]) == ("garden", 10, 0)
                assert row["granted_s"] > 30
                await device.open()
                await device.send(10)
                await until(lambda: sink.status()["streams"][0]["frames"] == 11)
                assert sink.status()["streams"][0]["keys_derived"] == 11
                await view.revoke("office")
                await until(lambda: "revoked" in sink.status()["gateway"]["problem"])
                (row,) = sink.status()["streams"]
                assert (row["granted_s"], row["generations_held"], row["frames"]) == (0, 0, 11)

    run(main())
    with closing(sqlite3.connect(settings.state_path / "readings.db")) as database:
        stored = database.execute("SELECT device, stream, value FROM readings").fetchall()
    assert stored == [("garden", "garden", value) for value in range(11)]
    lines = (tmp_path / "readings.jsonl").read_text().splitlines()
    assert [json.loads(line)["value"] for line in lines] == list(range(11))


def test_what_may_not_be_read_any_more_is_let_go(
    gateways: GatewayFactory, settings: SinkSettings
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device = await source(view)
            await enrol(view, settings)
            await view.allow("office", "garden")
            async with running(settings) as sink, device.connected():
                await device.open()
                await until(lambda: sink.status()["streams"])
                (held,) = sink.streams._holder.receiver.generations(
                    device.sealers["garden"].generation.handle
                )
                await view.disallow("office", "garden")
                await until(lambda: not sink.status()["streams"][0]["granted_s"])
                assert held.opener.generation.walker.nodes() == []

    run(main())


def test_an_invite_that_cannot_be_used_says_why(
    gateways: GatewayFactory, settings: SinkSettings
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            for changes, says in (
                ({"invite_id": b"x" * 8}, "does not know this invite"),
                ({"hybrid": False}, "handshake"),
                ({"addresses": ("127.0.0.1:1",)}, "nothing listens"),
            ):
                with pytest.raises(EnrolmentError, match=says):
                    await enrol(view, settings, **changes)
                await view.withdraw(str(view._administration.invites()[0]["id"]))

    run(main())


def test_the_identity_survives_and_damage_is_said(settings: SinkSettings) -> None:
    with StateDirectory.open(settings.state_path) as state:
        with pytest.raises(EnrolmentError, match="enrol it so"):
            DeviceIdentity.load(state, enrol="enrol it so")
        made = DeviceIdentity(
            name="office", private_key=b"k" * 32, gateway_key=b"g" * 32, psk=b"p" * 32,
            hybrid=True, addresses=("gw:1",),
        )  # fmt: skip
        made.save(state)
        assert DeviceIdentity.load(state, enrol="") == made
        assert "kkk" not in repr(made)
        assert "ppp" not in repr(made)
        state.write("identity.json", b"{}")
        with pytest.raises(StoreError, match="damaged"):
            DeviceIdentity.load(state, enrol="")


def test_a_wrong_configuration_is_named_by_line_and_key(tmp_path: Path) -> None:
    file = tmp_path / "sink.toml"
    file.write_text("[sink]\nstreams = 7\n")
    with pytest.raises(ConfigError, match=r"sink\.toml:2: .*sink\.streams"):
        load(file)
    with pytest.raises(ConfigError, match="cannot read"):
        load(tmp_path / "none.toml")
