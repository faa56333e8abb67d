"""The service of a separate sink, in this process: what it opens, counts, keeps and lets go."""

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from running_gateway import Done, GatewayFactory, run, tickseal
from source_device import Device, reading, until
from tickseal_gateway.health.view import View
from tickseal_gateway.recordings.grant_file import GrantEncoder, read_grant_file
from tickseal_gateway.recordings.opening import RecordingOpener
from tickseal_gateway.recordings.playing import to_tai
from tickseal_gateway.sink.config import SinkSettings, load
from tickseal_gateway.sink.enrolment import enrol_sink
from tickseal_gateway.sink.service import Sink
from tickseal_gateway.sink.service import run as serve

from tickseal.core.errors import ConfigError, EnrolmentError, LocalProtocolError, StoreError
from tickseal.host.device_identity import DeviceIdentity
from tickseal.host.kernel_clock import KernelClock
from tickseal.host.state import StateDirectory
from tickseal.invite import InviteToken
from tickseal.payloads.samples import decode_samples
from tickseal.sessions.control import Role
from tickseal.sessions.negotiation import AcceptancePolicy
from tickseal.streams.parameters import Profile, Suite


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


def test_a_microcontrollers_stream_reaches_a_sink(
    gateways: GatewayFactory, settings: SinkSettings
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device = await source(view)
            device.policy = AcceptancePolicy(
                suites=tuple(Suite), profiles=tuple(Profile), hash_min=8
            )
            await enrol(view, settings)
            await view.allow("office", "garden")
            async with running(settings) as sink, device.connected():
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
    gateways: GatewayFactory, settings: SinkSettings, tmp_path: Path
) -> None:
    lines = tmp_path / "readings.jsonl"

    async def main() -> None:
        async with gateways.inside() as view:
            device = await source(view)
            await enrol(view, settings)
            await view.allow("office", "garden")
            async with device.connected():
                await device.open()
                for life in range(3):
                    async with running(settings) as sink:
                        await until(lambda: sink.status()["streams"])
                        await device.send(life)
                        await until(lines.exists)
                        await until(
                            lambda: len(lines.read_text().splitlines()) == life + 1  # noqa: B023
                        )

    run(main())
    assert [json.loads(line)["value"] for line in lines.read_text().splitlines()] == [0, 1, 2]


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


# --- What was recorded ---

RECORD = '[recordings]\nrecord = true\ncommit = "100ms"\n'


async def recalled(sink: Sink, stream: str, span: tuple[int, int]) -> list[Any]:
    """Recall a span; return what its grant file opens to."""
    path = None
    async for progress in sink.recall(stream, span):
        assert isinstance(progress, dict)
        path = progress.get("path", path)
    assert path is not None
    opener = RecordingOpener()
    return [
        (frame.tick, sample.value)
        for piece in read_grant_file(Path(path))
        for frame in opener.frames(piece)
        for sample in decode_samples(frame.payload)
    ]


def test_a_sink_recalls_what_was_recorded_as_far_back_as_it_may(
    gateways: GatewayFactory, settings: SinkSettings
) -> None:
    async def main() -> None:
        async with gateways.inside(RECORD) as view:
            device = await source(view)
            await enrol(view, settings)
            async with running(settings) as sink, device.connected():
                await until(lambda: sink.status()["gateway"]["is_up"])
                generation = await device.open()
                parameters = generation.parameters
                for value in range(8):
                    await device.send(value)
                    await asyncio.sleep(parameters.interval_ns / 1e9)  # the next tick

                await until_recorded(view, 8)
                everything = (parameters.t0_ns, to_tai(time.time_ns()) + 10**9)
                for stream in ("garden", "nothing"):
                    with pytest.raises(StoreError, match="does not allow it"):
                        await recalled(sink, stream, everything)
                await view.allow("office", "garden")
                with pytest.raises(StoreError, match="does not allow it"):
                    await recalled(sink, "garden", everything)
                await view.allow("office", "garden", None, time.time_ns() - 3600 * 10**9)
                found = await recalled(sink, "garden", everything)
                assert [value for _, value in found] == list(range(8))
                ticks = [tick for tick, _ in found]
                span = tuple(
                    parameters.t0_ns + tick * parameters.interval_ns
                    for tick in (ticks[2], ticks[5])
                )
                part = await recalled(sink, "garden", (span[0], span[1]))
                assert [value for _, value in part] == [2, 3, 4]
                now_ns = time.time_ns()
                since_ns = now_ns - (to_tai(now_ns) - span[0])
                await view.allow("office", "garden", None, since_ns)
                part = await recalled(sink, "garden", everything)
                assert [value for _, value in part] == [2, 3, 4, 5, 6, 7]
                with pytest.raises(StoreError, match="no recording"):
                    await recalled(sink, "garden", (0, 10**9))
                first = asyncio.create_task(recalled(sink, "garden", everything))
                await asyncio.sleep(0)
                with pytest.raises(LocalProtocolError, match="one at a time"):
                    await recalled(sink, "garden", everything)
                assert len(await first) == 6

    run(main())


def test_what_is_backfilled_while_the_stream_is_live_comes_by_recall(
    gateways: GatewayFactory, settings: SinkSettings
) -> None:
    async def main() -> None:
        async with reading_sink(gateways, settings, RECORD, since_ns=1) as (view, device, sink):
            online = await device.open()
            await until(lambda: sink.status()["streams"])
            blob, sealer = device.begin_offline(online)
            await device.offer(blob)
            sealed = [(n, n, sealer.seal(reading(100 + n), n)) for n in range(5)]
            device.backfill(sealer, sealed)
            await device.stored(sealer.generation.number, 5)
            await device.send(1)
            await until(lambda: sink.status()["streams"][0]["frames"] == 1)

            await until_recorded(view, 6)
            span = (sealer.generation.parameters.t0_ns, to_tai(time.time_ns()) + 10**9)
            found = await recalled(sink, "garden", span)
            assert [value for _, value in found] == [100, 101, 102, 103, 104, 1]

    run(main())


def test_a_large_recording_comes_whole_while_live_frames_go_on(
    gateways: GatewayFactory, settings: SinkSettings
) -> None:
    async def main() -> None:
        async with reading_sink(gateways, settings, RECORD, since_ns=1) as (view, device, sink):
            generation = await device.open(content="opaque")
            await until(lambda: sink.status()["streams"])
            for number in range(40):
                segments = device.seal(bytes([number]) * 100_000)
                for start in range(0, len(segments), 20):
                    await device.udp.send(segments[start : start + 20])
                    await asyncio.sleep(0)
                (stream,) = view._parts.table
                await until(lambda n=number, held=stream: held.frames > n)

            await until_recorded(view, 40 * 84)
            span = (generation.parameters.t0_ns, to_tai(time.time_ns()) + 10**9)
            path, before = None, sink.status()["streams"][0]["frames"]
            async for progress in sink.recall("garden", span):
                assert isinstance(progress, dict)
                path = progress.get("path", path)
            assert path is not None
            opener = RecordingOpener()
            sizes = [
                len(frame.payload)
                for piece in read_grant_file(Path(path))
                for frame in opener.frames(piece)
            ]
            assert sizes == [100_000] * 40
            await device.udp.send(device.seal(b"live"))
            await until(lambda: sink.status()["streams"][0]["frames"] == before + 1)

    run(main())


def test_a_sink_is_told_when_its_recall_fails_at_the_gateway(
    gateways: GatewayFactory, settings: SinkSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> Any:
        raise LocalProtocolError("a grant that cannot be")

    monkeypatch.setattr(GrantEncoder, "encode", fails)

    async def main() -> None:
        async with reading_sink(gateways, settings, RECORD, since_ns=1) as (view, device, sink):
            await device.open()
            await device.send(1)

            await until_recorded(view, 1)
            with pytest.raises(StoreError, match="could not read its recording"):
                await recalled(sink, "garden", (0, to_tai(time.time_ns()) + 10**9))

    run(main())


def test_the_command_recalls_by_the_running_sink(
    gateways: GatewayFactory, settings: SinkSettings, tmp_path: Path
) -> None:
    config = ("--config", str(tmp_path / "sink.toml"))

    async def main() -> None:
        async with gateways.inside(RECORD) as view:
            device = await source(view)
            await enrol(view, settings)
            await view.allow("office", "garden", None, 1)
            serving = asyncio.create_task(serve(settings, lambda _: None))
            async with device.connected():
                await device.open()
                for value in range(5):
                    await device.send(value)
                out, kept = tmp_path / "out.csv", tmp_path / "kept.grant"
                span = ("garden", "--from", "10min")

                async def command(*arguments: str) -> Done:
                    done = await asyncio.to_thread(tickseal, "sink", *arguments, *config)
                    assert isinstance(done, Done)
                    return done

                async def is_there() -> bool:
                    done = await command("recall", *span, "-o", str(out), "--force")
                    return done.returncode == 0 and "5 frames" in done.stdout

                await until(is_there)
                assert len(out.read_text().splitlines()) == 6
                assert (await command("recall", *span, "--grant", str(kept))).returncode == 0
                assert tickseal("open", str(kept)).stdout.count("\n") == 5
                assert not (settings.state_path / "recalled.grant").exists()
                done = await command("recall", "other", "--from", "1min")
                assert done.returncode == 1
                assert "does not allow it" in done.stderr
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    run(main())


def test_what_goes_wrong_is_said_in_one_line(
    gateways: GatewayFactory, settings: SinkSettings, tmp_path: Path
) -> None:
    def fails(*arguments: str) -> str:
        done = tickseal("sink", *arguments)
        assert done.returncode == 1, done
        (line,) = done.stderr.splitlines()
        return line

    async def main() -> None:
        async with gateways.inside() as view:
            await enrol(view, settings)
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
