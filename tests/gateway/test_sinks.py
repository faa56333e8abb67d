"""Separate sinks: they read what they are allowed to, while they are."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from running_gateway import GatewayFactory, run
from sink_device import Sink, enrolled, enrolled_sink, opens, scenario
from source_device import Device, MovableClock, reading, until
from tickseal_gateway.controller import sinks
from tickseal_gateway.registry.registry import Registry

from tickseal.core.errors import TicksealError
from tickseal.sessions import events as ev
from tickseal.sessions.control import Role
from tickseal.sessions.events import CloseReason
from tickseal.sessions.negotiation import AcceptancePolicy
from tickseal.streams.parameters import Profile, Suite

SECOND = 10**9


def test_a_sink_reads_what_it_is_allowed_and_the_gateway_does_too(
    gateways: GatewayFactory,
) -> None:
    async def main() -> None:
        async with scenario(gateways, "garden") as made:
            view, device, sink = made
            await device.open()
            granted = await sink.wait_for(ev.GrantReceived)
            assert granted.device == "garden"
            assert granted.generation.metadata.id == "garden"
            for value in range(20):
                await device.send(value)
            await until(lambda: len(sink.frames) == 20)
            assert sink.values == list(range(20))
            assert sink.segments == device.sent, "they come as they were sealed"
            shown: Any = view.snapshot()
            rows = {row["name"]: row for row in shown["devices"]}
            assert (rows["office"]["role"], rows["office"]["reads"]) == ("sink", ["garden"])
            await until(lambda: made.frames == 20)
            (received,) = sink.holder.receiver.generations(granted.generation.handle)
            assert not received.opener.refusals

    run(main())


def test_a_grant_spans_a_minute_and_no_more(
    gateways: GatewayFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = MovableClock(monkeypatch, runs=False)

    async def main() -> None:
        async with scenario(gateways, "*") as (_, device, sink):
            device.clock = clock
            generation = await device.open(wish=device.wish(past_ns=2 * SECOND))
            granted = await sink.wait_for(ev.GrantReceived)
            parameters = generation.parameters
            end_ns = parameters.t0_ns + granted.ticks[1] * parameters.interval_ns
            now = clock.now()
            assert 59 * SECOND < end_ns - now.latest_ns < 61 * SECOND
            walker = granted.generation.walker
            assert (walker.start, walker.end) == granted.ticks
            assert granted.ticks[0] >= parameters.tick_at(
                max(parameters.t0_ns, now.earliest_ns - 4 * SECOND)
            )

    run(main())


def test_a_sink_that_joins_late_gets_what_lies_ahead_and_nothing_else(
    gateways: GatewayFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = MovableClock(monkeypatch)

    async def main() -> None:
        async with scenario(gateways, "garden", connects=False) as made:
            _, device, sink = made
            device.clock = sink.clock = clock
            async with device.connected():
                await device.open()
                for value in range(5):
                    await device.send(value)
                await until(lambda: made.frames == 5)
                clock.move(100 * SECOND)  # ticks go by, of which the sink must get no key
                await device.send(5)
                await until(lambda: made.frames == 6)
                async with sink.connected():
                    sink.subscribe("garden")
                    granted = await sink.wait_for(ev.GrantReceived)
                    assert granted.frame_from == 6
                    assert granted.ticks[0] > 0
                    await device.send(6)
                    await until(lambda: sink.frames)
                    assert sink.values == [6]
                    for number, segment in enumerate(device.sent[:5]):
                        low = int.from_bytes(segment[7:10], "big")
                        assert not opens(sink.kept, segment, tick=low, frame=number)

    run(main())


def test_a_grant_is_renewed_while_the_policy_allows(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with scenario(gateways, "garden", config='[sinks]\nspan = "5s"\n') as made:
            _, device, sink = made
            await device.open()
            await until(lambda: len(sink.all_of(ev.GrantReceived)) >= 2)
            first, second = sink.all_of(ev.GrantReceived)[:2]
            assert second.generation.number == first.generation.number
            assert second.ticks[1] >= first.ticks[1] + 20

            async def is_read() -> bool:  # one that a busy machine delays is read by nobody
                await device.send(7)
                return 7 in sink.values

            await until(is_read)

    run(main())


def test_a_sink_reads_only_streams_that_it_subscribed_to_and_may_read(
    gateways: GatewayFactory,
) -> None:
    names = ("garden/a", "garden/b", "house")

    async def main() -> None:
        async with scenario(gateways, "garden/*", connects=False) as made:
            _, device, sink = made
            async with device.connected(), sink.connected():
                for name in names:
                    await device.open(name)
                sink.subscribe("garden/a", "house", "nothing")
                await until(lambda: len(sink.all_of(ev.StreamRefused)) == 2)
                refused = sink.all_of(ev.StreamRefused)
                assert {(e.stream_id, e.reason) for e in refused} == {
                    ("house", "policy"),
                    ("nothing", "policy"),
                }
                assert len({e.detail for e in refused}) == 1, "which exist is not told"
                for name in names:
                    await device.send(1, name)
                await until(lambda: sink.frames and made.frames == 3)
                sink.subscribe("garden/b")
                await sink.wait_for(ev.GrantWithdrawn)
                await until(lambda: len(sink.all_of(ev.GrantReceived)) == 2)
                for name in names:
                    await device.send(2, name)
                await until(lambda: len(sink.frames) == 2 and made.frames == 6)
                read = [(frame.source.metadata.id, frame.number) for frame in sink.frames]
                assert read == [("garden/a", 0), ("garden/b", 1)]

    run(main())


def test_an_allowance_counts_from_when_it_is_given_until_it_is_over(
    gateways: GatewayFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed_ns = [0]
    shifted = SimpleNamespace(time_ns=lambda: time.time_ns() + passed_ns[0])
    monkeypatch.setattr(sinks, "time", shifted)

    async def main() -> None:
        async with scenario(gateways) as made:
            view, device, sink = made
            parameters = (await device.open()).parameters
            await device.send(1)
            await until(lambda: made.frames == 1)
            assert not sink.frames
            before = sink.clock.now().earliest_ns
            await view.allow("office", "garden", time.time_ns() + 30 * SECOND)
            granted = await sink.wait_for(ev.GrantReceived)
            end_ns = parameters.t0_ns + granted.ticks[1] * parameters.interval_ns
            after = sink.clock.now().latest_ns
            assert before + 28 * SECOND < end_ns < after + 32 * SECOND
            await device.send(2)
            await until(lambda: sink.values == [2])
            passed_ns[0] = 30 * SECOND
            gone = await sink.wait_for(ev.GrantWithdrawn)
            assert gone.reason == "policy"

    run(main())


def test_a_new_generation_is_granted_before_its_source_seals(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with scenario(gateways, "garden") as (_, device, sink):
            await device.open()
            await device.send(1)
            late = device.seal(reading(2))
            await device.open()
            await device.send(3)
            await device.udp.send(late)
            await until(lambda: sorted(sink.values) == [1, 2, 3])

    run(main())


def test_a_stream_that_cannot_be_granted_is_refused_with_its_reason(
    gateways: GatewayFactory,
) -> None:
    async def main() -> None:
        async with gateways.inside("[policy]\nforward_secrecy = false\n") as view:
            device, sink = await enrolled(view), await enrolled_sink(view, suites=(2,))
            await view.allow("office", "*")
            device.policy = AcceptancePolicy(depth_min=0)
            async with device.connected(), sink.connected():
                await device.open("flat", wish=device.wish(depth=0, suites=(2,)))
                await device.open("gcm", wish=device.wish(suites=(int(Suite.AES_256_GCM),)))
                sink.subscribe("flat", "gcm")
                await until(lambda: len(sink.all_of(ev.StreamRefused)) == 2)
                assert {(e.stream_id, e.reason) for e in sink.all_of(ev.StreamRefused)} == {
                    ("flat", "depth"),
                    ("gcm", "suite"),
                }

    run(main())


def test_a_sink_reads_microcontrollers_whose_compact_headers_look_alike(
    gateways: GatewayFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    handles = iter(range(0x0100_0034, 0x7F00_0034, 0x0100_0000))  # 0x34 in every header
    monkeypatch.setattr(Registry, "_free_handle", lambda *_: next(handles))

    async def main() -> None:
        async with gateways.inside() as view:
            boards = [await enrolled(view, name) for name in ("one", "two")]
            sink = await enrolled_sink(view)
            await view.allow("office", "*")
            for board in boards:
                board.policy = AcceptancePolicy(
                    suites=tuple(Suite), profiles=tuple(Profile), hash_min=8
                )
            async with boards[0].connected(), boards[1].connected(), sink.connected():
                sink.subscribe()
                for number, board in enumerate(boards):
                    wish = board.wish(profile=Profile.COMPACT, suites=(3,), hash_length=8)
                    await board.open(f"board/{number}", wish=wish)
                await until(lambda: len(sink.all_of(ev.GrantReceived)) == 2)
                for value in range(10):
                    for number, board in enumerate(boards):
                        sealed = board.seal(reading(10 * number + value), f"board/{number}")
                        board.session.send_segments(sealed)
                        board.flush()
                await until(lambda: len(sink.frames) == 20)
                assert sorted(sink.values) == list(range(20))
                for grant in sink.all_of(ev.GrantReceived):
                    (received,) = sink.holder.generations(grant.generation.handle)
                    assert not received.opener.refusals, "none was tried under another's keys"

    run(main())


def test_what_was_enrolled_as_one_role_is_not_let_in_as_the_other(
    gateways: GatewayFactory,
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            for kind, role in ((Sink, Role.SOURCE), (Device, Role.SINK)):
                device = kind(str((await view.invite(role=role))["token"]))
                async with device.connected(waits=False):
                    closed = await device.wait_for(ev.SessionClosed)
                assert (closed.reason, closed.detail) == (CloseReason.BYE, "role")
            assert view.snapshot()["devices"] == []

    run(main())


def test_a_sink_waits_to_be_approved_where_the_policy_wants_it(gateways: GatewayFactory) -> None:
    async def main() -> None:
        config = "[policy]\napprove = true\n"
        async with scenario(gateways, config=config, connects=False) as (view, device, sink):
            await view.approve("garden")
            await view.allow("office", "garden")
            async with device.connected(), sink.connected():
                await device.open()
                sink.subscribe("garden")
                assert (await sink.wait_for(ev.StreamRefused)).reason == "pending"
                await view.approve("office")
                await sink.wait_for(ev.GrantReceived)

    run(main())


def test_allowances_outlive_a_restart_and_are_for_sinks(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with scenario(gateways, "a/*", "c", connects=False) as (view, _, _):
            await view.allow("office", "b", time.time_ns() + 3600 * SECOND)
            await view.disallow("office", "c")
            for name, pattern, says in (
                ("garden", "x", "only a sink reads"),
                ("nobody", "x", "no device 'nobody'"),
                ("office", "a\nb", "printable"),
                ("office", "", "printable"),
            ):
                with pytest.raises(TicksealError, match=says):
                    await view.allow(name, pattern)
            with pytest.raises(TicksealError, match=r"it may: a/\*, b"):
                await view.disallow("office", "c")
            with pytest.raises(TicksealError, match="in the future"):
                await view.allow("office", "x", 1)

    run(main())
    shown = gateways.command("allowances").stdout
    assert "office  a/*     ever" in shown
    assert "c  " not in shown
    made = gateways.command("allow", "office", "d", "--until", "2d")
    assert made.stdout == "office may read d\n"
    assert gateways.command("disallow", "office", "a/*").returncode == 0
    rows = gateways.command("allowances", "--json").stdout
    assert '"stream": "d"' in rows
    assert '"stream": "a/*"' not in rows
    said = gateways.command("allow", "office", "d", "--until", "someday").stderr
    assert "is no instant" in said
