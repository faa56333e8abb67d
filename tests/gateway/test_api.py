"""The gateway for programs: frames as they come, in this process or from another."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import pytest
from running_gateway import GatewayFactory, run
from source_device import Device, until
from tickseal_gateway.api import Frame, connect, open_gateway
from tickseal_gateway.frames import frames as frames_module
from tickseal_gateway.frames.frames import FrameFeed
from tickseal_gateway.frames.readings import Batch, Names, Opaque, Picture, Reading
from tickseal_gateway.health.view import View

from tickseal.core import constants
from tickseal.core.errors import LinkError
from tickseal.host.control_socket import CommandRefusedError, NotRunningError
from tickseal.payloads import pictures

Stream = Callable[..., AsyncIterator[Frame]]


async def sending(view: View, check: Callable[[Device], Awaitable[None]]) -> None:
    """Run a check beside a device that sends readings for ever."""
    device = Device(str((await view.invite())["token"]))
    async with device.connected():
        await device.open("garden/temperature")
        await device.open("shed", content="")

        async def send() -> None:
            for value in range(1 << 20):
                await device.send(value, "garden/temperature", "air")
                await device.udp.send(device.seal(b"opaque", "shed"))
                await asyncio.sleep(0.01)

        task = asyncio.create_task(send())
        try:
            await check(device)
        finally:
            task.cancel()
            await asyncio.wait([task])


async def values_of(stream: Stream, count: int) -> list[object]:
    """Return the values of so many frames of the sensor."""
    values: list[object] = []
    async for frame in stream("garden/*"):
        assert (frame.stream, frame.device[:6], frame.picture) == (
            "garden/temperature",
            "device",
            None,
        )
        assert not frame.is_backfilled
        values += [(one.name, one.value) for one in frame.readings]
        if len(values) >= count:
            break
    return values


def test_frames_of_a_stream_in_this_process(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with open_gateway(gateways.file) as gateway:

            async def check(_: Device) -> None:
                values = await values_of(gateway.stream, 5)
                first = values[0][1]  # type: ignore[index]
                assert values == [("air", first + number) for number in range(5)]

            await sending(gateway, check)

    run(main())


def test_frames_of_a_gateway_that_runs_already(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view, connect(gateways.file) as gateway:

            async def has_session() -> bool:
                return bool((await gateway.ask("status"))["totals"]["sessions"] == 1)

            async def check(_: Device) -> None:
                values = await values_of(gateway.stream, 5)
                assert [value for _, value in values] == sorted(v for _, v in values)  # type: ignore[misc, type-var]
                async for frame in gateway.stream("shed"):
                    assert (frame.payload, frame.readings) == (b"opaque", ())
                    break
                await until(has_session)  # the status is of the last second

            await sending(view, check)

    run(main())


def test_a_program_whose_gateway_ends_is_told_so(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            count = 0

            async def follow() -> None:
                nonlocal count
                async with connect(gateways.file) as gateway:
                    async for _ in gateway.stream():
                        count += 1

            async def check(_: Device) -> None:
                nonlocal following
                following = asyncio.create_task(follow())
                await until(lambda: count)

            following: asyncio.Task[None]
            await sending(view, check)
        try:
            await following
        except LinkError as error:
            assert "broke off" in str(error)
        with pytest.raises(NotRunningError, match="start it: tickseal gateway run"):
            async with connect(gateways.file):
                pass

    run(main())


def test_a_program_that_goes_away_is_forgotten(
    gateways: GatewayFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames_module, "_QUIET_S", 0.01)

    async def main() -> None:
        async with gateways.inside() as view, connect(gateways.file) as gateway:
            stream = gateway.stream("nothing/of/that/name")
            waiting = asyncio.ensure_future(anext(stream))
            feed = view._controller.ingest.feed
            while not feed._waiting:
                await asyncio.sleep(0.01)
            waiting.cancel()
            await asyncio.wait([waiting])
            while feed._waiting:
                await asyncio.sleep(0.01)
            with pytest.raises(CommandRefusedError):
                await gateway.ask("nonsense")

    run(main())


def opaque(number: int, payload: bytes = b"") -> Batch:
    return Batch(received_ns=0, others=[Opaque(Names("d", "s", 1), payload, number, number, 0, 0)])


def test_a_program_that_is_too_slow_is_told_what_it_missed() -> None:
    async def main() -> None:
        feed = FrameFeed()
        async with aclosing(feed.stream(())) as frames:  # type: ignore[type-var]
            first = asyncio.ensure_future(anext(frames))
            await asyncio.sleep(0)
            for number in range(10_101):
                feed.offer(opaque(number))
            assert (await first).number == 101
            assert (await first).missed == 101
            assert (await anext(frames)).missed == 0
            for number in range(3):
                feed.offer(opaque(number, bytes(40 << 20)))
            frame = await anext(frames)
            assert (frame.number, frame.missed) == (2, 9_998 + 2)

    run(main())


def test_a_frame_comes_as_it_was_from_another_process() -> None:
    read = Reading("d", "s", "t", 1.5, "Cel", 7, 3, 4, (1 << 64) - 1, constants.FLAG_BACKFILL)
    shown = pictures.Picture(
        codec="jpeg", width=2, height=1, time_ns=5, sequence=6, is_key=True, data=b"\xff\xd8"
    )
    batch = Batch(
        received_ns=9,
        readings=[read, read._replace(name="h", value=None), read._replace(frame=5, value="on")],
        pictures=[Picture("d", "cam", shown, 3, 4, 1, 0, 9)],
        others=[Opaque(Names("d", "raw", 1), b"\0\1", 3, 4, 0, 9)],
    )
    frames = list(frames_module._frames(batch))
    assert [len(frame.readings) for frame in frames] == [2, 1, 0, 0]
    assert frames[0].is_backfilled
    for frame in frames:
        back = Frame.from_json(frame.to_json())
        assert back == frame
