"""What holds for every packet and every stream of bytes on a serial cable."""

from itertools import pairwise

import pytest
from cobs import cobs as counterpart
from hypothesis import given
from hypothesis import strategies as st

from tickseal.core import cobs
from tickseal.core.errors import RemoteProtocolError

LIMIT = 600
# Long runs without a zero, and many zeros, are where stuffing has its corners.
bodies = st.one_of(
    st.binary(max_size=LIMIT),
    st.lists(st.sampled_from([b"\0", b"\1", b"x" * 253, b"x" * 254]), max_size=9).map(b"".join),
).filter(lambda body: len(body) <= LIMIT)


@given(bodies)
def test_stuffing_is_that_of_the_cobs_package(data: bytes) -> None:
    assert cobs.stuff(data) == counterpart.encode(data)


@given(bodies)
def test_what_is_stuffed_comes_back_without_a_zero_in_between(data: bytes) -> None:
    stuffed = cobs.stuff(data)
    assert 0 not in stuffed
    assert len(stuffed) <= len(data) + 1 + len(data) // 254
    assert cobs.unstuff(stuffed) == data


@given(st.binary(max_size=LIMIT))
def test_any_bytes_unstuff_as_the_cobs_package_does_or_to_the_one_error(stuffed: bytes) -> None:
    try:
        expected = counterpart.decode(stuffed) if stuffed else None
    except counterpart.DecodeError:
        expected = None
    if expected is None:
        with pytest.raises(RemoteProtocolError):
            cobs.unstuff(stuffed)
    else:
        assert cobs.unstuff(stuffed) == expected


@given(st.binary(max_size=LIMIT))
def test_any_bytes_are_a_body_or_the_one_error(stuffed: bytes) -> None:
    try:
        body = cobs.decode(stuffed)
    except RemoteProtocolError:
        return
    assert cobs.decode(cobs.encode(body)[:-1]) == body


@given(st.lists(bodies, max_size=5), st.lists(st.integers(0, 3000), max_size=20))
def test_a_stream_gives_its_bodies_however_it_is_cut(sent: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(cobs.encode, sent))
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    reader = cobs.PacketReader(LIMIT)
    received = []
    for start, end in pairwise(edges):
        received += reader.receive(stream[start:end])
    assert received == sent
    assert reader.damaged == 0


@given(st.binary(max_size=3 * LIMIT), st.lists(bodies, min_size=1, max_size=3))
def test_after_any_noise_and_one_delimiter_every_packet_is_read(
    noise: bytes, sent: list[bytes]
) -> None:
    reader = cobs.PacketReader(LIMIT)
    reader.receive(noise)
    # The delimiter ends the noise, which by chance of 2^-32 is itself a packet.
    reader.receive(b"\0")
    assert reader.receive(b"".join(map(cobs.encode, sent))) == sent


@given(st.lists(bodies, min_size=2, max_size=5), st.data())
def test_a_hit_on_one_packet_costs_it_and_at_most_its_neighbour(
    sent: list[bytes], data: st.DataObject
) -> None:
    packets = [cobs.encode(body) for body in sent]
    index = data.draw(st.integers(0, len(packets) - 1))
    hit = bytearray(packets[index])
    at = data.draw(st.integers(0, len(hit) - 1))
    hit[at] ^= data.draw(st.integers(1, 255))
    packets[index] = bytes(hit)
    received = cobs.PacketReader(LIMIT).receive(b"".join(packets) + b"\0")
    assert [body for body in received if body not in sent] == []
    survivors = sent[:index] + sent[index + 2 :]
    assert len(received) >= len(survivors)


@given(st.lists(st.binary(min_size=1, max_size=LIMIT), max_size=20))
def test_a_reader_holds_no_more_than_one_packet(pieces: list[bytes]) -> None:
    reader = cobs.PacketReader(100)
    for piece in pieces:
        reader.receive(piece.replace(b"\0", b"\1"))
        # Twice as long where every byte needs an escape.
        assert len(reader._held) <= 2 * 106
