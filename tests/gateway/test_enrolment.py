"""Enrolment by invite: once, in time, by the first device that proves it; nothing by a replay."""

import asyncio
import contextlib
import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from running_gateway import GatewayFactory, run
from source_device import Device, until
from tickseal_gateway.health.view import View

from tickseal.core.errors import LinkError, TicksealError
from tickseal.invite import InviteToken
from tickseal.links.tcp import TCPLink
from tickseal.sessions import events as ev
from tickseal.sessions.events import CloseReason


async def invited(view: View, **arguments: Any) -> str:
    return str((await view.invite(**arguments))["token"])


async def refusal(device: Device) -> str:
    async with device.connected(waits=False):
        return (await device.wait_for(ev.HandshakeRefused)).reason


def named(view: View) -> dict[str, str]:
    devices: Any = view.snapshot()["devices"]
    return {device["name"]: device["state"] for device in devices}


def port_of(view: View) -> int:
    gateway: Any = view.snapshot()["gateway"]
    return int(gateway["tcp_port"])


def test_a_device_enrols_streams_and_is_stored(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device = Device(await invited(view, name="garden shed"))
            async with device.connected():
                await device.open()
                for value in range(20):
                    await device.send(value)
                await until(lambda: view.snapshot()["totals"]["frames"] == 20)
                shown: Any = view.snapshot()
            assert device.name == "garden shed"
            (stream,) = shown["streams"]
            assert stream["latest"][0]["value"] == 19
            assert stream["latest"][0]["unit"] == "Cel"
            assert stream["refusals"] == {}
            assert stream["keys_derived"] == 20

    run(main())
    with closing(sqlite3.connect(gateways.state / "readings.db")) as database:
        rows = database.execute("SELECT device, stream, name, value, unit FROM readings").fetchall()
        frames = database.execute("SELECT device, frames, missing FROM generations").fetchall()
    assert [row[3] for row in rows] == list(range(20))
    assert rows[0] == ("garden shed", "garden", "t", 0, "Cel")
    assert frames == [("garden shed", 20, 0)]


def test_a_device_that_enrols_with_many_streams_waits_three_times_for_the_disk(
    gateways: GatewayFactory,
) -> None:
    names = [f"stream-{number}" for number in range(10)]

    async def main() -> None:
        async with gateways.inside() as view:
            registry: Any = view._parts.controller.registry
            device = Device(await invited(view))
            other = Device(await invited(view))
            async with other.connected():
                await other.open(names[3])
            commits: list[object] = []
            sa.event.listen(registry._engine, "commit", commits.append)
            async with device.connected():
                device.ask(*names)
                await until(lambda: len(device.started) == len(names) - 1)
            # It is known, it has its identity, and it has its streams.
            assert len(commits) == 3
            refused = await device.wait_for(ev.StreamRefused)
            assert (refused.stream_id, refused.reason) == (names[3], "taken")
            owned = {
                stream.id for stream in registry.streams_of(registry.device_named(device.name).id)
            }
            assert owned == set(names) - {names[3]}

    run(main())


def test_an_invite_is_used_up_once_the_device_has_stored(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            token = await invited(view)
            async with Device(token).connected():
                await until(lambda: not view.snapshot()["invites"])
            assert await refusal(Device(token)) == "used"
            await until(lambda: len(named(view)) == 1)

    run(main())


def test_the_first_key_owns_an_invite_and_may_repeat_until_it_has_stored(
    gateways: GatewayFactory,
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            token, key = await invited(view), os.urandom(32)
            async with Device(token, private_key=key).connected(stores=False):
                await until(lambda: list(named(view).values()) == ["enrolling"])
            assert await refusal(Device(token)) == "used"
            again = Device(token, private_key=key)
            async with again.connected():
                await again.open()
            await until(lambda: list(named(view).values()) == ["approved"])

    run(main())


def test_a_device_that_stored_but_could_not_say_so_comes_back_enrolled(
    gateways: GatewayFactory,
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device = Device(await invited(view))
            async with device.connected(stores=False):
                enrolled = await device.wait_for(ev.Enrolled)
            device.credentials = replace(
                device.credentials, psk=enrolled.device_psk, invite_id=None
            )
            async with device.connected():
                await device.open()
            await until(lambda: list(named(view).values()) == ["approved"])
            await until(lambda: view.snapshot()["invites"] == [])

    run(main())


def test_an_expired_invite_is_refused(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            token = await invited(view, lifetime_ns=1)
            assert await refusal(Device(token)) == "expired"
            assert named(view) == {}

    run(main())


def test_an_invite_that_was_withdrawn_is_worthless(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            made = await view.invite()
            await view.withdraw(str(made["id"]))
            assert await refusal(Device(str(made["token"]))) == "unknown"
            with pytest.raises(TicksealError, match="no open invite"):
                await view.withdraw(str(made["id"]))

    run(main())


def test_an_invite_that_was_never_made_is_unknown(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            made = replace(InviteToken.parse(await invited(view)), invite_id=os.urandom(8))
            assert await refusal(Device(made.encode())) == "unknown"

    run(main())


def test_a_stranger_with_ever_new_keys_fills_no_log(
    gateways: GatewayFactory, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            made = replace(InviteToken.parse(await invited(view)), invite_id=os.urandom(8))
            for _ in range(3):  # each device makes itself a key
                await refusal(Device(made.encode()))
            totals: Any = view.snapshot()["totals"]
            assert totals["refused_handshakes"] == {"unknown": 3}

    run(main())
    (said,) = (r.getMessage() for r in caplog.records if "refused a device" in r.getMessage())
    assert said.endswith("enrol it with a new invite")


def test_an_invite_with_a_wrong_secret_opens_nothing(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            wrong = replace(InviteToken.parse(await invited(view)), secret=os.urandom(32))
            device = Device(wrong.encode())
            async with device.connected(waits=False):
                closed = await device.wait_for(ev.SessionClosed)
            assert closed.reason is CloseReason.HANDSHAKE_FAILED
            assert named(view) == {}
            shown: Any = view.snapshot()["invites"]
            assert not shown[0]["is_bound"]

    run(main())


@pytest.mark.parametrize("hybrid", [True, False])
def test_the_handshake_of_the_invite_is_pinned(gateways: GatewayFactory, hybrid: bool) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            token = await invited(view, hybrid=hybrid)
            other = replace(InviteToken.parse(token), hybrid=not hybrid)
            assert await refusal(Device(other.encode())) == "incompatible"
            device = Device(token)
            async with device.connected():
                pass
            device.credentials = replace(device.credentials, hybrid=not hybrid)
            assert await refusal(device) == "incompatible"

    run(main())


def test_a_replayed_first_message_opens_nothing_and_displaces_nobody(
    gateways: GatewayFactory,
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device = Device(await invited(view))
            async with device.connected():
                first_of_invite = device.written[0]
            await until(lambda: view.snapshot()["totals"]["sessions"] == 0)
            async with device.connected():
                first_of_device = device.written[0]
                await device.open()
                await until(lambda: view.snapshot()["totals"]["sessions"] == 1)
                session = view._parts.controller.connections
                before = dict(session)
                for first in (first_of_device, first_of_invite):
                    link = await TCPLink.connect("127.0.0.1", port_of(view))
                    link.write(first)
                    assert await link.receive()  # an answer that only the device can read
                    link.write(b"\x00\x11\x05" + bytes(16))
                    with contextlib.suppress(LinkError):
                        assert not await link.receive()
                    await link.close()
                await device.send(1)
                await until(lambda: view.snapshot()["totals"]["frames"] == 1)
                assert session == before
                assert not any(isinstance(e, ev.SessionClosed) for e in device.events)
                assert len(named(view)) == 1
                assert not view.snapshot()["alarms"]

    run(main())


def test_a_device_waits_for_approval_where_policy_says_so(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside("[policy]\napprove = true\n") as view:
            device = Device(await invited(view, name="porch"))
            async with device.connected():
                device.ask("garden")
                refused = await device.wait_for(ev.StreamRefused)
                assert refused.reason == "pending"
                await until(lambda: named(view) == {"porch": "pending"})
                await view.approve("porch")
                # What waits is told at once: it comes back, and asks anew.
                assert (await device.wait_for(ev.SessionClosed)).detail == "approved"
            async with device.connected():
                await device.open()
                await view.approve("porch")  # once more changes nothing
                await device.send(1)
                await until(lambda: view.snapshot()["totals"]["frames"] == 1)

    run(main())


def test_a_fleet_enrols_at_once_under_names_of_its_own(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            devices = [Device(await invited(view)) for _ in range(12)]

            async def enrol(device: Device) -> None:
                async with device.connected():
                    pass

            await asyncio.gather(*map(enrol, devices))
            assert {device.name for device in devices} == set(named(view))
            assert len(named(view)) == len(devices)
            await until(lambda: not view._controller.promised)

    run(main())


def test_two_invites_do_not_promise_one_name(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            await view.invite(name="porch")
            with pytest.raises(TicksealError, match="promised by another invite"):
                await view.invite(name="porch")
            with pytest.raises(TicksealError, match="1 to 64 printable"):
                await view.invite(name="a\nb")

    run(main())
