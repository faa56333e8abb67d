"""A device is read at its rate for ever; one that fails is closed and opened until it is back."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable

import pytest
from edge_device import until
from tickseal_edge.lanes import Lane
from tickseal_edge.production import production as module
from tickseal_edge.production.producers import Payload
from tickseal_edge.production.production import Production
from tickseal_edge.production.stream_config import HostStream
from tickseal_edge.sensors.base import DeviceError
from waiting import PATIENCE_S

from tickseal.links.backoff import Backoff


class Device:
    """What is plugged in, or not; it says when it is closed."""

    is_paced = False

    def __init__(self) -> None:
        self.is_there = True
        self.fault: Exception | None = None
        self.opened = self.closed = self.read = 0

    def open(self, _stream: object) -> "Device":
        if not self.is_there:
            raise DeviceError("it is not there; plug it in")
        self.opened += 1
        return self

    def produce(self, _time_ns: int) -> Payload:
        if self.fault is not None:
            raise self.fault
        self.read += 1
        return Payload(b"%d" % self.read)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    device = Device()
    monkeypatch.setattr(module, "open_producer", device.open)
    monkeypatch.setattr(module, "Backoff", lambda **_: Backoff(first_ns=1_000_000, most_ns=10**7))
    return device


def run(
    scenario: Callable[[Production, list[Payload]], Awaitable[None]], *, rate_hz: float = 500
) -> None:
    async def main() -> None:
        payloads: list[Payload] = []
        lane = Lane("test")
        production = Production(
            HostStream(id="pi/heat", rate_hz=rate_hz), lane, utc_ns=lambda: 0, emit=payloads.append
        )
        task = asyncio.create_task(production.run())
        try:
            await scenario(production, payloads)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            lane.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "fault", [DeviceError("no answer; see its wires"), KeyError("of a driver")]
)
def test_a_device_that_fails_is_closed_and_opened_again(device: Device, fault: Exception) -> None:
    async def scenario(production: Production, payloads: list[Payload]) -> None:
        await until(lambda: len(payloads) > 3)
        assert production.state == "answers"
        device.fault = fault
        await until(lambda: device.closed)
        await until(lambda: device.opened > 1)
        assert str(fault) in production.state
        device.fault = None
        count = len(payloads)
        await until(lambda: len(payloads) > count + 3)
        assert production.state == "answers"
        assert device.opened == device.closed + 1, "never open twice at once"
        assert production.failures == device.closed

    run(scenario)


def test_what_is_unplugged_is_said_once_and_its_return_too(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(production: Production, payloads: list[Payload]) -> None:
        await until(lambda: payloads)
        device.is_there, device.fault = False, DeviceError("it is not there; plug it in")
        await until(lambda: production.failures > 5)
        device.is_there, device.fault = True, None
        count = len(payloads)
        await until(lambda: len(payloads) > count)

    with caplog.at_level(logging.INFO, "tickseal.edge"):
        run(scenario)
    assert [record.message for record in caplog.records] == [
        "pi/heat: the device answers",
        "pi/heat: it is not there; plug it in",
        "pi/heat: the device answers",
    ]


def test_a_device_that_hangs_is_told_of(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HANGS_NS", 50_000_000)
    goes_on = threading.Event()
    produce = device.produce

    def hang(time_ns: int) -> Payload:
        goes_on.wait()
        return produce(time_ns)

    monkeypatch.setattr(device, "produce", hang)

    async def scenario(production: Production, payloads: list[Payload]) -> None:
        await until(lambda: "no answer for 0 s; see its wires" in production.state)
        goes_on.set()
        await until(lambda: payloads)
        assert production.state == "answers"

    try:
        run(scenario)
    finally:
        goes_on.set()


def test_the_rate_may_change_while_it_runs(device: Device) -> None:
    async def scenario(production: Production, payloads: list[Payload]) -> None:
        await until(lambda: payloads)
        production.rate_hz = 1000
        await until(lambda: len(payloads) > 4 * PATIENCE_S, "it is faster")

    run(scenario, rate_hz=2)


def test_a_device_with_a_pace_of_its_own_is_not_held_back(device: Device) -> None:
    device.is_paced = True

    async def scenario(production: Production, payloads: list[Payload]) -> None:
        await until(lambda: len(payloads) > 50)

    run(scenario, rate_hz=0.001)
