"""Floods: forged segments, bad handshakes and silent connections harm nobody but their sender."""

import asyncio
import contextlib
import os
import random
import socket
from typing import Any

from running_gateway import GatewayFactory, run
from source_device import Device, reading, until
from tickseal_gateway.controller.admission import (
    BURST,
    HALF_OPEN_MOST,
    HALF_OPEN_PER_SITE,
    NEWCOMERS_BURST,
    NEWCOMERS_PER_SECOND,
    PER_SECOND,
    SITES_MOST,
    STRANGERS_BURST,
    STRANGERS_PER_SECOND,
    Admission,
)
from tickseal_gateway.health.view import View

from tickseal.core.errors import LinkError
from tickseal.links.tcp import TCPLink
from tickseal.sessions import events as ev

SECOND = 10**9


async def streaming(view: View) -> Device:
    device = Device(str((await view.invite())["token"]))
    async with device.connected():
        pass
    return device


def totals(view: View) -> Any:
    return view.snapshot()["totals"]


def test_forged_segments_cost_a_stream_nothing(gateways: GatewayFactory) -> None:
    chance = random.Random(7)

    def forged(good: bytes) -> bytes:
        """Return something that is not authentic, each kind as likely."""
        kind = chance.randrange(6)
        if kind == 0:
            return chance.randbytes(chance.randrange(0, 1400))
        changed = bytearray(good)
        if kind == 1:  # another frame number: the right stream, no such key
            changed[10:14] = chance.randbytes(4)
        elif kind == 2:  # another tick
            changed[7:10] = chance.randbytes(3)
        elif kind == 3:
            changed[chance.randrange(len(good))] ^= 1 << chance.randrange(8)
        elif kind == 4:
            return good[: chance.randrange(len(good))]
        return bytes(changed)  # kind 5: a copy

    async def main() -> None:
        async with gateways.inside() as view:
            device = await streaming(view)
            async with device.connected():
                await device.open()
                sent = 0
                for value in range(100):
                    segments = device.seal(reading(value))
                    noise = [forged(segments[0]) for _ in range(30)]
                    await device.udp.send([*segments, *noise])
                    sent += 31
                    await until(lambda: view._parts.table.segments == sent)  # noqa: B023
                await until(lambda: totals(view)["frames"] == 100)
                refused = totals(view)["refusals"]
                assert sum(refused.values()) == sent - 100
                assert {"replayed", "key_hash", "truncated"} <= refused.keys()
                assert not any(
                    isinstance(e, ev.ResyncRequested | ev.RekeyRequested) for e in device.events
                )

    run(main())


def test_bad_handshakes_are_dropped_and_a_session_goes_on(gateways: GatewayFactory) -> None:
    async def strange(port: int, data: bytes) -> None:
        with contextlib.suppress(LinkError):
            link = await TCPLink.connect("127.0.0.1", port)
            link.write(data)
            with contextlib.suppress(LinkError):
                while await link.receive():
                    pass
            await link.close()

    async def main() -> None:
        async with gateways.inside() as view:
            device = await streaming(view)
            async with device.connected():
                await device.open()
                port = view.snapshot()["gateway"]["tcp_port"]  # type: ignore[index]
                garbage = [
                    b"GET / HTTP/1.1\r\n\r\n",
                    b"\xff\xff\x02" + bytes(100),  # a record of 64 KiB is announced
                    b"\x04\xe1\x02" + os.urandom(1248),  # a hybrid first message of noise
                    b"\x00\x61\x01" + os.urandom(96),
                    b"\x00\x00\x05",
                    b"\x00\x02\x05\x00",
                ]
                for _ in range(10):
                    await asyncio.gather(*(strange(port, data) for data in garbage))
                await until(lambda: totals(view)["half_open"] == 0)
                await device.send(1)
                await until(lambda: totals(view)["frames"] == 1)
                assert totals(view)["sessions"] == 1
                links: Any = view.snapshot()["links"]
                assert links["tcp"]["failed"] == 0

    run(main())


def test_silent_connections_are_few_and_keep_nobody_out(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device = await streaming(view)
            port = view.snapshot()["gateway"]["tcp_port"]  # type: ignore[index]
            async with device.connected():
                await device.open()
                silent = []
                for _ in range(60):
                    with contextlib.suppress(LinkError):  # reset while it connected
                        silent.append(await TCPLink.connect("127.0.0.1", port))
                await until(lambda: totals(view)["not_admitted"].get("displaced", 0) >= 28)
                assert totals(view)["half_open"] == HALF_OPEN_PER_SITE
                await device.send(1)
                await until(lambda: totals(view)["frames"] == 1)
            async with device.connected():  # from the same address, while they are there
                await device.open()
            for link in silent:
                link.abort()
            await until(lambda: totals(view)["half_open"] == 0)

    run(main())


def test_a_site_makes_so_many_handshakes_a_second_and_no_more() -> None:
    admission = Admission()
    admitted = sum(admission.admits("10.0.0.1", step * SECOND // 1000) for step in range(1000))
    assert BURST <= admitted <= BURST + PER_SECOND
    assert admission.admits("10.0.0.2", SECOND)


def test_handshakes_under_way_are_few_and_the_oldest_make_room() -> None:
    admission, ended = Admission(), []
    known = admission.enter("192.0.2.1", lambda: None)
    admission.leave(known, has_session=True)
    entered = [admission.enter("192.0.2.1", lambda: ended.append("known"))]
    for number in range(20):
        for turn in range(100):
            name = f"{number}-{turn}"
            place = f"10.0.0.{number}"
            entered.append(admission.enter(place, lambda name=name: ended.append(name)))
            assert admission.half_open <= HALF_OPEN_MOST
    assert admission.half_open == HALF_OPEN_MOST
    # One site's own go first, and nobody's whose devices are known.
    assert ended[:2] == ["0-0", "0-1"]
    assert len(ended) == len(entered) - HALF_OPEN_MOST == admission.refused["displaced"]
    assert "known" not in ended
    for one in entered:
        admission.leave(one)
        admission.leave(one)
    assert admission.half_open == 0
    assert not admission._by_site


def test_a_flood_from_many_sites_leaves_room_for_known_and_new_ones_in_bounded_memory() -> None:
    admission = Admission()
    admission.leave(admission.enter("192.0.2.1", lambda: None), has_session=True)
    admitted = 0
    for number in range(20_000):  # in 2 s
        site = socket.inet_ntoa((number % 1000).to_bytes(4, "big"))
        admitted += admission.admits(site, SECOND + number * SECOND // 10_000)
    strangers = STRANGERS_BURST + 2 * STRANGERS_PER_SECOND
    newcomers = NEWCOMERS_BURST + 2 * NEWCOMERS_PER_SECOND
    assert strangers <= admitted <= strangers + newcomers + 2
    assert admission.admits("192.0.2.1", 3 * SECOND)
    assert admission.admits("192.0.2.2", 3 * SECOND)
    for number in range(20_000):  # whoever has an address for each has no more of them
        site = socket.inet_ntoa(number.to_bytes(4, "big"))
        admission.admits(site, 3 * SECOND)
    assert not admission.admits("192.0.2.3", 3 * SECOND)
    assert len(admission._buckets) <= SITES_MOST


def test_garbage_on_the_control_socket_is_answered_or_dropped(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            path = gateways.state / "control.sock"
            for line, says in (
                (b"no json\n", b"unknown command"),
                (b"[1]\n", b"unknown command"),
                (b'{"do": "revoke"}\n', b"arguments not as expected"),
                (b'{"do": "invite", "lifetime_ns": "x"}\n', b"arguments not as expected"),
                (b'{"do": "revoke", "name": "x"}\n', b"there is no device"),
                (b"x" * 200_000, b""),
            ):
                reader, writer = await asyncio.open_unix_connection(path)
                writer.write(line)
                with contextlib.suppress(ConnectionError):
                    assert says in await reader.readline()
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()
            assert view.snapshot()["devices"] == []

    run(main())
