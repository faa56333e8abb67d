"""UDP links over real loopback sockets."""

import asyncio
import errno
import socket
from collections.abc import Coroutine
from functools import partial
from typing import Any

import pytest
from waiting import PATIENCE_S

from tickseal import acceleration
from tickseal.core.errors import LinkError
from tickseal.links import udp
from tickseal.links.base import plain_address
from tickseal.links.datagrams import DatagramReader, send_datagrams
from tickseal.links.udp import UDPLink, _group

LOOPBACKS = ["127.0.0.1", "::1"]


@pytest.fixture(autouse=True, params=[True, False], ids=["native", "one by one"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to read and send, whichever is at work here."""
    if request.param and not acceleration().is_native:
        pytest.skip("not native")
    monkeypatch.setattr(udp, "DatagramReader", partial(DatagramReader, native=request.param))
    monkeypatch.setattr(udp, "send_datagrams", partial(send_datagrams, native=request.param))


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


async def collect(link: UDPLink, count: int) -> list[bytes]:
    got: list[bytes] = []
    while len(got) < count:
        got.extend(segment for segment, _ in await link.receive())
    return got


async def pair(host: str = "127.0.0.1", **options: int) -> tuple[UDPLink, UDPLink]:
    sink = await UDPLink.listen(host, 0, **options)
    return await UDPLink.connect(host, sink.address[1]), sink


@pytest.mark.parametrize("host", LOOPBACKS)
@pytest.mark.parametrize("grouped", [True, False], ids=["grouped", "one by one"])
def test_carries_frames_of_any_size_unchanged(host: str, grouped: bool) -> None:
    async def scenario() -> None:
        source, sink = await pair(host)
        source._groups = grouped
        sizes = [1248] * 130 + [700] + [100, 1248, 1248, 3, 9000, 9000, 1] + [60_000, 60_000]
        segments = [bytes([n % 251]) * size for n, size in enumerate(sizes)]
        await source.send(segments)
        assert await collect(sink, len(segments)) == segments
        assert source.counters.sent == sink.counters.received == len(segments)
        assert not source.counters.errors
        source.close()
        sink.close()

    run(scenario())


def test_a_link_on_all_addresses_hears_both_families() -> None:
    async def scenario() -> None:
        sink = await UDPLink.listen(None, 0)
        for host in LOOPBACKS:
            source = await UDPLink.connect(host, sink.address[1])
            await source.send([b"a" * 100] * 3)
            got: list[str] = []
            while len(got) < 3:
                got.extend(plain_address(address)[0] for _, address in await sink.receive())
            assert got == [host] * 3
            source.close()
        sink.close()

    run(scenario())


@pytest.mark.parametrize("host", LOOPBACKS)
def test_answers_to_the_address_that_a_datagram_came_from(host: str) -> None:
    async def scenario() -> None:
        sink = await UDPLink.listen(None, 0)
        source = await UDPLink.connect(host, sink.address[1])
        await source.send([b"question"])
        ((_, address),) = await sink.receive()
        await sink.send([b"answer!"] * 5, address)
        assert await collect(source, 5) == [b"answer!"] * 5
        source.close()
        sink.close()

    run(scenario())


def test_survives_a_peer_that_is_not_there() -> None:
    async def scenario() -> None:
        source, sink = await pair()
        port = sink.address[1]
        sink.close()
        for _ in range(5):
            await source.send([b"x" * 50] * 3)
        assert source.counters.errors["ECONNREFUSED"] > 0
        sink = await UDPLink.listen("127.0.0.1", port)
        await source.send([b"first", b"after"])
        assert await collect(sink, 2) == [b"first", b"after"]
        source.close()
        sink.close()

    run(scenario())


def test_a_segment_too_long_is_counted_and_costs_the_others_nothing() -> None:
    async def scenario() -> None:
        source, sink = await pair()
        await source.send([b"a", bytes(70_000), b"b"])
        assert await collect(sink, 2) == [b"a", b"b"]
        assert source.counters.errors["EMSGSIZE"] == 1
        assert source.counters.lost == 1
        source.close()
        sink.close()

    run(scenario())


@pytest.mark.parametrize("number", ["ENOBUFS", "ENETUNREACH", "EPERM"])
def test_a_network_that_fails_is_counted_not_raised(number: str, mocker: Any) -> None:
    async def scenario() -> None:
        source, sink = await pair()
        broken = mocker.Mock(wraps=source._socket)
        broken.sendmsg.side_effect = OSError(getattr(errno, number), "injected")
        source._socket, whole = broken, source._socket
        await source.send([b"x" * 9] * 4)
        source._socket = whole
        await source.send([b"back"])
        assert await collect(sink, 1) == [b"back"]
        assert source.counters.errors == {number: 1}
        assert source.counters.lost == 4
        source.close()
        sink.close()

    run(scenario())


@pytest.mark.parametrize("number", ["EINVAL", "EIO", "EOPNOTSUPP"])
def test_a_kernel_without_groups_gets_them_one_by_one(number: str, mocker: Any) -> None:
    async def scenario() -> None:
        source, sink = await pair()
        real = source._socket
        stub = mocker.Mock(wraps=real)

        def sendmsg(buffers: Any, control: Any, flags: int, address: Any) -> int:
            if control:
                raise OSError(getattr(errno, number), "injected")
            return real.sendmsg(buffers, control, flags, address)

        stub.sendmsg.side_effect = sendmsg
        source._socket = stub
        segments = [bytes([n]) * 40 for n in range(10)]
        await source.send(segments)
        await source.send(segments)
        assert await collect(sink, 20) == segments * 2
        # The group that was refused, its ten one by one, and then no group any more.
        assert stub.sendmsg.call_count == 11
        source.close()
        sink.close()

    run(scenario())


def test_waits_while_the_socket_is_full() -> None:
    async def scenario() -> None:
        source, sink = await pair()
        real = source._socket
        refusals = iter([True, False, True, True])

        class Full:
            def send(self, data: bytes) -> int:
                raise BlockingIOError

            def sendmsg(self, *arguments: Any) -> int:
                if next(refusals, False):
                    raise BlockingIOError
                return real.sendmsg(*arguments)

            def fileno(self) -> int:
                return real.fileno()

        source._socket = Full()  # type: ignore[assignment]
        assert not source.send_now(b"full")
        await asyncio.gather(*(source.send([bytes([n])]) for n in range(4)))
        assert sorted(await collect(sink, 4)) == [b"\0", b"\1", b"\2", b"\3"]
        source._socket = real
        source.close()
        sink.close()

    run(scenario())


def test_sends_one_at_once_or_leaves_it_to_whoever_can_wait() -> None:
    async def scenario() -> None:
        source, sink = await pair()
        assert source.send_now(b"first")
        assert await collect(sink, 1) == [b"first"]
        assert not source.send_now(bytes(70_000))
        assert source.counters.errors == {"EMSGSIZE": 1}
        sink.close()
        sent = [source.send_now(b"x") for _ in range(4)]
        assert source.counters.sent == 1 + sent.count(True)
        assert source.counters.errors["ECONNREFUSED"] == sent.count(False) > 0
        source.close()
        assert not source.send_now(b"late")

    run(scenario())


def test_the_queue_is_bounded_and_what_the_kernel_drops_is_counted() -> None:
    async def scenario() -> None:
        source, sink = await pair(queue=100, batch=30)
        sink._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 60_000)
        assert sink.kernel_dropped == 0
        sent = 0
        while not (sink.counters.paused and sink.kernel_dropped):
            await source.send([b"x" * 400, b"y" * 300] * 40)
            sent += 80
            await asyncio.sleep(0)
            assert len(sink._queue) < 100 + 64
        assert sink.counters.paused == 1
        # Once somebody receives, it goes on.
        while len(sink._queue) or sink._is_paused:
            batch = await sink.receive()
            assert 0 < len(batch) <= 30
            await asyncio.sleep(0)
        await source.send([b"last"])
        assert (await collect(sink, 1))[-1] == b"last"
        dropped = sink.kernel_dropped
        # Two datagrams that travelled together were dropped together, and count once.
        assert dropped <= sent + 1 - sink.counters.received <= 2 * dropped
        sink.close()
        assert sink.kernel_dropped == dropped
        source.close()

    run(scenario())


def test_delivers_all_in_order_what_waited_first() -> None:
    async def scenario() -> None:
        source, sink = await pair(batch=10)
        segments = [bytes([n]) * (n % 3 + 1) for n in range(200)]
        got: list[bytes] = []
        sizes: list[int] = []

        def take(batch: list[bytes]) -> None:
            got.extend(batch)
            sizes.append(len(batch))

        await source.send(segments[:5])
        while len(sink._queue) < 5:
            await asyncio.sleep(0)
        delivering = asyncio.create_task(sink.deliver(take))
        await source.send(segments[5:])
        while len(got) < len(segments):
            await asyncio.sleep(0)
        assert got == segments
        assert sink.counters.received == len(segments)
        assert len(sizes) > 2
        # What comes after the deliveries is received as before.
        delivering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await delivering
        await source.send([b"after"])
        assert await collect(sink, 1) == [b"after"]
        delivering = asyncio.create_task(sink.deliver(take))
        await asyncio.sleep(0)
        sink.close()
        with pytest.raises(LinkError, match="closed"):
            await delivering
        with pytest.raises(LinkError, match="closed"):
            await sink.deliver(take)
        source.close()

    run(scenario())


@pytest.mark.parametrize("waits", [True, False], ids=["waited", "comes"])
def test_a_delivery_that_fails_ends_with_its_error(waits: bool) -> None:
    async def scenario() -> None:
        source, sink = await pair()
        calls: list[list[bytes]] = []

        def take(batch: list[bytes]) -> None:
            calls.append(batch)
            raise ValueError("full")

        if waits:
            await source.send([b"x"])
            while not sink._queue:
                await asyncio.sleep(0)
        delivering = asyncio.create_task(sink.deliver(take))
        await asyncio.sleep(0)
        await source.send([b"y"])
        with pytest.raises(ValueError, match="full"):
            await delivering
        assert len(calls) == 1
        source.close()
        sink.close()

    run(scenario())


def test_closing_ends_a_wait_and_frees_the_port() -> None:
    async def scenario() -> None:
        source, sink = await pair()
        waiting = asyncio.create_task(sink.receive())
        await asyncio.sleep(0)
        port = sink.address[1]
        sink.close()
        sink.close()
        with pytest.raises(LinkError, match="closed"):
            await waiting
        with pytest.raises(LinkError, match="closed"):
            await sink.send([b"x"], ("127.0.0.1", 9))
        (await UDPLink.listen("127.0.0.1", port)).close()
        source.close()

    run(scenario())


def test_says_what_to_do_about_a_port_taken_and_a_name_unknown() -> None:
    async def scenario() -> None:
        sink = await UDPLink.listen("127.0.0.1", 0)
        with pytest.raises(LinkError, match="choose another"):
            await UDPLink.listen("127.0.0.1", sink.address[1])
        with pytest.raises(LinkError, match="check the name"):
            await UDPLink.connect("no-such-host.invalid", 9)
        sink.close()

    run(scenario())


def test_asks_for_a_receive_buffer_that_holds_thousands() -> None:
    async def scenario() -> None:
        sink = await UDPLink.listen("127.0.0.1", 0)
        assert sink.receive_buffer_bytes >= 200_000
        sink.close()

    run(scenario())


@pytest.mark.parametrize(
    ("sizes", "end"),
    [
        ([5], 1),
        ([5, 5, 5], 3),
        ([5, 5, 3, 5], 3),
        ([5, 6], 1),
        ([5, 5, 0], 2),
        ([0, 0], 1),
        ([10] * 100, 64),
        ([1248] * 100, 52),
        ([65_000, 65_000], 1),
        ([30_000, 100], 2),
        ([40_000, 30_000], 1),
    ],
)
def test_groups_what_one_call_can_carry(sizes: list[int], end: int) -> None:
    assert _group([bytes(size) for size in sizes], 0) == end
