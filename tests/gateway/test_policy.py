"""What the policy counts holds to the last one, and for what was begun before it was written."""

from typing import Any

import pytest
from running_gateway import GatewayFactory, run
from source_device import Device, MovableClock, until
from tickseal_gateway.health.view import View

from tickseal.core.errors import TicksealError
from tickseal.sessions import events as ev
from tickseal.sessions.negotiation import Wish


async def enrolled(view: View, **how: Any) -> Device:
    device = Device(str((await view.invite(**how))["token"]))
    async with device.connected():
        pass
    return device


def test_a_gateway_has_as_many_devices_as_its_policy_says(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside("[policy]\ndevices = 2\n") as view:
            for _ in range(2):
                await enrolled(view)
            one_more = Device(str((await view.invite())["token"]))
            async with one_more.connected(waits=False):
                answer = await one_more.wait_for(ev.HandshakeRefused, ev.Welcomed)
                assert answer == ev.HandshakeRefused(reason="busy")

    run(main())


def test_a_device_has_as_many_streams_as_the_policy_says(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside("[policy]\nstreams = 2\n") as view:
            device = await enrolled(view)
            for _ in range(2):  # those that it has, it has in each session
                async with device.connected():
                    await device.open("a")
                    await device.open("b")
                    since = len(device.events)
                    device.ask("c")
                    answer = await device.wait_for(
                        ev.StreamRefused, ev.GenerationStarted, since=since
                    )
                    assert isinstance(answer, ev.StreamRefused)
                    assert (answer.stream_id, answer.reason) == ("c", "busy")

    run(main())


def test_a_classical_invite_of_before_is_worthless_once_the_policy_wants_the_hybrid_one(
    gateways: GatewayFactory,
) -> None:
    async def main() -> None:
        async with gateways.inside("[policy]\nallow_classical = true\n") as view:
            device = Device(str((await view.invite(hybrid=False))["token"]))
        async with gateways.inside("[policy]\nallow_classical = false\n") as view:
            device.move(view)
            async with device.connected(waits=False):
                answer = await device.wait_for(ev.HandshakeRefused, ev.Welcomed)
                assert answer == ev.HandshakeRefused(reason="incompatible")
            with pytest.raises(TicksealError, match="classical invites are not allowed"):
                await view.invite(hybrid=False)

    run(main())


def test_limits_are_enforced_after_a_restart(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device = await enrolled(view, name="garden")
            await view.limit("garden", {"frames_per_s": 1})
        async with gateways.inside() as view:
            device.move(view)
            async with device.connected():
                await device.open()
                for value in range(40):
                    await device.send(value)
                await until(lambda: view.snapshot()["totals"]["frames"] == 40)
                (stream,) = view.snapshot()["streams"]
                assert stream["over_limit"] > 0

    run(main())


def test_a_closed_generation_is_held_for_what_is_under_way_and_no_longer(
    gateways: GatewayFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = MovableClock(monkeypatch, runs=False)

    async def main() -> None:
        async with gateways.inside() as view:
            device = await enrolled(view)
            device.clock = clock
            find = view._parts.table.find
            async with device.connected():
                closed = await device.open(wish=Wish(past_ns=20 * 10**9))
                parameters = closed.parameters
                overlap_ns = parameters.past_ns + parameters.skew_ns
                for again_ns in (0, 10**9):  # to say it twice postpones nothing
                    clock.move(again_ns)
                    device.session.close_stream(closed.handle, closed.number)
                    await device.open("other")  # by its answer, all before it was taken in
                    held = find(closed.handle, closed.number)
                    assert held is not None
                    ends_ns = held.received.ends_at_ns
                    assert ends_ns is not None
                    assert ends_ns - clock.now().latest_ns == overlap_ns - again_ns
                clock.move(overlap_ns)
                await until(lambda: find(closed.handle, closed.number) is None)

    run(main())


def test_the_low_bits_of_a_streams_last_generations_are_not_given_again(
    gateways: GatewayFactory,
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device = await enrolled(view)
            async with device.connected():
                handle = (await device.open()).handle
            controller = view._parts.controller
            stream = controller.registry.stream(handle)
            assert stream is not None
            low = [controller.pick_generation(stream, Wish()) & 0xFF for _ in range(500)]
            assert all(one not in low[at - 4 : at] for at, one in enumerate(low) if at >= 4)

    run(main())
