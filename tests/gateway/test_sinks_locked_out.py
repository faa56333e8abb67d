"""Separate sinks and sources that were revoked, or may not read any more: what they still open."""

import asyncio
from typing import Any

import pytest
from running_gateway import GatewayFactory, run
from sink_device import enrolled, enrolled_sink, opens, scenario
from source_device import reading, until
from tickseal_gateway.upkeep import Upkeep

from tickseal.sessions import events as ev
from tickseal.sessions.events import CloseReason


def test_a_revoked_sink_opens_nothing_that_is_sealed_afterwards(
    gateways: GatewayFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps its full state, and gets every segment, as by listening on the network."""
    # Within a second is the promise: nothing waits for what is done once a second.
    monkeypatch.setattr(Upkeep, "tick", lambda _upkeep: None)

    async def main() -> None:
        async with scenario(gateways, "garden", connects=False) as (view, device, sink):
            other = await enrolled_sink(view, "archive")
            await view.allow("archive", "garden")
            async with device.connected(), sink.connected(), other.connected():
                sink.subscribe()
                other.subscribe()
                await device.open()
                await device.send(1)
                await until(lambda: sink.frames and other.frames)
                (segment,) = device.sent
                tick = int.from_bytes(segment[7:10], "big")
                assert opens(sink.kept, segment, tick=tick, frame=0), "the check itself works"

                await view.revoke("office")
                await device.wait_for(ev.RekeyRequested)
                generation = await device.open()
                closed = await sink.wait_for(ev.SessionClosed)
                assert closed.reason is CloseReason.REVOKED

                before = len(device.sent)
                for value in range(2, 12):
                    await device.send(value)
                await until(lambda: len(other.frames) == 11)
                sealed = device.sent[before:]
                first_tick = int.from_bytes(sealed[0][7:10], "big")
                for number, segment in enumerate(sealed):
                    for tick in range(first_tick, first_tick + 20):
                        assert not opens(sink.kept, segment, tick=tick, frame=number)
                    assert not sink.holder.receiver.receive([segment], sink.clock.now())
                assert generation.number not in {held.number for held in sink.kept}
                assert len(sink.frames) == 1
            async with sink.connected(waits=False):
                assert (await sink.wait_for(ev.HandshakeRefused)).reason == "revoked"

    run(main())


def test_a_revoked_source_opens_nothing_of_others_and_nothing_of_its_past(
    gateways: GatewayFactory,
) -> None:
    async def main() -> None:
        async with scenario(gateways, "*") as (view, device, sink):
            other = await enrolled(view, "house")
            async with other.connected():
                await device.open()
                await other.open("house")
                await device.send(1)
                await until(lambda: len(sink.frames) == 1)
                await asyncio.sleep(0.2)  # the tick of that frame is over
                device.seal(reading(2))
                await view.revoke("garden")
                gone = await sink.wait_for(ev.GrantWithdrawn)
                assert gone.reason == "revoked"
                await other.send(3, "house")
                await until(lambda: len(sink.frames) == 2)
                stolen = [sealer.generation for sealer in device.sealers.values()]
                for number, segment in ((0, device.sent[0]), (0, other.sent[0])):
                    low = int.from_bytes(segment[7:10], "big")
                    assert not opens(stolen, segment, tick=low, frame=number)
                # What it seals on with its full state reaches nobody.
                await device.udp.send(device.seal(reading(4)))
                await until(lambda: "revoked" in view.snapshot()["totals"]["refusals"])  # type: ignore[index]
                assert len(sink.frames) == 2

    run(main())


def test_a_sink_that_left_is_locked_out_all_the_same(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with (
            scenario(gateways, "garden", connects=False) as (view, device, sink),
            device.connected(),
        ):
            async with sink.connected():
                sink.subscribe()
                await device.open()
                await sink.wait_for(ev.GrantReceived)
            await until(lambda: view.snapshot()["totals"]["sessions"] == 1)  # type: ignore[index]
            await view.disallow("office", "garden")
            await device.wait_for(ev.RekeyRequested)

    run(main())


def test_a_source_that_does_not_renew_is_asked_again(
    gateways: GatewayFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Upkeep, "tick", lambda _upkeep: None)  # the test counts the seconds

    async def main() -> None:
        async with scenario(gateways, "garden") as made:
            view, device, sink = made
            await device.open()
            await sink.wait_for(ev.GrantReceived)
            await view.disallow("office", "garden")
            hub: Any = view._controller.sinks

            def asked() -> int:
                return sum(isinstance(event, ev.RekeyRequested) for event in device.events)

            def pass_seconds(count: int) -> None:
                for _ in range(count):
                    hub.tick(device.clock.now())
                for connection in view._controller.connections.values():
                    connection.flush()

            await until(lambda: asked() == 1)
            pass_seconds(5)
            await until(lambda: asked() == 2)
            await device.open()
            pass_seconds(10)
            await device.send(1)
            await until(lambda: made.frames == 1)
            assert asked() == 2

    run(main())
