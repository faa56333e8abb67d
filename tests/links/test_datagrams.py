"""Datagrams come the same natively and one by one, from real sockets of loopback."""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickseal import acceleration
from tickseal.links.datagrams import MESSAGES, DatagramReader, send_datagrams

_UDP_SEGMENT, _UDP_GRO = 103, 104
WAYS = [
    pytest.param(True, marks=pytest.mark.skipif(not acceleration().is_native, reason="not native")),
    False,
]
PLACES = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
by_either_way = pytest.mark.parametrize("native", WAYS, ids=["native", "one by one"])


class Pair:
    """A socket that sends to another."""

    def __init__(self, family: int = socket.AF_INET, host: str = "127.0.0.1") -> None:
        with ExitStack() as stack:
            self.sink = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            self.sink.bind((host, 0))
            self.source = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            self.source.connect(self.sink.getsockname())
            for one in (self.sink, self.source):
                one.setblocking(False)
            self.close = stack.pop_all().close


@pytest.fixture(params=PLACES, ids=["IPv4", "IPv6"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    made = Pair(*request.param)
    yield made
    made.close()


@by_either_way
def test_reads_what_was_sent_and_the_address_that_it_came_from(pair: Pair, native: bool) -> None:
    sent = [b"", b"a", bytes(1248), bytes(range(256)) * 200]
    assert send_datagrams(pair.source, sent, native=native) == len(sent)
    reader = DatagramReader(pair.sink, native=native)
    assert reader.addressed() == [(one, pair.source.getsockname()) for one in sent]
    send_datagrams(pair.source, sent, native=native)
    assert reader.plain() == sent
    with pytest.raises(BlockingIOError):
        reader.plain()


@by_either_way
def test_parts_what_the_kernel_coalesced(pair: Pair, native: bool) -> None:
    pair.sink.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
    groups = [[bytes([n]) * 500 for n in range(40)], [b"x" * 90, b"y" * 90, b"z" * 7]]
    for group in groups:
        size = len(group[0]).to_bytes(2, "little")
        pair.source.sendmsg(group, [(socket.IPPROTO_UDP, _UDP_SEGMENT, size)])
    sender = pair.source.getsockname()
    reader = DatagramReader(pair.sink, native=native)
    assert reader.addressed() == [(one, sender) for group in groups for one in group]


@by_either_way
def test_many_senders_are_told_apart(native: bool) -> None:
    pair = Pair()
    with ExitStack() as stack:
        stack.callback(pair.close)
        expected = []
        others = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(3)]
        for number, other in enumerate([*others, *others, others[0], others[0]]):
            other.sendto(bytes([number]), pair.sink.getsockname())
            expected.append((bytes([number]), ("127.0.0.1", other.getsockname()[1])))
        assert DatagramReader(pair.sink, native=native).addressed() == expected


@by_either_way
def test_one_call_takes_so_many_and_the_next_the_rest(native: bool) -> None:
    pair = Pair()
    sent = [bytes([n]) for n in range(MESSAGES + 3)]
    taken = send_datagrams(pair.source, sent, native=native)
    assert 0 < taken <= len(sent)
    while taken < len(sent):
        taken += send_datagrams(pair.source, sent[taken:], native=native)
    reader = DatagramReader(pair.sink, native=native)
    assert [reader.plain(), reader.plain()] == [sent[:MESSAGES], sent[MESSAGES:]]
    pair.close()


@by_either_way
def test_a_refusal_by_the_peer_is_raised_and_costs_no_datagram_that_came(native: bool) -> None:
    with (
        socket.socket(type=socket.SOCK_DGRAM) as one,
        socket.socket(type=socket.SOCK_DGRAM) as other,
    ):
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        one.connect(other.getsockname())
        other.connect(one.getsockname())
        one.setblocking(False)
        other.send(b"came before")
        other.close()
        one.send(b"to nobody")
        reader, seen, failures = DatagramReader(one, native=native), [], 0
        for _ in range(3):
            try:
                seen += reader.plain()
            except BlockingIOError:
                break
            except ConnectionRefusedError:
                failures += 1
        assert (seen, failures) == ([b"came before"], 1)


@by_either_way
def test_what_is_too_long_raises_only_when_it_is_first(native: bool) -> None:
    pair = Pair()
    with pytest.raises(OSError) as raised:
        send_datagrams(pair.source, [bytes(70_000), b"a"], native=native)
    assert raised.value.errno == errno.EMSGSIZE
    assert send_datagrams(pair.source, [b"a", bytes(70_000), b"b"], native=native) == 1
    assert DatagramReader(pair.sink, native=native).plain() == [b"a"]
    pair.close()


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=MESSAGES))
def test_both_ways_are_the_same(sent: list[bytes]) -> None:
    seen: list[Any] = []
    for native in (acceleration().is_native, False):
        pair = Pair()
        assert send_datagrams(pair.source, sent, native=native) == len(sent)
        seen.append(DatagramReader(pair.sink, native=native).plain())
        pair.close()
    assert seen == [sent, sent]


@pytest.mark.skipif(not acceleration().is_native, reason="not native")
@pytest.mark.parametrize(
    "call",
    [
        lambda hotpath, fd: hotpath.receive_datagrams(fd, bytearray(1000), 1, False),
        lambda hotpath, fd: hotpath.receive_datagrams(fd, bytes(1 << 20), 1, False),
        lambda hotpath, fd: hotpath.receive_datagrams(-1, bytearray(1 << 20), 1, True),
        lambda hotpath, fd: hotpath.receive_datagrams(fd, bytearray(1 << 20), 0, False),
        lambda hotpath, fd: hotpath.send_datagrams(fd, [b"a", "b"]),
        lambda hotpath, fd: hotpath.send_datagrams(fd, (b"a",)),
        lambda hotpath, fd: hotpath.send_datagrams(-1, [b"a"]),
    ],
)
def test_a_wrong_call_raises_and_sends_nothing(call: Any) -> None:
    from tickseal.native import hotpath  # noqa: PLC0415

    pair = Pair()
    with pytest.raises((ValueError, TypeError, OSError)):
        call(hotpath, pair.source.fileno())
    with pytest.raises(BlockingIOError):
        DatagramReader(pair.sink).plain()
    assert hotpath.send_datagrams(pair.source.fileno(), []) == 0
    pair.close()
