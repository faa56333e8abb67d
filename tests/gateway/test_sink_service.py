"""The service of a separate sink, in this process: what it opens, counts, keeps and lets go."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from running_gateway import GatewayFactory, run, tickseal
from sink_in_process import enrol, running, source
from source_device import reading, until
from tickseal_gateway.sink.config import SinkSettings, load

from tickseal.core.errors import ConfigError, EnrolmentError, StoreError
from tickseal.host.device_identity import DeviceIdentity
from tickseal.host.state import StateDirectory
from tickseal.sessions.negotiation import AcceptancePolicy
from tickseal.streams.parameters import Profile, Suite


def test_what_is_granted_reaches_every_output(
    gateways: GatewayFactory, sink_settings: SinkSettings, tmp_path: Path
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device = await source(view)
            assert (await enrol(view, sink_settings)).name == "office"
            await view.allow("office", "garden")
            async with running(sink_settings) as sink, device.connected():
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
    with closing(sqlite3.connect(sink_settings.state_path / "readings.db")) as database:
        stored = database.execute("SELECT device, stream, value FROM readings").fetchall()
    assert stored == [("garden", "garden", value) for value in range(11)]
    lines = (tmp_path / "readings.jsonl").read_text().splitlines()
    assert [json.loads(line)["value"] for line in lines] == list(range(11))


def test_a_microcontrollers_stream_reaches_a_sink(
    gateways: GatewayFactory, sink_settings: SinkSettings
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device = await source(view)
            device.policy = AcceptancePolicy(
                suites=tuple(Suite), profiles=tuple(Profile), hash_min=8
            )
            await enrol(view, sink_settings)
            await view.allow("office", "garden")
            async with running(sink_settings) as sink, device.connected():
                await until(lambda: sink.status()["gateway"]["is_up"])
                wish = device.wish(profile=Profile.COMPACT, suites=(3,), hash_length=8)
                await device.open(wish=wish)
                await until(lambda: sink.status()["streams"])
                for value in range(10):
                    device.session.send_segments(device.seal(reading(value)))
                    device.flush()
                await until(lambda: sink.status()["streams"][0]["frames"] == 10)
                (row,) = sink.status()["streams"]
                assert (row["missing"], row["refusals"]) == (0, {})

    run(main())


def test_an_output_gets_nothing_twice_after_a_restart(
    gateways: GatewayFactory, sink_settings: SinkSettings, tmp_path: Path
) -> None:
    lines = tmp_path / "readings.jsonl"

    async def main() -> None:
        async with gateways.inside() as view:
            device = await source(view)
            await enrol(view, sink_settings)
            await view.allow("office", "garden")
            async with device.connected():
                await device.open()
                for life in range(3):
                    async with running(sink_settings) as sink:
                        await until(lambda: sink.status()["streams"])
                        await device.send(life)
                        await until(lines.exists)
                        await until(
                            lambda: len(lines.read_text().splitlines()) == life + 1  # noqa: B023
                        )

    run(main())
    assert [json.loads(line)["value"] for line in lines.read_text().splitlines()] == [0, 1, 2]


def test_what_may_not_be_read_any_more_is_let_go(
    gateways: GatewayFactory, sink_settings: SinkSettings
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device = await source(view)
            await enrol(view, sink_settings)
            await view.allow("office", "garden")
            async with running(sink_settings) as sink, device.connected():
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
    gateways: GatewayFactory, sink_settings: SinkSettings
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            for changes, says in (
                ({"invite_id": b"x" * 8}, "does not know this invite"),
                ({"hybrid": False}, "handshake"),
                ({"addresses": ("127.0.0.1:1",)}, "nothing listens"),
            ):
                with pytest.raises(EnrolmentError, match=says):
                    await enrol(view, sink_settings, **changes)
                await view.withdraw(str(view._administration.invites()[0]["id"]))

    run(main())


def test_the_identity_survives_and_damage_is_said(sink_settings: SinkSettings) -> None:
    with StateDirectory.open(sink_settings.state_path) as state:
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


def test_what_goes_wrong_is_said_in_one_line(
    gateways: GatewayFactory, sink_settings: SinkSettings, tmp_path: Path
) -> None:
    def fails(*arguments: str) -> str:
        done = tickseal("sink", *arguments)
        assert done.returncode == 1, done
        (line,) = done.stderr.splitlines()
        return line

    async def main() -> None:
        async with gateways.inside() as view:
            await enrol(view, sink_settings)
            token = str((await view.invite())["token"])
            said = await asyncio.to_thread(fails, "enrol", token, *other)
            assert "is for a source" in said
            said = await asyncio.to_thread(fails, "enrol", token, *config)
            assert "--force" in said

    other, config = ("--state", str(tmp_path / "other")), ("--config", str(tmp_path / "sink.toml"))
    run(main())
    assert "tickseal sink enrol TOKEN" in fails("run", *other)
    assert "start it: tickseal sink run" in fails("status", *config)
    assert "start it: tickseal sink run" in fails("recall", "garden", "--from", "1h", *config)
    broken = tmp_path / "broken.toml"
    broken.write_text("[sink]\nstreams = 7\n")
    assert "sink.streams" in fails("run", "--config", str(broken))
