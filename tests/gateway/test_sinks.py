"""Separate sinks: they read what they are allowed to, while they are, and nothing else."""

import asyncio
import time
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import pytest
from running_gateway import GatewayFactory, run
from sink_device import Sink
from source_device import Device, reading, until
from tickseal_gateway.upkeep import Upkeep
from tickseal_gateway.view import View

from tickseal import events as ev
from tickseal import primitives
from tickseal.control import Role
from tickseal.core import keyschedule
from tickseal.core.errors import LocalProtocolError, TicksealError
from tickseal.events import CloseReason
from tickseal.generation import Generation
from tickseal.negotiation import AcceptancePolicy
from tickseal.parameters import Suite
from tickseal.samples import decode_samples

SECOND = 10**9


async def enrolled(view: View, name: str = "garden") -> Device:
    device = Device(str((await view.invite(name=name))["token"]))
    async with device.connected():
        pass
    return device


async def enrolled_sink(view: View, name: str = "office", **values: Any) -> Sink:
    sink = Sink(str((await view.invite(name=name, role=Role.SINK))["token"]), **values)
    async with sink.connected():
        pass
    return sink


def values(sink: Sink) -> list[Any]:
    return [sample.value for frame in sink.frames for sample in decode_samples(frame.payload)]


def opens(held: Iterable[Generation], segment: bytes, *, tick: int, frame: int) -> bool:
    """Tell whether any key that these generations hold fits a segment: no clock, no replay."""
    for generation in held:
        parameters = generation.parameters
        try:
            secret = generation.walker.secret(generation.epoch(tick))
        except LocalProtocolError:
            continue
        key = keyschedule.frame_key(primitives, secret, tick, frame)
        size = parameters.hash_length
        if sha256(key).digest()[:size] == segment[16 : 16 + size]:
            return True
    return False


def test_a_sink_reads_what_it_is_allowed_and_the_gateway_does_too(
    gateways: GatewayFactory,
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device, sink = await enrolled(view), await enrolled_sink(view)
            await view.allow("office", "garden")
            async with device.connected(), sink.connected():
                sink.subscribe()
                await device.open()
                granted = await sink.wait_for(ev.GrantReceived)
                assert granted.device == "garden"
                assert granted.generation.metadata.id == "garden"
                for value in range(20):
                    await device.send(value)
                await until(lambda: len(sink.frames) == 20)
                assert values(sink) == list(range(20))
                assert sink.segments == device.sent, "they come as they were sealed"
                shown: Any = view.snapshot()
                rows = {row["name"]: row for row in shown["devices"]}
                assert (rows["office"]["role"], rows["office"]["reads"]) == ("sink", ["garden"])
                assert shown["totals"]["frames"] == 20
                (received,) = sink.holder.receiver.generations(granted.generation.handle)
                assert not received.opener.refusals

    run(main())


def test_a_grant_spans_a_minute_and_no_more(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device, sink = await enrolled(view), await enrolled_sink(view)
            await view.allow("office", "*")
            async with device.connected(), sink.connected():
                sink.subscribe()
                generation = await device.open()
                granted = await sink.wait_for(ev.GrantReceived)
                parameters = generation.parameters
                end_ns = parameters.t0_ns + granted.ticks[1] * parameters.interval_ns
                now = sink.clock.now()
                assert 59 * SECOND < end_ns - now.latest_ns < 61 * SECOND
                walker = granted.generation.walker
                assert (walker.start, walker.end) == granted.ticks
                assert granted.ticks[0] >= parameters.tick_at(
                    max(parameters.t0_ns, now.earliest_ns - 4 * SECOND)
                )

    run(main())


def test_a_sink_that_joins_late_gets_what_lies_ahead_and_nothing_else(
    gateways: GatewayFactory,
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device, sink = await enrolled(view), await enrolled_sink(view)
            await view.allow("office", "garden")
            async with device.connected():
                await device.open(wish=device.wish(past_ns=0, skew_ns=200_000_000))
                for value in range(5):
                    await device.send(value)
                await until(lambda: view.snapshot()["totals"]["frames"] == 5)
                await asyncio.sleep(0.5)  # ticks go by, of which the sink must get no key
                await device.send(5)
                await until(lambda: view.snapshot()["totals"]["frames"] == 6)
                async with sink.connected():
                    sink.subscribe("garden")
                    granted = await sink.wait_for(ev.GrantReceived)
                    assert granted.frame_from == 6
                    assert granted.ticks[0] > 0
                    await device.send(6)
                    await until(lambda: sink.frames)
                    assert values(sink) == [6]
                    for number, segment in enumerate(device.sent[:5]):
                        low = int.from_bytes(segment[7:10], "big")
                        assert not opens(sink.kept, segment, tick=low, frame=number)

    run(main())


def test_a_grant_is_renewed_while_the_policy_allows(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside('[sinks]\nspan = "5s"\n') as view:
            device, sink = await enrolled(view), await enrolled_sink(view)
            await view.allow("office", "garden")
            async with device.connected(), sink.connected():
                sink.subscribe()
                await device.open()
                first = await sink.wait_for(ev.GrantReceived)
                since = len(sink.events)
                second = await sink.wait_for(ev.GrantReceived, since=since)
                assert second.generation.number == first.generation.number
                assert second.ticks[1] >= first.ticks[1] + 20
                await device.send(7)
                await until(lambda: values(sink) == [7])

    run(main())


def test_a_sink_reads_only_streams_that_it_subscribed_to_and_may_read(
    gateways: GatewayFactory,
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device, sink = await enrolled(view), await enrolled_sink(view)
            await view.allow("office", "garden/*")
            async with device.connected(), sink.connected():
                for name in ("garden/a", "garden/b", "house"):
                    await device.open(name)
                sink.subscribe("garden/a", "house", "nothing")
                await until(
                    lambda: len([e for e in sink.events if isinstance(e, ev.StreamRefused)]) == 2
                )
                refused = [e for e in sink.events if isinstance(e, ev.StreamRefused)]
                assert {(e.stream_id, e.reason) for e in refused} == {
                    ("house", "policy"),
                    ("nothing", "policy"),
                }
                assert len({e.detail for e in refused}) == 1, "which exist is not told"
                for name in ("garden/a", "garden/b", "house"):
                    await device.send(1, name)
                await until(lambda: sink.frames)
                sink.subscribe("garden/b")
                await sink.wait_for(ev.GrantWithdrawn)
                await until(
                    lambda: len([e for e in sink.events if isinstance(e, ev.GrantReceived)]) == 2
                )
                for name in ("garden/a", "garden/b", "house"):
                    await device.send(2, name)
                await until(lambda: len(sink.frames) == 2)
                await until(lambda: view.snapshot()["totals"]["frames"] == 6)
                read = [(frame.source.metadata.id, frame.number) for frame in sink.frames]
                assert read == [("garden/a", 0), ("garden/b", 1)]

    run(main())


def test_an_allowance_counts_from_when_it_is_given_until_it_is_over(
    gateways: GatewayFactory,
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device, sink = await enrolled(view), await enrolled_sink(view)
            async with device.connected(), sink.connected():
                sink.subscribe()
                generation = await device.open()
                parameters = generation.parameters
                await device.send(1)
                await until(lambda: view.snapshot()["totals"]["frames"] == 1)
                assert not sink.frames
                end_ns = time.time_ns() + 3 * SECOND
                await view.allow("office", "garden", end_ns)
                granted = await sink.wait_for(ev.GrantReceived)
                left_ns = (
                    parameters.t0_ns
                    + granted.ticks[1] * parameters.interval_ns
                    - sink.clock.now().midpoint_ns
                )
                assert 0 < left_ns < 4.5 * SECOND
                await device.send(2)
                await until(lambda: values(sink) == [2])
                gone = await sink.wait_for(ev.GrantWithdrawn)
                assert gone.reason == "policy"

    run(main())


def test_a_new_generation_is_granted_before_its_source_seals(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device, sink = await enrolled(view), await enrolled_sink(view)
            await view.allow("office", "garden")
            async with device.connected(), sink.connected():
                sink.subscribe()
                await device.open()
                await device.send(1)
                late = device.seal(reading(2))
                await device.open()
                await device.send(3)
                await device.udp.send(late)
                await until(lambda: sorted(values(sink)) == [1, 2, 3])

    run(main())


def test_a_revoked_sink_opens_nothing_that_is_sealed_afterwards(
    gateways: GatewayFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps its full state, and gets every segment, as by listening on the network."""
    # Within a second is the promise: nothing waits for what is done once a second.
    monkeypatch.setattr(Upkeep, "tick", lambda _upkeep: None)

    async def main() -> None:
        async with gateways.inside() as view:
            device, sink = await enrolled(view), await enrolled_sink(view)
            other = await enrolled_sink(view, "archive")
            for name in ("office", "archive"):
                await view.allow(name, "garden")
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
        async with gateways.inside() as view:
            device, other = await enrolled(view), await enrolled(view, "house")
            sink = await enrolled_sink(view)
            await view.allow("office", "*")
            async with device.connected(), other.connected(), sink.connected():
                sink.subscribe()
                await device.open(wish=device.wish(past_ns=0, skew_ns=100_000_000))
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
                await until(lambda: "revoked" in view.snapshot()["totals"]["refusals"])
                assert len(sink.frames) == 2

    run(main())


def test_a_sink_that_left_is_locked_out_all_the_same(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device, sink = await enrolled(view), await enrolled_sink(view)
            await view.allow("office", "garden")
            async with device.connected():
                async with sink.connected():
                    sink.subscribe()
                    await device.open()
                    await sink.wait_for(ev.GrantReceived)
                await until(lambda: view.snapshot()["totals"]["sessions"] == 1)
                await view.disallow("office", "garden")
                await device.wait_for(ev.RekeyRequested)

    run(main())


def test_a_source_that_does_not_renew_is_asked_again(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device, sink = await enrolled(view), await enrolled_sink(view)
            await view.allow("office", "garden")
            async with device.connected(), sink.connected():
                sink.subscribe()
                await device.open()
                await sink.wait_for(ev.GrantReceived)
                await view.disallow("office", "garden")
                hub: Any = view._controller.sinks
                for _ in range(5):
                    hub.tick(device.clock.now())

                def asked() -> int:
                    return len([e for e in device.events if isinstance(e, ev.RekeyRequested)])

                await until(lambda: asked() == 2)
                await device.open()
                for _ in range(10):
                    hub.tick(device.clock.now())
                await device.send(1)
                await until(lambda: view.snapshot()["totals"]["frames"] == 1)
                assert asked() == 2

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
                await until(
                    lambda: len([e for e in sink.events if isinstance(e, ev.StreamRefused)]) == 2
                )
                refused = [e for e in sink.events if isinstance(e, ev.StreamRefused)]
                assert {(e.stream_id, e.reason) for e in refused} == {
                    ("flat", "depth"),
                    ("gcm", "suite"),
                }

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
        async with gateways.inside("[policy]\napprove = true\n") as view:
            device, sink = await enrolled(view), await enrolled_sink(view)
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
        async with gateways.inside() as view:
            await enrolled(view)
            await enrolled_sink(view)
            await view.allow("office", "a/*")
            await view.allow("office", "b", time.time_ns() + 3600 * SECOND)
            await view.allow("office", "c")
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
