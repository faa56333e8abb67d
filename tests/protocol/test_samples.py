"""Samples travel as SenML and come back; hostile payloads give one documented error."""

import math

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickseal import RemoteProtocolError
from tickseal.payloads.samples import Sample, decode_samples, encode_samples

names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9\-:./_]{0,63}\Z")
values = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.text(max_size=20),
    st.floats(allow_nan=False, allow_infinity=False),
)  # fmt: skip
samples = st.builds(
    Sample,
    name=names,
    value=values,
    unit=st.none() | st.text(min_size=1, max_size=32).filter(str.isprintable),
    time_ns=st.integers(1_600_000_000_000_000_000, 1_900_000_000_000_000_000),
)


@given(st.lists(samples, max_size=8))
def test_samples_come_back_to_about_a_microsecond(taken: list[Sample]) -> None:
    back = decode_samples(encode_samples(taken))
    assert [(s.name, s.value, s.unit) for s in back] == [(s.name, s.value, s.unit) for s in taken]
    for sample, original in zip(back, taken, strict=True):
        assert abs(sample.time_ns - original.time_ns) < 1000


def test_the_wire_form_is_senml_with_the_labels_of_rfc_8428() -> None:
    payload = encode_samples(
        [
            Sample(name="temperature", value=21.5, unit="Cel", time_ns=1_700_000_000_000_000_000),
            Sample(name="door", value=True, time_ns=1_700_000_001_000_000_000),
        ]
    )
    assert cbor2.loads(payload) == [
        {0: "temperature", -3: 1_700_000_000.0, 1: "Cel", 2: 21.5},
        {0: "door", 6: 1.0, 4: True},
    ]


def test_a_failed_reading_is_marked_and_not_invented() -> None:
    payload = encode_samples([Sample(name="t", value=None, time_ns=0)])
    assert math.isnan(cbor2.loads(payload)[0][2])
    assert decode_samples(payload)[0].value is None


def test_shared_values_of_a_malicious_source_do_not_expand() -> None:
    # A base name of lists of a hundred references each, seven levels deep: 2 kB to 100^7 items.
    shared = b"\xd8\x1c\x98\x64"
    name = b"\x87" + shared + bytes(100)
    for level in range(6):
        name += shared + bytes((0xD8, 0x1D, level)) * 100
    with pytest.raises(RemoteProtocolError, match="tag"):
        decode_samples(b"\x81\xa2\x21" + name + b"\x02\x01")


@given(st.binary(max_size=200))
def test_any_bytes_give_samples_or_one_error(payload: bytes) -> None:
    try:
        decode_samples(payload)
    except RemoteProtocolError:
        pass


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.integers(-5, 9), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.lists(st.dictionaries(st.integers(-5, 9), json_like, max_size=6), max_size=4))
def test_any_records_give_samples_or_one_error(pack: list[object]) -> None:
    try:
        decode_samples(cbor2.dumps(pack))
    except RemoteProtocolError:
        pass


def test_bytes_behind_the_pack_are_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        decode_samples(encode_samples([]) + b"\x00")
