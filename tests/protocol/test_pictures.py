"""Pictures carry what they are; hostile payloads give one documented error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickseal import LocalProtocolError, RemoteProtocolError
from tickseal.payloads.pictures import Picture, decode_picture, encode_picture

pictures = st.builds(
    Picture,
    codec=st.sampled_from(["jpeg", "h264", "mjpeg"]),
    width=st.integers(1, 65_535),
    height=st.integers(1, 65_535),
    time_ns=st.integers(0, 2**63 - 1),
    sequence=st.integers(0, 2**63 - 1),
    is_key=st.booleans(),
    data=st.binary(max_size=500),
)


@given(pictures)
def test_a_picture_comes_back_whole(picture: Picture) -> None:
    assert decode_picture(encode_picture(picture)) == picture


@given(st.binary(max_size=300))
def test_any_bytes_give_a_picture_or_one_error(payload: bytes) -> None:
    try:
        decode_picture(payload)
    except RemoteProtocolError:
        pass


@given(pictures, st.data())
def test_a_cut_head_is_refused(picture: Picture, data: st.DataObject) -> None:
    payload = encode_picture(picture)
    with pytest.raises(RemoteProtocolError):
        decode_picture(payload[: data.draw(st.integers(0, payload[0]))])


def test_a_picture_without_pixels_cannot_exist() -> None:
    with pytest.raises(LocalProtocolError):
        Picture(codec="jpeg", width=0, height=1, time_ns=0, sequence=0, is_key=True, data=b"")
