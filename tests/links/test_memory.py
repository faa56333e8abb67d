"""The network in memory keeps the promises that tests rely on."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import PATIENCE_S

from tickseal.core.errors import LinkError, LocalProtocolError
from tickseal.links.base import SegmentLink, StreamLink
from tickseal.links.memory import LinkQuality, MemoryNetwork
from tickseal.links.tcp import TCPLink
from tickseal.links.udp import UDPLink

MILLISECOND = 1_000_000
NUMBERED = [n.to_bytes(2, "big") for n in range(500)]


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


def everything(link: Any) -> list[bytes]:
    got: list[bytes] = []
    while batch := link.take():
        got.extend(segment for segment, _ in batch)
    return got


def test_every_link_fits_its_protocol() -> None:
    network = MemoryNetwork()
    segments: list[type[SegmentLink]] = [type(network.segment_links()[0]), UDPLink]
    streams: list[type[StreamLink]] = [type(network.stream_links()[0]), TCPLink]
    assert len(segments) == len(streams) == 2


def test_a_perfect_network_delivers_at_once_in_order() -> None:
    async def scenario() -> None:
        source, sink = MemoryNetwork().segment_links()
        await source.send(NUMBERED[:5])
        assert await sink.receive() == [(segment, ("source", 1)) for segment in NUMBERED[:5]]

    run(scenario())


def test_a_receiver_that_waits_wakes_up_when_time_moves() -> None:
    async def scenario() -> None:
        network = MemoryNetwork(quality=LinkQuality(delay_ns=MILLISECOND))
        source, sink = network.segment_links()
        waiting = asyncio.create_task(sink.receive())
        await source.send([b"x"])
        network.advance(MILLISECOND - 1)
        await asyncio.sleep(0)
        assert not waiting.done()
        network.advance(1)
        assert await waiting == [(b"x", ("source", 1))]

    run(scenario())


def fates(seed: int, quality: LinkQuality) -> tuple[list[bytes], MemoryNetwork]:
    network = MemoryNetwork(seed=seed, quality=quality)
    source, sink = network.segment_links()
    for segment in NUMBERED:
        source.inject(segment)
    network.advance(1000 * MILLISECOND)
    return everything(sink), network


def test_loses_repeats_and_mixes_as_told_and_the_same_way_for_a_seed() -> None:
    quality = LinkQuality(
        loss=0.3, duplicate=0.2, delay_ns=5 * MILLISECOND, jitter_ns=50 * MILLISECOND
    )
    got, network = fates(7, quality)
    assert 100 < network.lost < 200
    assert 40 < network.duplicated < 120
    assert len(got) == len(NUMBERED) - network.lost + network.duplicated
    assert set(got) < set(NUMBERED)
    assert got != sorted(got)
    assert fates(7, quality)[0] == got
    assert fates(8, quality)[0] != got


def test_a_partition_loses_datagrams_and_keeps_bytes() -> None:
    network = MemoryNetwork()
    source, sink = network.segment_links()
    near, far = network.stream_links()
    network.partition()
    source.inject(b"lost")
    near.write(b"kept ")
    assert everything(sink) == []
    assert far.take() == b""
    network.heal()
    source.inject(b"heard")
    near.write(b"and more")
    assert everything(sink) == [b"heard"]
    assert far.take() == b"kept and more"


@given(st.lists(st.sampled_from(["write", "advance", "partition", "heal"]), max_size=60))
def test_a_connection_keeps_order_whatever_the_network_does(steps: list[str]) -> None:
    network = MemoryNetwork(
        quality=LinkQuality(loss=0.9, duplicate=0.9, delay_ns=3, jitter_ns=1000)
    )
    near, far = network.stream_links()
    sent = b""
    got = b""
    for number, step in enumerate(steps):
        if step == "write":
            near.write(bytes([number]))
            sent += bytes([number])
        elif step == "advance":
            network.advance(400)
        else:
            getattr(network, step)()
        got += far.take()
        assert sent.startswith(got)
    network.heal()
    network.advance(5000)
    assert got + far.take() == sent


def test_an_orderly_end_comes_after_the_last_byte() -> None:
    async def scenario() -> None:
        network = MemoryNetwork(quality=LinkQuality(delay_ns=5, jitter_ns=100))
        near, far = network.stream_links()
        near.write(b"last words")
        await near.close()
        network.advance(1000)
        assert await far.receive() == b"last words"
        assert await far.receive() == b""
        with pytest.raises(LinkError):
            near.write(b"too late")

    run(scenario())


def test_a_break_reaches_both_ends() -> None:
    async def scenario() -> None:
        network = MemoryNetwork()
        near, far = network.stream_links()
        waiting = asyncio.create_task(far.receive())
        await asyncio.sleep(0)
        network.break_streams()
        with pytest.raises(LinkError):
            await waiting
        with pytest.raises(LinkError):
            await near.receive()

    run(scenario())


def test_says_when_the_other_end_does_not_read() -> None:
    async def scenario() -> None:
        near, far = MemoryNetwork().stream_links()
        assert near.is_writable
        near.write(bytes(300_000))
        assert not near.is_writable
        draining = asyncio.create_task(near.drain())
        await asyncio.sleep(0)
        assert not draining.done()
        assert len(far.take()) == 300_000
        await draining
        assert near.is_writable

    run(scenario())


def test_the_queue_is_bounded_and_counts_what_it_drops() -> None:
    source, sink = MemoryNetwork().segment_links()
    for _ in range(5000):
        source.inject(b"x")
    assert len(everything(sink)) + sink.dropped == 5000
    assert sink.dropped > 0


@pytest.mark.parametrize(
    "wrong", [{"loss": 1.1}, {"duplicate": -0.1}, {"delay_ns": -1}, {"jitter_ns": -1}]
)
def test_refuses_a_quality_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        LinkQuality(**wrong)
