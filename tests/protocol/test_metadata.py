"""Stream metadata: what is allowed, and that its encoding never changes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import vectors
from test_cbor import from_notation

from tickseal import StreamMetadata, cbor
from tickseal.core.errors import LocalProtocolError, RemoteProtocolError

NAMED = ("id", "type", "qos", "unit")


@pytest.mark.parametrize("vector", vectors("metadata")["accepted"], ids=lambda v: v["digest"][:8])
def test_gives_the_golden_encodings(vector: dict[str, Any]) -> None:
    content, encoding = from_notation(vector["map"]), bytes.fromhex(vector["encoding"])
    named = {key: content.pop(key) for key in NAMED if key in content}
    metadata = StreamMetadata(**named, extra=content)
    assert metadata.encode() == encoding
    assert metadata.digest() == bytes.fromhex(vector["digest"])
    decoded = StreamMetadata.decode(encoding)
    assert decoded == metadata
    assert hash(decoded) == hash(metadata)
    assert (decoded.id, decoded.type, decoded.extra) == (named["id"], named["type"], content)


@pytest.mark.parametrize("vector", vectors("metadata")["refused"], ids=lambda v: v["why"])
def test_refuses_the_golden_faults(vector: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError):
        StreamMetadata.decode(bytes.fromhex(vector["encoding"]))


@pytest.mark.parametrize(
    "fields",
    [
        {"id": ""}, {"id": "a" * 129}, {"id": "a\nb"}, {"id": 7}, {"id": "\ud800"}, {"type": ""},
        {"type": None}, {"type": "\x9f"}, {"qos": 256}, {"qos": -1}, {"qos": True}, {"qos": ""},
        {"qos": 1.0}, {"qos": "a\x00"}, {"unit": ""}, {"unit": "u" * 33}, {"unit": "\x7f"},
        {"extra": {"id": 1}}, {"extra": {"qos": None}}, {"extra": {1: 2}}, {"extra": {"a": set()}},
        {"extra": {"a": bytes(1024)}},
    ],
    ids=repr,
)  # fmt: skip
def test_cannot_be_made_with_what_is_not_allowed(fields: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        StreamMetadata(**{"id": "a", "type": "b"} | fields)


def test_a_change_of_the_extra_map_changes_no_key() -> None:
    extra: dict[str, Any] = {"place": ["bed", 2]}
    metadata = StreamMetadata("a", "b", extra=extra)
    before = metadata.encode()
    extra["more"] = 1
    extra["place"].append(3)
    assert metadata.encode() == before
    assert "more" not in metadata.extra


def test_is_equal_by_what_the_keys_are_bound_to() -> None:
    one, true = (StreamMetadata("a", "b", extra={"n": n}) for n in (1, True))
    assert one != true
    assert one == StreamMetadata("a", "b", extra={"n": 1})
    assert len({one, true, StreamMetadata("a", "b", extra={"n": 1})}) == 2
    assert one != "a"


@given(st.binary(max_size=80))
def test_any_bytes_give_metadata_or_one_error(data: bytes) -> None:
    try:
        metadata = StreamMetadata.decode(data)
    except RemoteProtocolError:
        return
    assert metadata.encode() == data


def test_more_than_1024_bytes_are_not_even_decoded() -> None:
    with pytest.raises(RemoteProtocolError, match="1024"):
        StreamMetadata.decode(b"\xc0" * 1025)
    with pytest.raises(RemoteProtocolError, match="map"):
        StreamMetadata.decode(cbor.encode(["id", "type"]))
