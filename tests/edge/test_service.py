"""A device streams, loses its gateway, goes on without it, and delivers all of it afterwards."""

import asyncio

import pytest
from edge_device import STREAM, Device, TrueClock, until
from fake_gateway import FakeGateway, Registry
from tickseal_edge.config import ClockConfig

from tickseal.clock import ClockAction, ClockDiscipline
from tickseal.sessions import events as ev


def test_frames_arrive_live_in_order_and_once(device: Device, registry: Registry) -> None:
    async def scenario() -> None:
        async with device.enrolled(registry) as gateway:
            async with device.running():
                await until(lambda: len(gateway.payloads(STREAM)) > 30)
            numbers = gateway.numbers(STREAM)
            assert numbers == sorted(set(numbers))
            assert numbers[0] == 1
            assert not gateway.events(ev.OfflineGenerationOffered)

    asyncio.run(scenario())


def test_the_end_is_in_order(device: Device, registry: Registry) -> None:
    async def scenario() -> None:
        async with device.enrolled(registry) as gateway:
            async with device.running():
                await until(lambda: len(gateway.payloads(STREAM)) > 10)
            await until(lambda: gateway.events(ev.SessionClosed))
            (closed,) = gateway.events(ev.SessionClosed)[-1:]
            assert (closed.reason, closed.detail) == (ev.CloseReason.BYE, "stopping")  # type: ignore[attr-defined]
            (summary,) = gateway.summaries(STREAM)
            assert summary.is_final
            assert summary.until_frame == len(gateway.payloads(STREAM))
            # A reading that was under way may be left behind.
            assert device.source.count - summary.until_frame in (0, 1)

    asyncio.run(scenario())


def test_a_gateway_killed_and_started_again_gets_all_that_was_sealed_meanwhile(
    device: Device, registry: Registry
) -> None:
    async def scenario() -> None:
        first = await FakeGateway(registry, clock=device.clock).start()
        await device.enrol(first)
        async with device.running() as service:
            await until(lambda: len(first.payloads(STREAM)) > 10)
            await first.stop(politely=False)
            await until(lambda: service._outgoing[STREAM].is_offline)
            sealed = device.source.count
            await until(lambda: device.source.count > sealed + 20)
            second = await FakeGateway(registry, clock=device.clock).start(first.port)
            await until(lambda: second.events(ev.BackfillFinished))
            count = device.source.count
            await until(lambda: int(second.payloads(STREAM)[-1]) > count)
        numbers = second.numbers(STREAM)
        assert len(numbers) == len(set(numbers)), "a frame was opened twice"
        # What was under way when the gateway was killed is lost with its walkers, and no more.
        missing = set(range(1, max(numbers) + 1)) - set(numbers)
        assert missing <= set(range(10, sealed + 1))
        await second.stop()

    asyncio.run(scenario())


def test_a_device_that_starts_while_the_gateway_is_away_loses_nothing(
    device: Device, registry: Registry
) -> None:
    async def scenario() -> None:
        gateway = await FakeGateway(registry, clock=device.clock).start()
        await device.enrol(gateway)
        async with device.running():
            await until(lambda: len(gateway.payloads(STREAM)) > 3)
        await gateway.stop()
        before = device.source.count
        async with device.running() as service:
            await until(lambda: device.source.count > before + 10)
            assert service._outgoing[STREAM].is_offline
        after = device.source.count - 1
        gateway = await FakeGateway(registry, clock=device.clock).start(gateway.port)
        async with device.running():
            await until(lambda: gateway.events(ev.BackfillFinished))
        numbers = gateway.numbers(STREAM)
        assert set(range(before + 1, after + 1)) <= set(numbers)
        assert len(numbers) == len(set(numbers))
        await gateway.stop()

    asyncio.run(scenario())


def test_a_network_that_goes_silent_costs_nothing_that_is_kept(
    device: Device, registry: Registry
) -> None:
    """The frames sent into the void are sent again in their own generation, once it is back."""

    async def scenario() -> None:
        async with device.enrolled(registry) as gateway:
            async with device.running():
                await until(lambda: len(gateway.payloads(STREAM)) > 10)
                gateway.report()
                # From here on nothing arrives, but nobody knows.
                gateway.loses_udp = True
                count = device.source.count
                await until(lambda: device.source.count > count + 30)
                gateway.loses_udp = False
                gateway.sessions[-1][1].abort()
                await until(lambda: gateway.events(ev.BackfillFinished))
            numbers = gateway.numbers(STREAM)
            assert set(range(1, count + 31)) <= set(numbers)
            assert len(numbers) == len(set(numbers))

    asyncio.run(scenario())


def test_what_was_sent_into_the_void_outlives_a_restart_in_the_middle_of_the_outage(
    device: Device, registry: Registry
) -> None:
    async def scenario() -> None:
        async with device.enrolled(registry) as gateway:
            async with device.running() as service:
                await until(lambda: len(gateway.payloads(STREAM)) > 10)
                gateway.report()
                gateway.loses_udp = True
                count = device.source.count
                await until(lambda: device.source.count > count + 30)
                gateway.decide = lambda _: "busy"
                gateway.sessions[-1][1].abort()
                await until(lambda: service._outgoing[STREAM].is_offline)
            gateway.loses_udp, gateway.decide = False, lambda _: ""
            async with device.running():
                await until(lambda: len(gateway.events(ev.BackfillFinished)) >= 2)
            numbers = gateway.numbers(STREAM)
            assert set(range(1, count + 31)) <= set(numbers)
            assert len(numbers) == len(set(numbers))

    asyncio.run(scenario())


def test_of_a_stream_that_is_not_kept_the_gateway_learns_how_much_an_outage_cost(
    device: Device, registry: Registry
) -> None:
    device.set(keep=False)

    async def scenario() -> None:
        async with device.enrolled(registry) as gateway:
            async with device.running() as service:
                await until(lambda: len(gateway.payloads(STREAM)) > 10)
                handle, sealed = registry.handles[STREAM], service._outgoing[STREAM]
                gateway.loses_udp = True
                frames = sealed.frame_number
                await until(lambda: sealed.frame_number >= frames + 30)
                gateway.loses_udp = False
                gateway.sessions[-1][1].abort()
                await until(lambda: gateway.events(ev.BackfillFinished))
            assert gateway.missing[handle] >= 30

    asyncio.run(scenario())


def _stored(registry: Registry) -> int:
    return sum(one.stored_until for one in registry.offline.values())


def test_an_offer_that_a_restart_of_either_side_cut_off_goes_on_where_it_was(
    device: Device, registry: Registry
) -> None:
    async def scenario() -> None:
        gateway = await FakeGateway(registry, clock=device.clock).start()
        await device.enrol(gateway)
        async with device.running():
            await until(lambda: len(gateway.payloads(STREAM)) > 3)
        await gateway.stop()
        device.set(rate_hz=1000)
        before = device.source.count
        async with device.running():
            await until(lambda: device.source.count > before + 700)
        kept = device.source.count - 1  # a reading under way may be left behind
        device.set(rate_hz=10)
        # The gateway stores the first chunk, says so, and is gone before the rest.
        for _ in range(2):
            gateway = await FakeGateway(registry, clock=device.clock).start(gateway.port)
            gateway.stores_one_chunk = True
            so_far = _stored(registry)
            async with device.running():
                await until(lambda so_far=so_far: _stored(registry) > so_far)  # type: ignore[misc]
                await gateway.stop(politely=False)
        gateway = await FakeGateway(registry, clock=device.clock).start(gateway.port)
        async with device.running() as service:
            await until(lambda: not service._spool.generations())
        numbers = gateway.numbers(STREAM)
        assert set(range(before + 1, kept + 1)) <= set(numbers)
        assert len(numbers) == len(set(numbers)), "a frame was opened twice"
        await gateway.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize("reason", ["unknown", "revoked"])
def test_a_device_that_is_refused_for_ever_says_so_once_and_what_to_do(
    device: Device, registry: Registry, caplog: pytest.LogCaptureFixture, reason: str
) -> None:
    async def scenario() -> None:
        async with device.enrolled(registry) as gateway:
            gateway.decide = lambda _: reason
            caplog.clear()
            async with device.running() as service:
                attempts = len(gateway.events(ev.HandshakeRequested))
                await until(lambda: len(gateway.events(ev.HandshakeRequested)) > attempts + 4)
                assert "enrol it again" in service.snapshot()["gateway"]["problem"]  # type: ignore[index]

    asyncio.run(scenario())
    said = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(said) == 1
    assert "enrol it again" in said[0].getMessage()


def test_a_displaced_session_waits_ever_longer(device: Device, registry: Registry) -> None:
    async def scenario() -> None:
        async with device.enrolled(registry) as gateway, device.running() as service:
            for lives in range(1, 4):
                await until(lambda lives=lives: service._uplink.state.sessions == lives)  # type: ignore[misc]
                gateway.session.close("displaced")
                gateway.flush()
                gateway.sessions[-1][1].abort()
            assert service._uplink._backoff.attempts >= 2

    asyncio.run(scenario())


def test_a_resync_and_a_rekey_begin_a_generation_without_a_gap(
    device: Device, registry: Registry
) -> None:
    async def scenario() -> None:
        async with device.enrolled(registry) as gateway:
            async with device.running() as service:
                outgoing = service._outgoing[STREAM]
                await until(lambda: len(gateway.payloads(STREAM)) > 10)
                handle = registry.handles[STREAM]
                gateway.session.rekey(handle)
                gateway.flush()
                await until(lambda: outgoing.generations == 2 and outgoing.frame_number > 3)
                gateway.session.resync(handle, outgoing.generation.number, "key_hash", 0)  # type: ignore[union-attr]
                gateway.flush()
                await until(lambda: outgoing.generations == 3)
                count = len(gateway.payloads(STREAM))
                await until(lambda: len(gateway.payloads(STREAM)) > count + 10)
                assert [summary.is_final for summary in gateway.summaries(STREAM)][:2] == [
                    True,
                    True,
                ]
            numbers = gateway.numbers(STREAM)
            assert numbers == list(range(1, max(numbers) + 1))

    asyncio.run(scenario())


def test_a_refused_stream_is_kept_and_asked_for_again(device: Device, registry: Registry) -> None:
    async def scenario() -> None:
        async with device.enrolled(registry) as gateway:
            async with device.running():
                await until(lambda: len(gateway.payloads(STREAM)) > 3)
            gateway.refuse_stream = lambda _: "pending"
            count = device.source.count
            async with device.running() as service:
                await until(lambda: service._generations.refusal(STREAM))
                await until(lambda: device.source.count > count + 5)
                gateway.refuse_stream = lambda _: ""
                service._generations._open(STREAM)  # its own timer does that after 30 s
                await until(lambda: gateway.events(ev.BackfillFinished))
                assert service._generations.refusal(STREAM) == ""
            numbers = set(gateway.numbers(STREAM))
            assert set(range(count + 1, count + 6)) <= numbers

    asyncio.run(scenario())


def test_sessions_that_refuse_a_stream_leave_one_timer_to_ask_again(
    device: Device, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    timers: list[asyncio.TimerHandle] = []

    async def scenario() -> None:
        call_later = asyncio.get_running_loop().call_later

        def noted(delay: float, work: object, *rest: object) -> asyncio.TimerHandle:
            timer = call_later(delay, work, *rest)  # type: ignore[arg-type]
            if getattr(work, "__name__", "") == "_open":
                timers.append(timer)
            return timer

        monkeypatch.setattr(asyncio.get_running_loop(), "call_later", noted)
        async with device.enrolled(registry) as gateway:
            gateway.refuse_stream = lambda _: "pending"
            async with device.running():
                for times in range(1, 4):
                    await until(lambda times=times: len(timers) == times)  # type: ignore[misc]
                    gateway.sessions[-1][1].abort()

    asyncio.run(scenario())
    assert [timer.cancelled() for timer in timers] == [True, True, False]


def test_segments_go_over_the_connection_where_no_udp_is_taken(
    device: Device, registry: Registry
) -> None:
    async def scenario() -> None:
        gateway = FakeGateway(registry, clock=device.clock)
        gateway.takes_udp = False
        await gateway.start()
        await device.enrol(gateway)
        async with device.running():
            await until(lambda: len(gateway.payloads(STREAM)) > 20)
        assert gateway.udp.counters.received == 0
        await gateway.stop()

    asyncio.run(scenario())


def test_a_device_without_a_clock_takes_the_gateways_time(
    device: Device, registry: Registry
) -> None:
    async def scenario() -> None:
        async with device.enrolled(registry) as gateway:
            device.set(clock=ClockConfig(action=ClockAction.HOLD))
            unset = TrueClock()
            unset.discipline, unset.error_ns = ClockDiscipline.NONE, -unset.true_ns + 10**12
            async with device.running(unset) as service:
                await until(lambda: service.snapshot()["clock"]["disagrees"])  # type: ignore[index]
                assert service.snapshot()["clock"]["discipline"] == "gateway"  # type: ignore[index]
                # What disagrees is the own clock, which is not the one that is used.
                count = len(gateway.payloads(STREAM))
                await until(lambda: len(gateway.payloads(STREAM)) > count + 10)
                assert not service._pipeline.dropped["clock"]

    asyncio.run(scenario())


def test_a_network_that_loses_datagrams_costs_little_and_for_a_short_time_only(
    device: Device, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickseal.sessions.liveness.PING_NS", 100_000_000)
    monkeypatch.setattr("tickseal_edge.uplink.ways._SPAN_NS", 200_000_000)
    monkeypatch.setattr("tickseal_edge.uplink.ways._REPORTED_NS", 200_000_000)

    async def scenario() -> None:
        async with device.enrolled(registry) as gateway:
            gateway.loses_udp = True
            async with device.running() as service:
                await until(lambda: service._pipeline.ways.lossy)
                count = device.source.count
                await until(lambda: len(gateway.payloads(STREAM)) > 30)
            numbers = gateway.numbers(STREAM)
            assert numbers == list(range(numbers[0], numbers[-1] + 1))
            assert numbers[0] <= count + 2

    asyncio.run(scenario())
