"""Stream parameters: ranges, the encoding, and what follows from them."""

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import T0, any_parameters, parameters, vectors

from tickseal import Profile, Renewal, StreamParameters, Suite
from tickseal.core import keyschedule
from tickseal.core.errors import ClockError, LocalProtocolError, RemoteProtocolError
from tickseal.primitives import sha256

VECTORS = vectors("parameters")


@pytest.mark.parametrize("vector", VECTORS["accepted"], ids=lambda v: v["context"][:8])
def test_gives_the_golden_encodings_and_contexts(vector: dict[str, Any]) -> None:
    encoding = bytes.fromhex(vector["encoding"])
    decoded = StreamParameters.decode(encoding)
    assert decoded.to_wire() == vector["map"]
    assert decoded.encode() == encoding
    metadata = bytes.fromhex(VECTORS["metadata"])
    context = keyschedule.context(PORT, metadata, encoding)
    assert context == bytes.fromhex(vector["context"])


class PORT:
    sha256 = staticmethod(sha256)


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda v: v["why"])
def test_refuses_the_golden_faults(vector: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError):
        StreamParameters.decode(bytes.fromhex(vector["encoding"]))


def test_the_defaults_are_the_protocols() -> None:
    assert StreamParameters(t0_ns=T0).to_wire() == VECTORS["defaults"] | {"generation": 0, "t0": T0}


@given(any_parameters())
def test_decoding_gives_back_what_was_encoded(settings: StreamParameters) -> None:
    assert StreamParameters.decode(settings.encode()) == settings
    assert len(settings.to_wire()) == len(fields(StreamParameters))


@given(st.binary(max_size=60))
def test_any_bytes_give_one_error(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        StreamParameters.decode(data)


@pytest.mark.parametrize(
    "changes",
    [
        {"depth": True}, {"depth": 49}, {"depth": 1.0}, {"suite": 0}, {"profile": 2},
        {"renewal": -1}, {"t0_ns": T0 + 1}, {"t0_ns": -1}, {"t0_ns": 2**64}, {"hash_length": 7},
        {"frame_bytes": 16 * 65536 + 1}, {"frame_bytes": 16 * 256 + 1, "profile": Profile.COMPACT},
    ],
    ids=repr,
)  # fmt: skip
def test_cannot_be_made_with_what_is_not_allowed(changes: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        parameters(**changes)


def test_the_most_segments_that_a_header_can_number_are_allowed() -> None:
    assert parameters(frame_bytes=16 * 65536).segment_count == 65536
    assert parameters(frame_bytes=16 * 256, profile=Profile.COMPACT).segment_count == 256


def test_plain_numbers_become_their_enums() -> None:
    settings = parameters(suite=3, renewal=0, profile=1)
    assert settings.suite is Suite.AES_128_CCM_8
    assert (settings.suite.key_bytes, settings.suite.tag_bytes) == (16, 8)
    assert settings.renewal is Renewal.EVERY_INTERVAL
    assert settings.profile is Profile.COMPACT


def test_overhead_is_48_bytes_by_default_and_24_at_the_least() -> None:
    assert parameters().overhead_bytes == 48
    least = parameters(profile=Profile.COMPACT, suite=Suite.AES_128_CCM_8, hash_length=8)
    assert least.overhead_bytes == 24


def test_ticks_begin_at_t0_and_end_with_the_tree() -> None:
    settings = parameters(depth=3, epoch_bits=2)
    assert settings.tick_count == 32
    assert parameters(depth=48, epoch_bits=32).tick_count == 2**64
    assert parameters(depth=0, epoch_bits=1).tick_count == 2**64
    assert settings.tick_at(T0) == settings.tick_at(T0 + settings.interval_ns - 1) == 0
    with pytest.raises(ClockError):
        settings.tick_at(T0 - 1)
