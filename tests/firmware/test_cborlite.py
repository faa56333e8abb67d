"""The board's CBOR is that of the library, to the byte."""

import pytest
from device import cborlite
from hypothesis import given
from hypothesis import strategies as st

from tickseal import cbor
from tickseal.core.errors import RemoteProtocolError

plain = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(1 << 64), (1 << 64) - 1),
        st.text(max_size=40),
        st.binary(max_size=300),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=30), st.dictionaries(st.text(max_size=30), inner, max_size=30)
    ),
    max_leaves=30,
)


@given(plain)
def test_encodes_as_the_library_does_and_decodes_it_again(value: cbor.Value) -> None:
    encoded = cborlite.encode(value)
    assert encoded == cbor.encode(value)
    assert cborlite.decode(encoded) == value


@given(st.one_of(st.binary(max_size=60), plain.map(cbor.encode)), st.data())
def test_any_bytes_are_what_the_library_makes_of_them_or_the_one_error(
    data: bytes, draw: st.DataObject
) -> None:
    if data and draw.draw(st.booleans()):
        hit = bytearray(data)
        hit[draw.draw(st.integers(0, len(hit) - 1))] ^= draw.draw(st.integers(1, 255))
        data = bytes(hit)
    try:
        expected = cbor.decode(data)
    except RemoteProtocolError:
        with pytest.raises(RemoteProtocolError):
            cborlite.decode(data)
        return
    if b"\xf9" in data or b"\xfa" in data or b"\xfb" in data:
        return  # floats: no control message has one
    assert cborlite.decode(data) == expected
