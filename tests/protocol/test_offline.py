"""A generation opened while the gateway is away reaches that gateway, whole, and nobody else."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickseal import cbor, primitives
from tickseal.core import constants
from tickseal.core.errors import HandshakeError, LocalProtocolError, RemoteProtocolError
from tickseal.core.noise import K_PSK0, HandshakeState
from tickseal.streams.offline import (
    OfflineGeneration,
    open_offline_generation,
    seal_offline_generation,
)

VECTOR = json.loads((Path(__file__).parents[1] / "vectors" / "offline.json").read_text())
DEVICE, GATEWAY, PSK = b"d" * 32, b"g" * 32, b"p" * 32
GENERATION = OfflineGeneration(
    handle=7, metadata=b"metadata", parameters=b"parameters", salt=b"s" * 32, secret=b"i" * 32
)


def public(private: bytes) -> bytes:
    return primitives.x25519_public(private)


def seal(generation: OfflineGeneration = GENERATION) -> bytes:
    return seal_offline_generation(
        generation,
        private=DEVICE,
        gateway_public=public(GATEWAY),
        psk=PSK,
        random_bytes=os.urandom,
    )


def unseal(
    blob: bytes, gateway: bytes = GATEWAY, device: bytes = DEVICE, psk: bytes = PSK
) -> OfflineGeneration:
    return open_offline_generation(blob, private=gateway, device_public=public(device), psk=psk)


generations = st.builds(
    OfflineGeneration,
    handle=st.integers(1, 2**32 - 1),
    metadata=st.binary(min_size=1, max_size=1024),
    parameters=st.binary(min_size=1, max_size=512),
    salt=st.binary(min_size=32, max_size=32),
    secret=st.binary(min_size=32, max_size=32),
)


@given(generations)
def test_what_was_sealed_opens_at_the_gateway(generation: OfflineGeneration) -> None:
    assert unseal(seal(generation)) == generation


def test_opens_again_as_the_same_generation_so_that_a_replay_is_recognised() -> None:
    """The blob restores nothing by itself: its opener refuses a generation that it has opened."""
    blob = seal()
    assert unseal(blob) == unseal(blob) == GENERATION


def test_the_same_generation_sealed_twice_gives_blobs_that_have_nothing_in_common() -> None:
    first, second = seal(), seal()
    assert first[:32] != second[:32]
    assert not {first[at : at + 16] for at in range(32, len(first), 16)} & {
        second[at : at + 16] for at in range(32, len(second), 16)
    }


def test_a_blob_shows_neither_secret_nor_metadata() -> None:
    blob = seal()
    for hidden in (GENERATION.secret, GENERATION.salt, GENERATION.metadata, b"handle"):
        assert hidden not in blob


@pytest.mark.parametrize("changed", ["gateway", "device", "psk"])
def test_opens_for_no_other_gateway_device_or_psk(changed: str) -> None:
    with pytest.raises(HandshakeError):
        unseal(seal(), **{changed: b"x" * 32})


@given(st.data())
def test_any_bit_flipped_opens_nothing(data: st.DataObject) -> None:
    blob = bytearray(seal())
    bit = data.draw(st.integers(0, len(blob) * 8 - 1))
    blob[bit // 8] ^= 1 << bit % 8
    with pytest.raises(HandshakeError):
        unseal(bytes(blob))


@given(st.binary(max_size=600))
def test_any_bytes_give_a_handshake_error(blob: bytes) -> None:
    with pytest.raises(HandshakeError):
        unseal(blob)


def seal_raw(payload: bytes) -> bytes:
    """Return a blob of the right keys with another payload: a faulty or malicious device."""
    return HandshakeState(
        primitives,
        os.urandom,
        K_PSK0,
        initiator=True,
        prologue=constants.OFFLINE_PROLOGUE,
        private=DEVICE,
        peer_public=public(GATEWAY),
        psk=PSK,
    ).write_message(payload)


RIGHT: dict[str, Any] = {
    "handle": 7,
    "metadata": b"m",
    "parameters": b"p",
    "salt": bytes(32),
    "secret": bytes(32),
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"handle": 0},
        {"handle": 2**32},
        {"handle": True},
        {"handle": "7"},
        {"metadata": b""},
        {"metadata": bytes(1025)},
        {"metadata": "text"},
        {"parameters": b""},
        {"parameters": None},
        {"salt": bytes(31)},
        {"salt": 0},
        {"secret": bytes(33)},
        {"secret": []},
        {"more": 1},
    ],
    ids=lambda wrong: str(wrong)[:30],
)
def test_refuses_what_a_device_must_not_seal(wrong: dict[str, Any]) -> None:
    assert unseal(seal_raw(cbor.encode(RIGHT))).handle == 7
    with pytest.raises(RemoteProtocolError):
        unseal(seal_raw(cbor.encode(RIGHT | wrong)))


@given(st.binary(max_size=200))
def test_any_payload_of_a_device_gives_a_remote_protocol_error(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        unseal(seal_raw(payload))


@pytest.mark.parametrize("missing", RIGHT)
def test_refuses_a_map_without_one_of_its_keys(missing: str) -> None:
    with pytest.raises(RemoteProtocolError, match="five"):
        unseal(seal_raw(cbor.encode({key: RIGHT[key] for key in RIGHT if key != missing})))


def test_what_fits_no_control_message_is_neither_sealed_nor_opened() -> None:
    with pytest.raises(LocalProtocolError, match="fits no message"):
        seal(replace(GENERATION, parameters=bytes(constants.CONTROL_MAX_BYTES)))
    with pytest.raises(HandshakeError, match="too long"):
        unseal(seal_raw(bytes(constants.CONTROL_MAX_BYTES)))


def test_gives_the_golden_blob_and_reads_it() -> None:
    values = {
        key: bytes.fromhex(value["$bytes"]) if isinstance(value, dict) else value
        for key, value in VECTOR["map"].items()
    }
    generation = OfflineGeneration(**values)
    blob = seal_offline_generation(
        generation,
        private=bytes.fromhex(VECTOR["device_static"]),
        gateway_public=bytes.fromhex(VECTOR["gateway_static_public"]),
        psk=bytes.fromhex(VECTOR["psk"]),
        random_bytes=lambda _: bytes.fromhex(VECTOR["device_ephemeral"]),
    )
    assert blob.hex() == VECTOR["blob"]
    assert open_golden(blob) == generation


@pytest.mark.parametrize("refused", VECTOR["refused"], ids=lambda refused: refused["why"])
def test_refuses_the_golden_forgeries(refused: dict[str, str]) -> None:
    with pytest.raises(HandshakeError):
        open_golden(bytes.fromhex(refused["blob"]))


def open_golden(blob: bytes) -> OfflineGeneration:
    return open_offline_generation(
        blob,
        private=bytes.fromhex(VECTOR["gateway_static"]),
        device_public=bytes.fromhex(VECTOR["device_static_public"]),
        psk=bytes.fromhex(VECTOR["psk"]),
    )


def test_says_nothing_secret() -> None:
    assert "iiii" not in repr(GENERATION)
    assert "ssss" not in repr(GENERATION)
