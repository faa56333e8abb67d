"""Sessions and streams: revoked at once, rekeyed without loss, one device under one identity."""

from typing import Any

import pytest
from running_gateway import GatewayFactory, run
from source_device import Device, reading, until
from tickseal_gateway import upkeep
from tickseal_gateway.health.view import View

from tickseal.core.errors import TicksealError
from tickseal.sessions import events as ev
from tickseal.sessions.events import CloseReason
from tickseal.sessions.negotiation import AcceptancePolicy
from tickseal.streams.generation import Generation
from tickseal.streams.parameters import Profile, Suite


async def enrolled(view: View, name: str = "garden") -> Device:
    device = Device(str((await view.invite(name=name))["token"]))
    async with device.connected():
        pass
    return device


def frames(view: View) -> int:
    return int(view.snapshot()["totals"]["frames"])  # type: ignore[index]


def stream_of(view: View) -> Any:
    (stream,) = view.snapshot()["streams"]  # type: ignore[misc]
    return stream


def test_a_revoked_device_is_cut_off_at_once(
    gateways: GatewayFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Within a second is the promise: nothing waits for what is done once a second.
    monkeypatch.setattr(upkeep.Upkeep, "tick", lambda _upkeep: None)

    async def main() -> None:
        async with gateways.inside() as view:
            device = await enrolled(view)
            async with device.connected():
                await device.open()
                await device.send(1)
                await until(lambda: frames(view) == 1)
                await view.revoke("garden")
                # The device keeps its sealer, and a path to the sink that needs no session.
                await device.send(2)
                await until(lambda: "revoked" in view.snapshot()["totals"]["refusals"])
                assert frames(view) == 1
                closed = await device.wait_for(ev.SessionClosed)
                assert closed.reason is CloseReason.REVOKED
            async with device.connected(waits=False):
                assert (await device.wait_for(ev.HandshakeRefused)).reason == "revoked"
            with pytest.raises(TicksealError, match="revoked already"):
                await view.revoke("garden")

    run(main())


def test_a_device_stays_revoked_after_a_restart(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device = await enrolled(view)
            await view.revoke("garden")
        async with gateways.inside() as view:
            device.move(view)
            async with device.connected(waits=False):
                assert (await device.wait_for(ev.HandshakeRefused)).reason == "revoked"

    run(main())


def test_handles_stay_with_their_streams_across_a_restart(gateways: GatewayFactory) -> None:
    async def main() -> None:
        handles: list[dict[str, int]] = []
        device = None
        for _ in range(2):
            async with gateways.inside() as view:
                device = device or await enrolled(view)
                device.move(view)
                async with device.connected():
                    opened = [await device.open(name) for name in ("a", "b")]
                    handles.append({g.stream_id: g.handle for g in opened})
                    await device.send(1, "b")
                    await until(lambda: frames(view) == 1)
        assert handles[0] == handles[1]
        assert len(set(handles[0].values())) == 2

    run(main())


def test_a_stream_is_rekeyed_on_demand_and_no_frame_is_lost(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device = await enrolled(view)
            async with device.connected():
                first = await device.open()
                await device.send(1)
                await until(lambda: frames(view) == 1)
                assert await view.rekey("garden") == 1
                await device.wait_for(ev.RekeyRequested)
                late = device.seal(reading(2))
                second = await device.open()
                assert second.number & 0xFF != first.number & 0xFF
                await device.send(3)
                await device.udp.send(late)  # under way while the generations changed
                await until(lambda: frames(view) == 3)
                assert stream_of(view)["refusals"] == {}

    run(main())


def test_generations_are_renewed_by_volume_one_after_the_other(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside("[policy]\nrenew_frames = 1000\n") as view:
            device = await enrolled(view)
            async with device.connected():
                for _ in range(2):
                    since = len(device.events)
                    await device.open()
                    for _ in range(10):
                        for value in range(100):
                            await device.send(value)
                        await until(lambda: frames(view) % 100 == 0)
                    await device.wait_for(ev.RekeyRequested, since=since)

    run(main())


def test_generations_are_renewed_by_time_one_after_the_other(
    gateways: GatewayFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed_ns = [0]
    real = upkeep.boottime_ns
    monkeypatch.setattr(upkeep, "boottime_ns", lambda: real() + passed_ns[0])

    async def main() -> None:
        async with gateways.inside('[policy]\nrenew_after = "12h"\n') as view:
            device = await enrolled(view)
            async with device.connected():
                for _ in range(2):
                    since = len(device.events)
                    await device.open()
                    # The generation is as old as the real clock says: it moves in jumps alone.
                    passed_ns[0] = 12 * 3600 * 10**9
                    await device.wait_for(ev.RekeyRequested, since=since)
                    passed_ns[0] = 0

    run(main())


def test_a_report_tells_what_was_opened_and_refused(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device = await enrolled(view)
            async with device.connected():
                generation = await device.open()
                await device.send(1)
                segment = bytearray(device.seal(reading(2))[0])
                segment[-1] ^= 1
                await device.udp.send([bytes(segment)])
                await until(lambda: stream_of(view)["refusals"] == {"forged": 1})
                (row,) = (await device.wait_for(ev.Reported)).rows
                assert row == (generation.handle, generation.number, 1, 1, 1)

    run(main())


def test_a_stream_that_the_sink_cannot_open_is_asked_to_open_again(
    gateways: GatewayFactory,
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device = await enrolled(view)
            async with device.connected():
                generation = await device.open()
                await device.send(0)
                await until(lambda: frames(view) == 1)
                table = view._parts.table
                table.erase(generation.handle, generation.number)

                async def asked() -> bool:
                    for value in range(8):
                        await device.send(value)
                    return any(isinstance(e, ev.ResyncRequested) for e in device.events)

                await until(asked)
                event = await device.wait_for(ev.ResyncRequested)
                assert event.reason == "generation"
                await device.open()
                await device.send(5)
                await until(lambda: frames(view) == 2)

    run(main())


def test_a_new_session_displaces_the_old_one_and_streams_go_on(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device = await enrolled(view)
            twin = device.twin()
            async with device.connected():
                await device.open()
                async with twin.connected():
                    closed = await device.wait_for(ev.SessionClosed)
                    assert (closed.reason, closed.detail) == (CloseReason.BYE, "displaced")
                    await twin.open()
                    await twin.send(1)
                    await until(lambda: frames(view) == 1)

    run(main())


def test_two_devices_under_one_identity_raise_an_alarm(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device = await enrolled(view)
            twin, again = device.twin(), device.twin()
            async with device.connected():
                await device.open()
                async with twin.connected():
                    await device.wait_for(ev.SessionClosed)
                    assert view.snapshot()["alarms"] == []
                    async with again.connected():
                        await twin.wait_for(ev.SessionClosed)
                        await until(lambda: view.snapshot()["alarms"])
            (alarm,) = view.snapshot()["alarms"]  # type: ignore[misc]
            assert (alarm["kind"], alarm["device"]) == ("two_devices", "garden")

    run(main())


def test_a_device_that_reconnects_after_its_session_ended_raises_no_alarm(
    gateways: GatewayFactory,
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device = await enrolled(view)
            for _ in range(5):
                async with device.connected():
                    await device.open()
                await until(lambda: view.snapshot()["totals"]["sessions"] == 0)
            assert view.snapshot()["alarms"] == []

    run(main())


def test_a_stream_belongs_to_the_device_that_opened_it_until_that_is_revoked(
    gateways: GatewayFactory,
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            first, second = await enrolled(view, "first"), await enrolled(view, "second")
            handles: list[Generation] = []
            async with first.connected():
                handles.append(await first.open())
                async with second.connected():
                    second.ask("garden")
                    refused = await second.wait_for(ev.StreamRefused)
                    assert refused.reason == "taken"
                    assert "'first'" in refused.detail
                    await view.revoke("first")
                    handles.append(await second.open())
                    await second.send(7)
                    await until(lambda: frames(view) == 1)
            assert handles[0].handle != handles[1].handle

    run(main())


def test_what_the_policy_does_not_allow_is_moved_or_refused(gateways: GatewayFactory) -> None:
    async def main() -> None:
        policy = '[policy]\nsuites = ["chacha20-poly1305"]\nshortest_interval = "50ms"\n'
        async with gateways.inside(policy) as view:
            device = await enrolled(view)
            async with device.connected():
                generation = await device.open(wish=device.wish(interval_ns=1_000_000))
                assert generation.parameters.interval_ns == 50_000_000
                assert generation.parameters.suite.name == "CHACHA20_POLY1305"
                device.ask("other", wish=device.wish(suites=(1,)))
                assert (await device.wait_for(ev.StreamRefused)).reason == "suite"

    run(main())


def test_only_the_types_of_data_that_the_policy_names_may_flow(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside('[policy]\ntypes = ["image/*", "temperature"]\n') as view:
            device = await enrolled(view)
            async with device.connected():
                device.ask("garden")  # its type is telemetry
                refused = await device.wait_for(ev.StreamRefused)
                assert refused.reason == "type"
                assert "allows the types image/*, temperature, not telemetry" in refused.detail
        async with gateways.inside('[policy]\ntypes = ["tele*"]\n') as view:
            device.move(view)
            async with device.connected():
                await device.open()

    run(main())


def test_a_microcontroller_streams_with_compact_headers_over_its_connection(
    gateways: GatewayFactory,
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device, other = await enrolled(view, "one"), await enrolled(view, "two")
            device.policy = other.policy = AcceptancePolicy(
                suites=tuple(Suite), profiles=tuple(Profile), hash_min=8
            )
            compact = device.wish(profile=Profile.COMPACT, suites=(3,), hash_length=8)
            async with device.connected(), other.connected():
                streams = [(device, name) for name in "abc"] + [(other, name) for name in "def"]
                generations = [await d.open(name, wish=compact) for d, name in streams]
                for generation in generations:
                    assert generation.parameters.profile is Profile.COMPACT
                    assert generation.parameters.overhead_bytes == 24
                for at in range(3):
                    assert len({g.handle & 0xFF for g in generations[:3]}) == 3
                    for source, name in streams:
                        source.session.send_segments(source.seal(reading(at), name))
                        source.flush()
                await until(lambda: frames(view) == 18)
                # Over UDP such a handle means nothing.
                await device.udp.send(device.seal(reading(9), "a"))
                await until(
                    lambda: (
                        view.snapshot()["totals"]["refusals"] == {"truncated": 1}
                        or view.snapshot()["totals"]["refusals"] == {"version": 1}
                    )
                )
                second = await device.open("a", wish=compact)
                device.session.send_segments(device.seal(reading(1), "a"))
                device.flush()
                await until(lambda: frames(view) == 19)
                assert second.number & 15 != generations[0].number & 15

    run(main())


def test_clocks_that_contradict_each_other_raise_an_alarm_and_hold_frames(
    gateways: GatewayFactory,
) -> None:
    async def main() -> None:
        async with gateways.inside('[clock]\npolicy = "hold"\n') as view:
            device = await enrolled(view)
            device.shift_clock(-30_000_000_000)
            async with device.connected():
                await device.open()
                await until(lambda: view.snapshot()["alarms"])
                kinds = {alarm["kind"] for alarm in view.snapshot()["alarms"]}  # type: ignore[attr-defined]
                assert kinds <= {"clock", "clock_of_device"}
                device.shift_clock(0)
                await device.send(1)
                await until(lambda: stream_of(view)["withheld"] == 1)
                await until(lambda: not view.snapshot()["alarms"])
                await device.send(2)
                await until(lambda: stream_of(view)["latest"])

    run(main())
