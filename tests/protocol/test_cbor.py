"""CBOR: one encoding a value, and any bytes give a value or one error."""

import importlib.util
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from streams import VECTORS, vectors

from tickseal import cbor
from tickseal.core.errors import LocalProtocolError, RemoteProtocolError

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats()
    | st.text()
    | st.binary()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


def from_notation(value: Any) -> Any:
    """A value of the vectors, in which bytes and floats are maps."""
    if isinstance(value, list):
        return [from_notation(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"$bytes"}:
        return bytes.fromhex(value["$bytes"])
    if value.keys() == {"$float"}:
        return float(value["$float"])
    return {key: from_notation(item) for key, item in value.items()}


@pytest.fixture(scope="module")
def reference() -> Any:
    spec = importlib.util.spec_from_file_location("rc", VECTORS / "reference_cbor.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("vector", vectors("cbor")["accepted"], ids=lambda v: v["encoding"][:24])
def test_encodes_and_decodes_the_golden_values(vector: dict[str, Any]) -> None:
    value, encoding = from_notation(vector["value"]), bytes.fromhex(vector["encoding"])
    assert cbor.encode(value) == encoding
    decoded = cbor.decode(encoding)
    assert decoded == value or math.isnan(value)
    assert type(decoded) is type(value)
    assert cbor.encode(decoded) == encoding


@pytest.mark.parametrize("vector", vectors("cbor")["refused"], ids=lambda v: v["why"])
def test_refuses_the_golden_faults(vector: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError):
        cbor.decode(bytes.fromhex(vector["encoding"]))


@given(values)
def test_decoding_gives_back_what_was_encoded(value: Any) -> None:
    try:
        encoding = cbor.encode(value)
    except LocalProtocolError:
        return  # nested too deep
    decoded = cbor.decode(encoding)
    assert cbor.encode(decoded) == encoding
    assert decoded == value or "nan" in repr(value)


def deep(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


@given(st.binary(max_size=60))
@example(b"\x81" * 20_000)
@example(b"\xa1\x61a" * 9 + b"\x00")
@example(b"\x9b" + b"\xff" * 8)
@example(b"\x5b\x7f" + b"\xff" * 7)
def test_any_bytes_give_a_value_or_one_error_as_the_second_implementation_does(
    reference: Any, data: bytes
) -> None:
    try:
        value = cbor.decode(data)
    except RemoteProtocolError:
        # The library stops at nine levels; the reference stops nowhere.
        if data[:1] not in (b"\x81", b"\xa1"):
            with pytest.raises(ValueError):
                reference.decode(data)
        return
    assert cbor.encode(value) == data
    assert repr(reference.decode(data)) == repr(value)


def test_nests_nine_levels_and_no_more() -> None:
    assert cbor.decode(cbor.encode(deep(9))) == deep(9)
    with pytest.raises(LocalProtocolError, match="deeper than 9"):
        cbor.encode(deep(10))
    with pytest.raises(RemoteProtocolError, match="deeper than 9"):
        cbor.decode(b"\x81" * 10 + b"\x00")


@pytest.mark.parametrize(
    "value",
    [
        2**64,
        -(2**64) - 1,
        {1: 2},
        {"a": {b"b": 1}},
        {1, 2},
        pytest.param(object(), id="object"),
        [range(3)],
        "\ud800",
        ["\ud800"],
    ],
    ids=repr,
)
def test_does_not_encode_what_the_protocol_does_not_carry(value: Any) -> None:
    with pytest.raises(LocalProtocolError, match="cannot encode"):
        cbor.encode(value)


def test_tags_never_reach_the_decoder() -> None:
    # A list of shared lists, each of a hundred references to the one before: 100^7 items in 1929
    # bytes. Dates, regular expressions and powers of ten come by tags too.
    shared = b"\xd8\x1c\x98\x64"
    bomb = b"\x87" + shared + bytes(100)
    for level in range(6):
        bomb += shared + bytes((0xD8, 0x1D, level)) * 100
    # What an indefinite list holds would be read by the decoder too.
    hidden = b"\x9f" + b"\xc1\x00" * 64 + b"\xff"
    for data in (
        bomb,
        b"\x9f" + bomb + b"\xff",
        hidden,
        b"\xc1\x00",
        b"\xd8\x23\x61(",
        b"\xc4\x82\x1b\x7f" + b"\xff" * 7 + b"\x01",
    ):
        with pytest.raises(RemoteProtocolError, match="tag"):
            cbor.decode(data)


def test_a_map_is_asked_for_as_a_map() -> None:
    assert cbor.decode_map(b"\xa0") == {}
    for data in (b"\x80", b"\x00", b"\x60"):
        with pytest.raises(RemoteProtocolError, match="map"):
            cbor.decode_map(data)


def test_numbers_keep_their_type_and_sign() -> None:
    for value in (1, 1.0, True, 0.0, -0.0, math.inf, (1, 2)):
        decoded = cbor.decode(cbor.encode(value))
        assert repr(decoded) == repr(list(value) if isinstance(value, tuple) else value)
