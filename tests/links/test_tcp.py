"""TCP links over real loopback sockets."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from waiting import PATIENCE_S

from tickseal.core.errors import LinkError
from tickseal.links import tcp
from tickseal.links.tcp import TCPLink, TCPServer


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


async def echo(link: TCPLink) -> None:
    while data := await link.receive():
        link.write(data)
        await link.drain()


async def hold(link: TCPLink) -> None:
    await asyncio.Event().wait()


async def serve(
    handler: Callable[[TCPLink], Awaitable[None]], host: str | None = "127.0.0.1", **caps: int
) -> tuple[TCPServer, int]:
    server = await TCPServer.listen(handler, host, 0, **caps)
    return server, server.address[1]


async def read_all(link: TCPLink) -> bytes:
    got = b""
    while data := await link.receive():
        got += data
    return got


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_carries_bytes_both_ways_over_one_socket_for_both_families(host: str) -> None:
    async def scenario() -> None:
        server, port = await serve(echo, None)
        link = await TCPLink.connect(host, port)
        assert link.peer[:2] == (host, port)
        sent = bytes(range(256)) * 4000

        async def send() -> None:
            for at in range(0, len(sent), 50_000):
                link.write(sent[at : at + 50_000])
                await link.drain()

        sending = asyncio.create_task(send())
        got = b""
        while len(got) < len(sent):
            got += await link.receive()
        assert got == sent
        await sending
        await link.close()
        await server.close()

    run(scenario())


def test_what_was_written_before_close_arrives_then_the_end() -> None:
    async def scenario() -> None:
        async def farewell(link: TCPLink) -> None:
            link.write(b"bye" * 100_000)

        server, port = await serve(farewell)
        link = await TCPLink.connect("127.0.0.1", port)
        assert await read_all(link) == b"bye" * 100_000
        await link.close()
        with pytest.raises(LinkError, match="connect again"):
            link.write(b"x")
        await server.close()

    run(scenario())


def test_says_when_the_peer_does_not_read_and_drops_nothing() -> None:
    async def scenario() -> None:
        may_read = asyncio.Event()
        got: list[bytes] = []

        async def slow(link: TCPLink) -> None:
            await may_read.wait()
            got.append(await read_all(link))

        server, port = await serve(slow)
        link = await TCPLink.connect("127.0.0.1", port)
        assert link.is_writable
        sent = 0
        while link.is_writable:
            link.write(bytes(100_000))
            sent += 100_000
            await asyncio.sleep(0)
        draining = asyncio.create_task(link.drain())
        await asyncio.sleep(0)
        assert not draining.done()
        may_read.set()
        await draining
        assert link.is_writable
        await link.close()
        while server.connections:
            await asyncio.sleep(0)
        assert len(got[0]) == sent
        await server.close()

    run(scenario())


def test_refuses_to_buffer_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "WRITE_MOST_BYTES", 10_000_000)

    async def scenario() -> None:
        server, port = await serve(hold)
        link = await TCPLink.connect("127.0.0.1", port)
        with pytest.raises(LinkError, match="wait for drain"):
            for _ in range(10_000):
                link.write(bytes(100_000))
        link.abort()
        await server.close()

    run(scenario())


def test_a_break_is_told_with_who_it_was() -> None:
    async def scenario() -> None:
        async def slam(link: TCPLink) -> None:
            await link.receive()
            link.abort()

        server, port = await serve(slam)
        link = await TCPLink.connect("127.0.0.1", port)
        link.write(b"x")
        with pytest.raises(LinkError, match=rf"127\.0\.0\.1 port {port} broke: .*reset"):
            await link.receive()
        with pytest.raises(LinkError):
            await link.drain()
        link.abort()
        await server.close()

    run(scenario())


def test_one_site_cannot_take_all_connections() -> None:
    async def scenario() -> None:
        async def greet(link: TCPLink) -> None:
            link.write(b"welcome")
            await hold(link)

        server, port = await serve(greet, None, most=3, most_per_site=2)
        links: list[TCPLink] = []

        async def is_welcome(host: str) -> bool:
            try:
                link = await TCPLink.connect(host, port)
                links.append(link)
                return await link.receive() == b"welcome"
            except LinkError:
                return False

        assert [await is_welcome("127.0.0.1") for _ in range(4)] == [True, True, False, False]
        assert await is_welcome("::1")
        assert not await is_welcome("::1")
        assert (server.counters.accepted, server.counters.refused) == (3, 3)
        for link in links:
            link.abort()
        await server.close()
        assert server.connections == 0

    run(scenario())


def test_a_flood_of_connections_is_turned_away_before_it_costs_a_task() -> None:
    async def scenario() -> None:
        asked: list[str] = []

        def admit(place: str) -> bool:
            asked.append(place)
            return len(asked) == 1

        server, port = await serve(echo, most=1000, most_per_site=1000, admit=admit)
        welcome = await TCPLink.connect("127.0.0.1", port)
        flood = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
        while server.counters.refused < 100:
            await asyncio.sleep(0)
            assert server.connections <= 1
        for sock in flood:
            sock.close()
        assert set(asked) == {"127.0.0.1"}
        welcome.write(b"x")
        assert await welcome.receive() == b"x"
        welcome.abort()
        await server.close()

    run(scenario())


def test_a_place_becomes_free_when_a_connection_ends() -> None:
    async def scenario() -> None:
        server, port = await serve(echo, most=1, most_per_site=1)
        for _ in range(5):
            link = await TCPLink.connect("127.0.0.1", port)
            link.write(b"x")
            assert await link.receive() == b"x"
            await link.close()
            while server.connections:
                await asyncio.sleep(0)
        assert server.counters.accepted == 5
        assert not server._sites
        await server.close()

    run(scenario())


def test_a_handler_that_fails_costs_its_own_connection_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        async def fragile(link: TCPLink) -> None:
            if await link.receive() == b"bad":
                raise ZeroDivisionError
            link.write(b"fine")

        server, port = await serve(fragile)
        for word, answer in ((b"bad", b""), (b"good", b"fine")):
            link = await TCPLink.connect("127.0.0.1", port)
            link.write(word)
            try:
                assert await read_all(link) == answer
            except LinkError:
                assert word == b"bad"
            link.abort()
        assert server.counters.failed == 1
        await server.close()

    with caplog.at_level(logging.ERROR):
        run(scenario())
    assert "127.0.0.1" in caplog.text


def test_closing_the_server_ends_its_handlers() -> None:
    async def scenario() -> None:
        ended = asyncio.Event()

        async def handler(link: TCPLink) -> None:
            try:
                link.write(b"hello")
                await hold(link)
            finally:
                ended.set()

        server, port = await serve(handler)
        link = await TCPLink.connect("127.0.0.1", port)
        assert await link.receive() == b"hello"
        await server.close()
        assert ended.is_set()
        with pytest.raises(LinkError, match="nothing listens"):
            await TCPLink.connect("127.0.0.1", port)
        with pytest.raises(LinkError):
            assert server.address
        link.abort()

    run(scenario())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_says_that_nothing_listens(host: str) -> None:
    async def scenario() -> None:
        with socket.socket() as taken:  # bound, not listening
            taken.bind(("127.0.0.1", 0))
            with pytest.raises(LinkError, match=f"nothing listens at {host}"):
                await TCPLink.connect(host, taken.getsockname()[1])

    run(scenario())


def test_says_that_a_name_is_unknown() -> None:
    async def scenario() -> None:
        with pytest.raises(LinkError, match="check the name"):
            await TCPLink.connect("no-such-host.invalid", 9)

    run(scenario())


def test_does_not_wait_forever_for_an_answer() -> None:
    async def scenario() -> None:
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            links: list[TCPLink] = []
            # Linux drops what a full backlog cannot take, so that a connect gets no answer.
            with pytest.raises(LinkError, match="did not answer"):
                for _ in range(20):
                    links.append(
                        await TCPLink.connect("127.0.0.1", full.getsockname()[1], timeout_s=0.05)
                    )
            for link in links:
                link.abort()

    run(scenario())


def test_says_what_to_do_about_a_port_taken() -> None:
    async def scenario() -> None:
        server, port = await serve(echo)
        with pytest.raises(LinkError, match="choose another"):
            await TCPServer.listen(echo, "127.0.0.1", port)
        await server.close()

    run(scenario())
