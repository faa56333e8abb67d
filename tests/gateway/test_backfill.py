"""What a source sealed while the gateway was away: opened once, stored, acknowledged, finished."""

import logging
import sqlite3
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from running_gateway import GatewayFactory, run
from source_device import Device, reading, until
from tickseal_gateway.frames.readings import FrameMark
from tickseal_gateway.health.view import View

from tickseal.core import constants
from tickseal.core.errors import StoreError
from tickseal.sessions import events as ev
from tickseal.streams.generation import Generation
from tickseal.streams.sealing import FrameSealer
from tickseal.streams.summary import Summary

Frames = list[tuple[int, int, list[bytes]]]


async def device_with_stream(view: View, name: str = "garden") -> tuple[Device, Generation]:
    device = Device(str((await view.invite(name=name))["token"]))
    async with device.connected():
        return device, await device.open(name)


def sealed(sealer: FrameSealer, count: int, *, summary: bool = False) -> Frames:
    frames: Frames = []
    for index in range(count):
        tick, number = max(sealer.tick, 0) + 1, sealer.frame_number
        payload = reading(number, time_ns=1_700_000_000_000_000_000 + number)
        frames.append((tick, number, sealer.seal(payload, tick, constants.FLAG_BACKFILL)))
        if summary and index == count - 1:
            number = sealer.frame_number
            says = Summary(until_frame=number, from_tick=1, until_tick=tick + 1, is_final=True)
            frames.append(
                (tick, number, sealer.seal(says.encode(), tick, 0, constants.KIND_SUMMARY))
            )
    return frames


def tick_now(device: Device, generation: Generation) -> int:
    return generation.parameters.tick_at(device.clock.now().midpoint_ns)


def stored(gateways: GatewayFactory) -> list[float]:
    with closing(sqlite3.connect(gateways.state / "readings.db")) as database:
        rows = database.execute("SELECT value FROM readings WHERE backfilled ORDER BY time_ns")
        return [value for (value,) in rows]


def test_frames_sealed_offline_are_stored_and_acknowledged(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device, online = await device_with_stream(view)
            blob, sealer = device.begin_offline(online)
            frames = sealed(sealer, 50, summary=True)
            number = sealer.generation.number
            async with device.connected():
                answer = await device.offer(blob)
                assert (answer.accepted, answer.reason) == (True, "")
                device.backfill(sealer, frames[:30])
                await device.stored(number, 30)
                device.backfill(sealer, frames[30:])
                # The final summary is a frame too: with it all are acknowledged.
                await device.stored(number, 51)
                assert stored(gateways) == list(range(50))
                device.session.finish_backfill(online.handle, number)
                device.flush()
                await until(lambda: view.snapshot()["streams"][0]["backfilling"] == 0)
                refused = await device.offer(blob)
                assert (refused.accepted, refused.reason) == (False, "finished")

    run(main())


def test_after_a_restart_it_is_opened_from_where_it_was_stored(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device, online = await device_with_stream(view)
            blob, sealer = device.begin_offline(online)
            number, frames = sealer.generation.number, sealed(sealer, 40)
            async with device.connected():
                await device.offer(blob)
                device.backfill(sealer, frames[:20])
                await device.stored(number, 20)
        async with gateways.inside() as view:
            device.move(view)
            async with device.connected():
                assert (await device.offer(blob)).accepted
                await device.stored(number, 20)
                # A copy of what was stored opens nothing more.
                device.backfill(sealer, frames)
                await device.stored(number, 40)
                stream: Any = view.snapshot()["streams"][0]  # type: ignore[index]
                assert stream["frames"] == 20
                assert stream["refusals"] == {"stale": 20}
        assert stored(gateways) == list(range(40))

    run(main())


def test_nothing_is_opened_of_an_offline_generation_that_was_not_announced(
    gateways: GatewayFactory,
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device, online = await device_with_stream(view)
            blob, sealer = device.begin_offline(online)
            frames = sealed(sealer, 3)
            async with device.connected():
                await device.offer(blob)
                for _, _, segments in frames:
                    await device.udp.send(segments)
                await until(lambda: view.snapshot()["totals"]["refusals"] == {"early": 3})
                assert view.snapshot()["totals"]["frames"] == 0

    run(main())


def test_a_device_can_offer_nothing_under_the_handle_of_another(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            _, victim = await device_with_stream(view, "victim")
            device, own = await device_with_stream(view, "thief")
            blob, _ = device.begin_offline(victim)
            async with device.connected():
                answer = await device.offer(blob)
                assert (answer.accepted, answer.reason) == (False, "handle")
                device.session.announce_backfill(
                    victim.handle, victim.number, ticks=(0, 9), frames=(0, 9)
                )
                device.flush()
                assert (await device.wait_for(ev.AlarmRaised)).reason == "backfill"
                device.session.finish_backfill(victim.handle, victim.number)
                device.session.close_stream(victim.handle, victim.number)
                device.flush()
                await device.open("thief")
            held = view._parts.table.find(victim.handle, victim.number)
            assert held is not None
            assert held.received.ends_at_ns is None
            assert own.handle != victim.handle

    run(main())


def test_what_is_offered_is_what_its_handle_is_for_and_what_the_policy_allows(
    gateways: GatewayFactory,
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device, online = await device_with_stream(view)
            async with device.connected():
                other = await device.open("other")
                for reason, changed in (
                    ("metadata", {"metadata": other.metadata}),
                    ("policy", {"parameters": replace(online.parameters, depth=0, epoch_bits=0)}),
                ):
                    kept = {"handle": online.handle, "number": online.number}
                    kept |= {"metadata": online.metadata, "parameters": online.parameters}
                    blob, _ = device.begin_offline(SimpleNamespace(**kept | changed))
                    answer = await device.offer(blob)
                    assert (answer.accepted, answer.reason) == (False, reason)

    run(main())


def test_a_backfill_that_broke_off_goes_on_in_the_next_session(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device, online = await device_with_stream(view)
            blob, sealer = device.begin_offline(online)
            number, frames = sealer.generation.number, sealed(sealer, 40)
            for part in (frames[:20], frames[20:]):
                async with device.connected():
                    assert (await device.offer(blob)).accepted
                    device.backfill(sealer, part)
                    await device.stored(number, part[-1][1] + 1)
        assert stored(gateways) == list(range(40))

    run(main())


def test_frames_whose_keys_died_with_the_gateway_are_told_to_be_lost(
    gateways: GatewayFactory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> None:
        async with gateways.inside() as view:
            device, online = await device_with_stream(view)
        async with gateways.inside() as view:
            device.move(view)
            async with device.connected():
                device.session.announce_backfill(
                    online.handle, online.number, ticks=(0, 10), frames=(0, 7)
                )
                device.flush()
                await device.stored(online.number, 7)
                said = f"sent frames 0 to 6 of {online.stream_id} when their keys went"
                assert said in caplog.text

    run(main())


def test_what_a_network_held_does_not_lock_out_what_lies_before_it(
    gateways: GatewayFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device = Device(str((await view.invite(name="garden"))["token"]))
            async with device.connected():
                # The window is two ticks.
                online = await device.open(wish=device.wish(past_ns=0, skew_ns=200_000_000))
                sealer = device.sealers["garden"]
                device.flush = lambda: None  # type: ignore[method-assign]  # the cable is out
                monkeypatch.setattr("tickseal.sessions.liveness.SILENCE_NS", 100_000_000)
                await until(lambda: not view.snapshot()["devices"][0]["is_connected"])
                monkeypatch.undo()
                frames = sealed(sealer, 1)
                await until(lambda: tick_now(device, online) > frames[0][0] + 2)
                await device.udp.send(sealer.seal(reading(9), tick_now(device, online)))
                stream = lambda: view.snapshot()["streams"][0]  # noqa: E731
                await until(lambda: stream()["frames"] or stream()["refusals"])
            del device.flush
            async with device.connected():
                device.backfill(sealer, frames)
                await device.stored(online.number, 1)
                assert stored(gateways) == [0]

    run(main())


def test_nothing_is_backfilled_that_lies_beyond_the_calendar(gateways: GatewayFactory) -> None:
    """What files frames under their hour would fail, and lose those of other devices with it."""

    async def main() -> None:
        async with gateways.inside() as view:
            device, online = await device_with_stream(view)
            blob, sealer = device.begin_offline(online)
            async with device.connected():
                assert (await device.offer(blob)).accepted
                tick = (1 << 63) // sealer.generation.parameters.interval_ns
                device.session.announce_backfill(
                    online.handle, sealer.generation.number, ticks=(tick, tick + 1), frames=(0, 1)
                )
                device.flush()
                said = await device.wait_for(ev.AlarmRaised)
                assert (said.reason, "2262" in said.detail) == ("backfill", True)

    run(main())


def test_nothing_is_acknowledged_before_it_is_on_the_disk(
    gateways: GatewayFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device, online = await device_with_stream(view)
            blob, sealer = device.begin_offline(online)
            number, frames = sealer.generation.number, sealed(sealer, 10)
            with closing(sqlite3.connect(gateways.state / "readings.db")) as other:
                other.execute("BEGIN IMMEDIATE")  # another program holds the database
                async with device.connected():
                    await device.offer(blob)
                    device.backfill(sealer, frames)
                    await until(lambda: view.snapshot()["outputs"][0]["failures"])
                    assert "another program holds it" in view.snapshot()["outputs"][0]["error"]
                    assert not any(isinstance(e, ev.StoredUntil) for e in device.events)
                    other.rollback()
                    await device.stored(number, 10)
        assert stored(gateways) == list(range(10))

    run(main())


def test_nothing_is_acknowledged_that_a_restart_would_open_again(
    gateways: GatewayFactory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device, online = await device_with_stream(view)
            blob, sealer = device.begin_offline(online)
            number, frames = sealer.generation.number, sealed(sealer, 10)
            controller = view._parts.controller
            offline = controller.registry.offline

            def refuse(_: object) -> None:
                raise StoreError("the disk is full")

            async with device.connected():
                await device.offer(blob)
                with monkeypatch.context() as patch:
                    patch.setattr(offline, "keep", refuse)
                    device.backfill(sealer, frames[:5])
                    await until(lambda: "not acknowledged: the disk is full" in caplog.text)
                device.backfill(sealer, frames[5:])
                await device.stored(number, 10)
                told = [e.frame_until for e in device.events if isinstance(e, ev.StoredUntil)]
                assert told == [10]
            # Nor does what came late take back what was noted.
            await controller.backfill.note_stored([FrameMark(online.handle, number, 3)])
            known = offline.get(online.handle, number)
            assert known is not None
            assert known.stored_until == 10

    run(main())


def test_a_gateway_that_stops_before_it_acknowledges_leaves_nothing_half_begun(
    gateways: GatewayFactory,
) -> None:
    # Warnings are errors here: Python warns of a coroutine that is never awaited.
    async def main() -> None:
        async with gateways.inside() as view:
            controller = view._parts.controller
            controller.spawn(controller.stored([]))
            for task in controller._tasks:
                task.cancel()

    run(main())
