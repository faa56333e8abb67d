"""What a device does while its clock is uncertain, jumps, goes back, or is at odds with others."""

import asyncio

import pytest
from edge_device import STREAM, Device, until
from fake_gateway import FakeGateway, Registry
from tickseal_edge.clock.ensemble import ClockEnsemble
from tickseal_edge.config import ClockConfig

from tickseal.clock import ClockAction, ClockDiscipline
from tickseal.sessions import events as ev

SECOND = 10**9


def _run(device: Device, registry: Registry, action: ClockAction, scenario) -> None:  # type: ignore[no-untyped-def]
    async def run() -> None:
        device.set(clock=ClockConfig(action=action))
        # Its own clock, so that the device's faults are not the gateway's.
        enrolled = device.enrolled(registry, clock=type(device.clock)())
        async with enrolled as gateway, device.running() as service:
            await until(lambda: len(gateway.payloads(STREAM)) > 5)
            await scenario(gateway, service)

    asyncio.run(run())


def test_flag_marks_what_is_sealed_by_a_clock_that_lost_its_source(
    device: Device, registry: Registry
) -> None:
    async def scenario(gateway, service) -> None:  # type: ignore[no-untyped-def]
        assert not gateway.is_holdover(STREAM)
        device.clock.discipline = ClockDiscipline.HOLDOVER
        await until(lambda: gateway.is_holdover(STREAM))
        device.clock.discipline = ClockDiscipline.NTP
        await until(lambda: not gateway.is_holdover(STREAM))
        assert not service._pipeline.dropped

    _run(device, registry, ClockAction.FLAG, scenario)


def test_hold_seals_nothing_until_the_clock_is_good_again(
    device: Device, registry: Registry
) -> None:
    async def scenario(gateway, service) -> None:  # type: ignore[no-untyped-def]
        device.clock.uncertainty_ns = 2 * SECOND
        await until(lambda: service._pipeline.dropped["clock"] > 5)
        frames = service._outgoing[STREAM].frames
        await until(lambda: service._pipeline.dropped["clock"] > 15)
        assert service._outgoing[STREAM].frames == frames
        device.clock.uncertainty_ns = 1000
        await until(lambda: service._outgoing[STREAM].frames > frames + 5)

    _run(device, registry, ClockAction.HOLD, scenario)


def test_stop_closes_the_stream_for_good(device: Device, registry: Registry) -> None:
    async def scenario(gateway, service) -> None:  # type: ignore[no-untyped-def]
        device.clock.uncertainty_ns = 2 * SECOND
        await until(lambda: gateway.events(ev.StreamClosed))
        device.clock.uncertainty_ns = 1000
        frames = service._outgoing[STREAM].frames
        dropped = service._pipeline.dropped["clock"]
        await until(lambda: service._pipeline.dropped["clock"] > dropped + 10)
        assert service._outgoing[STREAM].frames == frames
        (stream,) = service.snapshot()["streams"]
        assert stream["is_stopped"]

    _run(device, registry, ClockAction.STOP, scenario)


def test_stop_waits_for_a_clock_that_was_not_good_yet(device: Device, registry: Registry) -> None:
    async def scenario() -> None:
        device.set(clock=ClockConfig(action=ClockAction.STOP))
        device.clock.uncertainty_ns = 2 * SECOND
        async with device.enrolled(registry) as gateway, device.running() as service:
            await until(lambda: service._pipeline.dropped["clock"] > 5)
            device.clock.uncertainty_ns = 1000
            await until(lambda: len(gateway.payloads(STREAM)) > 5)

    asyncio.run(scenario())


def test_a_jump_forward_is_not_followed_without_a_new_generation(
    device: Device, registry: Registry
) -> None:
    async def scenario(gateway, service) -> None:  # type: ignore[no-untyped-def]
        outgoing = service._outgoing[STREAM]
        first, tick = outgoing.generation.number, outgoing.tick
        device.clock.step(3600 * SECOND)
        await until(lambda: outgoing.generations == 2)
        for held in gateway.receiver.generations(registry.handles[STREAM]):
            if held.opener.generation.number == first:
                assert held.opener.highest_tick <= tick + 100

    _run(device, registry, ClockAction.FLAG, scenario)


def test_a_clock_set_back_gets_a_generation_whose_ticks_are_taken(
    device: Device, registry: Registry
) -> None:
    """Ticks coast; as the sink would take them for the future, the device opens the stream anew."""

    async def scenario(gateway, service) -> None:  # type: ignore[no-untyped-def]
        outgoing = service._outgoing[STREAM]
        device.clock.step(30 * SECOND)
        await until(lambda: outgoing.tick > 290)
        device.clock.step(-30 * SECOND)
        await until(lambda: outgoing.generations == 2)
        count = len(gateway.payloads(STREAM))
        await until(lambda: len(gateway.payloads(STREAM)) > count + 10)
        assert outgoing.coasted >= 1

    _run(device, registry, ClockAction.FLAG, scenario)


@pytest.mark.parametrize("step_s", [50 * 365 * 86400, -3600])
def test_a_clock_set_while_the_gateway_is_away_goes_on_in_a_new_offline_generation(
    device: Device, registry: Registry, step_s: int
) -> None:
    async def scenario(gateway, service) -> None:  # type: ignore[no-untyped-def]
        outgoing = service._outgoing[STREAM]
        await gateway.stop()
        await until(lambda: outgoing.is_offline and outgoing.frame_number > 5)
        count = device.source.count
        device.clock.step(step_s * SECOND)
        await until(lambda: outgoing.generations == 3 and outgoing.frame_number > 5)
        device.clock.step(-step_s * SECOND)
        again = await FakeGateway(registry, clock=gateway.clock).start(gateway.port)
        await until(lambda: len(again.events(ev.BackfillFinished)) >= 2)
        numbers = set(again.numbers(STREAM))
        lost = set(range(1, count + 1)) - numbers
        assert len(lost) <= 3, f"only what was under way at the moment may be lost: {lost}"
        await again.stop()

    _run(device, registry, ClockAction.FLAG, scenario)


def test_hold_seals_nothing_while_the_gateways_clock_disagrees(
    device: Device, registry: Registry
) -> None:
    """Both are sure of themselves, and a second apart: within the window, so that frames open."""

    async def scenario(gateway, service) -> None:  # type: ignore[no-untyped-def]
        outgoing = service._outgoing[STREAM]
        device.clock.step(-SECOND)
        await until(lambda: service.snapshot()["clock"]["disagrees"])
        dropped = service._pipeline.dropped["clock"]
        await until(lambda: service._pipeline.dropped["clock"] > dropped)
        frames = outgoing.frames
        await until(lambda: service._pipeline.dropped["clock"] > dropped + 20)
        assert outgoing.frames == frames
        device.clock.step(SECOND)
        await until(lambda: outgoing.frames > frames + 5)

    _run(device, registry, ClockAction.HOLD, scenario)


def test_a_clock_at_odds_with_the_gateways_is_an_alarm_on_both_sides(
    device: Device, registry: Registry
) -> None:
    async def scenario() -> None:
        device.set(clock=ClockConfig(action=ClockAction.HOLD))
        gateway = await FakeGateway(registry).start()
        gateway.clock = type(device.clock)()
        device.clock.step(-5 * SECOND)
        await device.enrol(gateway)
        async with device.running() as service:
            await until(lambda: service.snapshot()["clock"]["disagrees"])  # type: ignore[index]
            await until(lambda: service._pipeline.dropped["clock"] > 5)
            await until(lambda: gateway.events(ev.AlarmRaised))
        await gateway.stop()

    asyncio.run(scenario())


def test_sources_at_odds_are_told_to_each_gateway_and_taken_back(
    device: Device, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickseal_edge.upkeep._CLOCK_S", 0.01)
    ensemble = ClockEnsemble([], device.clock)
    monkeypatch.setattr(ensemble, "poll", lambda: None)

    async def scenario() -> None:
        def said(gateway: FakeGateway) -> list[str]:
            return [event.reason for event in gateway.events(ev.AlarmRaised)]  # type: ignore[attr-defined]

        async with device.enrolled(registry) as gateway, device.running(ensemble):
            await until(lambda: gateway.payloads(STREAM))
            ensemble.disagreement = "ptp and chrony disagree"
            await until(lambda: said(gateway) == ["clock_sources"])
            gateway.sessions[-1][1].abort()
            await until(lambda: said(gateway) == ["clock_sources"] * 2)
            ensemble.disagreement = ""
            await until(
                lambda: said(gateway) == ["clock_sources", "clock_sources", "clock_sources_agree"]
            )

    asyncio.run(scenario())
