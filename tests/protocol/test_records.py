"""Records come out as they went in, however the stream is cut; what cannot be is refused."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickseal.core.errors import LocalProtocolError, RemoteProtocolError
from tickseal.sessions.records import (
    BODY_MAX_BYTES,
    HANDSHAKE_MAX_BYTES,
    RECORD_MAX_BYTES,
    RecordReader,
    RecordType,
    encode_record,
    pack_segments,
    unpack_segments,
)

records = st.tuples(st.sampled_from(RecordType), st.binary(max_size=300))


def test_a_record_is_length_type_body() -> None:
    assert encode_record(RecordType.CONTROL, b"abc") == b"\x00\x04\x05abc"
    assert encode_record(RecordType.ANSWER, b"") == b"\x00\x01\x03"


@given(st.lists(records), st.data())
def test_records_survive_any_cut_of_the_stream(
    sent: list[tuple[RecordType, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(encode_record(kind, body) for kind, body in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    reader = RecordReader()
    got = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += reader.feed(stream[start:end])
    assert got == sent


@given(st.lists(st.binary(max_size=80), max_size=20))
def test_any_bytes_give_records_or_one_error(pieces: list[bytes]) -> None:
    reader = RecordReader()
    total = 0
    try:
        for piece in pieces:
            total += len(piece)
            for kind, body in reader.feed(piece):
                total -= 3 + len(body)
                assert len(body) <= BODY_MAX_BYTES[kind]
            assert len(reader._held) == total
    except RemoteProtocolError as fault:
        # The stream is lost for good, and nothing of it is kept.
        with pytest.raises(RemoteProtocolError, match=str(fault).split(":")[0]):
            reader.feed(encode_record(RecordType.CONTROL, b"x"))
        assert not reader._held


@pytest.mark.parametrize(
    "head",
    [b"\x00\x00\x05", b"\x00\x05\x00", b"\x00\x05\x08", b"\x00\x05\xff", b"GET / HTTP/1.1"],
    ids=["length 0", "type 0", "type 8", "type 255", "another protocol"],
)
def test_refuses_what_cannot_be_a_record_by_its_first_three_bytes(head: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        RecordReader().feed(head)


@pytest.mark.parametrize("kind", list(RecordType))
def test_refuses_a_record_longer_than_its_type_before_holding_it(kind: RecordType) -> None:
    most = BODY_MAX_BYTES[kind]
    record = encode_record(kind, bytes(most))
    assert RecordReader().feed(record) == [(kind, bytes(most))]
    with pytest.raises(LocalProtocolError):
        encode_record(kind, bytes(most + 1))
    if most + 2 <= RECORD_MAX_BYTES:
        with pytest.raises(RemoteProtocolError):
            RecordReader().feed((most + 2).to_bytes(2, "big") + bytes((kind,)))


def test_a_stranger_can_make_the_reader_hold_two_kilobytes_only() -> None:
    assert BODY_MAX_BYTES[RecordType.HYBRID] == HANDSHAKE_MAX_BYTES == 2048


@given(st.lists(st.binary(min_size=1, max_size=40_000), max_size=8))
def test_segments_survive_and_share_records_as_far_as_they_fit(segments: list[bytes]) -> None:
    bodies = list(pack_segments(segments))
    assert [bytes(s) for body in bodies for s in unpack_segments(body)] == segments
    assert all(0 < len(body) <= BODY_MAX_BYTES[RecordType.DATA] for body in bodies)
    # No two neighbours would have fitted into one.
    for left, right in pairwise(bodies):
        first = 2 + len(unpack_segments(right)[0])
        assert len(left) + first > BODY_MAX_BYTES[RecordType.DATA]


@given(st.binary(max_size=100))
def test_any_body_gives_segments_or_one_error(body: bytes) -> None:
    try:
        segments = unpack_segments(body)
    except RemoteProtocolError:
        return
    assert b"".join(len(s).to_bytes(2, "big") + bytes(s) for s in segments) == body
    assert segments and all(segments)


@pytest.mark.parametrize("body", [b"", b"\x00", b"\x00\x00", b"\x00\x02x", b"\x00\x01x\x00"])
def test_refuses_segments_whose_lengths_do_not_add_up(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        unpack_segments(body)


@pytest.mark.parametrize("size", [0, 65_533])
def test_refuses_to_pack_a_segment_of_no_size(size: int) -> None:
    with pytest.raises(LocalProtocolError):
        list(pack_segments([bytes(size)]))
