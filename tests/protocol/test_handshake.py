"""What a device and a gateway can rely on when they shake hands, and what an attacker gets."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickseal import primitives
from tickseal.core.constants import (
    RECORD_ANSWER,
    RECORD_CLASSICAL,
    RECORD_CONTROL,
    RECORD_HYBRID,
    RECORD_REFUSAL,
)
from tickseal.core.errors import (
    HandshakeError,
    LocalProtocolError,
    RemoteProtocolError,
)
from tickseal.handshake import (
    REFUSAL_PSK,
    REFUSAL_REASONS,
    FirstRecord,
    HandshakeRefused,
    Initiator,
    Responder,
)

VECTORS = Path(__file__).parents[1] / "vectors"
DEVICE, GATEWAY, PSK = b"d" * 32, b"g" * 32, b"p" * 32
INVITE_ID = b"invite#1"
both = pytest.mark.parametrize("hybrid", [False, True], ids=["classical", "hybrid"])


def public(private: bytes) -> bytes:
    return primitives.x25519_public(private)


def device(hybrid: bool = False, **changes: Any) -> Initiator:
    values: dict[str, Any] = {
        "private": DEVICE,
        "gateway_public": public(GATEWAY),
        "psk": PSK,
        "hybrid": hybrid,
        "random_bytes": os.urandom,
    }
    return Initiator(**(values | changes))


def gateway(**changes: Any) -> Responder:
    return Responder(**({"private": GATEWAY, "random_bytes": os.urandom} | changes))


def met(hybrid: bool) -> tuple[Initiator, Responder]:
    """Return a device and a gateway that has read its first record."""
    initiator, responder = device(hybrid), gateway()
    responder.read_first(*initiator.first_record())
    return initiator, responder


@both
def test_device_and_gateway_agree_and_can_talk(hybrid: bool) -> None:
    initiator, responder = device(hybrid, invite_id=INVITE_ID), gateway(public=public(GATEWAY))
    first = initiator.first_record()
    assert first[0] == (RECORD_HYBRID if hybrid else RECORD_CLASSICAL)
    assert responder.read_first(*first) == FirstRecord(
        device_public=public(DEVICE), invite_id=INVITE_ID, hybrid=hybrid
    )
    answer, theirs = responder.accept(PSK)
    ours = initiator.read_answer(*answer)
    assert ours.handshake_hash == theirs.handshake_hash
    assert theirs.receive.open(ours.send.seal(b"hello")) == b"hello"
    assert ours.receive.open(theirs.send.seal(b"welcome")) == b"welcome"
    assert ours.exporter.device_psk() == theirs.exporter.device_psk()
    for stream, generation in (("a", 1), ("a", 2), ("b", 2**64 - 1)):
        secret = ours.exporter.initial_secret(stream, generation)
        assert secret == theirs.exporter.initial_secret(stream, generation)


def test_secrets_differ_by_stream_by_generation_by_use_and_by_session() -> None:
    seen = set()
    for _ in range(2):
        initiator, responder = met(False)
        ours = initiator.read_answer(*responder.accept(PSK)[0])
        for stream, generation in (("a", 1), ("a", 1), ("a", 2), ("b", 1)):
            seen.add(ours.exporter.initial_secret(stream, generation))
    assert len(seen) == 8


def test_the_device_psk_is_had_once_and_first() -> None:
    initiator, responder = met(False)
    answer, theirs = responder.accept(PSK)
    theirs.exporter.device_psk()
    with pytest.raises(LocalProtocolError):
        theirs.exporter.device_psk()
    ours = initiator.read_answer(*answer)
    ours.exporter.initial_secret("a", 1)
    with pytest.raises(LocalProtocolError):
        ours.exporter.device_psk()


def test_a_generation_that_is_no_u64_gets_no_secret() -> None:
    established = met(False)[1].accept(PSK)[1]
    for generation in (-1, 2**64):
        with pytest.raises(LocalProtocolError, match="64 bits"):
            established.exporter.initial_secret("a", generation)


def test_after_clear_nothing_can_be_had() -> None:
    established = met(False)[1].accept(PSK)[1]
    established.clear()
    with pytest.raises(LocalProtocolError):
        established.send.seal(b"")
    with pytest.raises(LocalProtocolError):
        established.receive.open(bytes(16))
    with pytest.raises(LocalProtocolError):
        established.exporter.initial_secret("a", 1)


@both
@pytest.mark.parametrize("reason", REFUSAL_REASONS)
def test_a_refusal_names_its_reason_and_opens_no_session(reason: str, hybrid: bool) -> None:
    initiator, responder = met(hybrid)
    refusal = responder.refuse(reason)
    assert refusal[0] == RECORD_REFUSAL
    with pytest.raises(HandshakeRefused) as caught:
        initiator.read_answer(*refusal)
    assert caught.value.reason == reason
    assert reason in str(caught.value)
    for over in (initiator, responder):
        with pytest.raises(LocalProtocolError):
            over._state.split()  # type: ignore[union-attr]
    with pytest.raises(LocalProtocolError):
        responder.accept(PSK)


@both
def test_only_the_gateway_can_refuse(hybrid: bool) -> None:
    """Who knows the refusal PSK, which all do, and not the gateway's key, cannot make a refusal."""
    initiator = device(hybrid)
    first = initiator.first_record()
    thief = gateway(private=b"t" * 32)
    with pytest.raises(HandshakeError):
        thief.read_first(*first)
    other = device(hybrid, gateway_public=public(b"t" * 32))
    thief.read_first(*other.first_record())
    with pytest.raises(HandshakeError, match="does not authenticate"):
        initiator.read_answer(*thief.refuse("revoked"))


@both
def test_a_refusal_cannot_be_turned_into_an_answer_nor_an_answer_into_a_refusal(
    hybrid: bool,
) -> None:
    initiator, responder = met(hybrid)
    with pytest.raises(HandshakeError, match="does not authenticate") as caught:
        initiator.read_answer(RECORD_ANSWER, responder.refuse("unknown")[1])
    assert not isinstance(caught.value, HandshakeRefused)
    initiator, responder = met(hybrid)
    with pytest.raises(HandshakeError, match="does not authenticate") as caught:
        initiator.read_answer(RECORD_REFUSAL, responder.accept(PSK)[0][1])
    assert not isinstance(caught.value, HandshakeRefused)


def test_an_answer_made_with_the_refusal_psk_opens_no_session() -> None:
    initiator, responder = met(False)
    with pytest.raises(HandshakeError):
        initiator.read_answer(*responder.accept(REFUSAL_PSK)[0])


def test_an_answer_with_a_payload_opens_no_session() -> None:
    initiator, responder = met(False)
    state = responder._answerable()
    state.set_psk(PSK)
    with pytest.raises(HandshakeError, match="payload"):
        initiator.read_answer(RECORD_ANSWER, state.write_message(b"more"))
    with pytest.raises(LocalProtocolError):
        initiator._state.split()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"\xa0",
        b"\xa2freasondbusyamgrefused",
        bytes.fromhex("a2616d677265667573656466726561736f6e646c617465"),
    ],
    ids=["empty", "not CBOR", "no keys", "not deterministic", "an unknown reason"],
)
def test_a_refusal_that_cannot_be_read_is_a_handshake_error(payload: bytes) -> None:
    initiator, responder = met(False)
    state = responder._answerable()
    state.set_psk(REFUSAL_PSK)
    with pytest.raises(HandshakeError) as caught:
        initiator.read_answer(RECORD_REFUSAL, state.write_message(payload))
    assert not isinstance(caught.value, HandshakeRefused)


@both
def test_another_psk_establishes_nothing_at_the_device_and_nothing_usable_at_the_gateway(
    hybrid: bool,
) -> None:
    initiator, responder = met(hybrid)
    answer, theirs = responder.accept(b"x" * 32)
    with pytest.raises(HandshakeError, match="does not authenticate"):
        initiator.read_answer(*answer)
    with pytest.raises(RemoteProtocolError):
        theirs.receive.open(bytes(32))


@both
def test_another_gateway_can_read_nothing_of_a_first_record(hybrid: bool) -> None:
    with pytest.raises(HandshakeError):
        gateway(private=b"x" * 32).read_first(*device(hybrid).first_record())


@both
def test_a_replayed_first_record_yields_ciphers_that_open_nothing(hybrid: bool) -> None:
    initiator, responder = device(hybrid), gateway()
    first = initiator.first_record()
    responder.read_first(*first)
    ours = initiator.read_answer(*responder.accept(PSK)[0])
    hello = ours.send.seal(b"hello")
    again = gateway()
    assert again.read_first(*first).device_public == public(DEVICE)
    _, replayed = again.accept(PSK)
    with pytest.raises(RemoteProtocolError):
        replayed.receive.open(hello)


@both
def test_a_record_whose_pattern_was_changed_on_the_way_fails(hybrid: bool) -> None:
    record_type, body = device(hybrid).first_record()
    other = RECORD_CLASSICAL if record_type == RECORD_HYBRID else RECORD_HYBRID
    with pytest.raises(HandshakeError):
        gateway().read_first(other, body)


def test_a_classical_device_cannot_answer_for_a_hybrid_one_unseen() -> None:
    """No fall back: the gateway sees the pattern and refuses; a hybrid device accepts no other."""
    seen = gateway().read_first(*device(hybrid=False).first_record())
    assert not seen.hybrid
    initiator, responder = device(hybrid=True), gateway()
    initiator.first_record()
    responder.read_first(*device(hybrid=False).first_record())
    with pytest.raises(HandshakeError):
        initiator.read_answer(*responder.accept(PSK)[0])


@pytest.mark.parametrize(
    ("message", "start", "size"),
    [(1, 32, 1184 + 16), (2, 32, 1088 + 16)],
    ids=["e1", "ekem1"],
)
@given(data=st.data())
def test_tampering_with_the_kem_fields_fails(
    message: int, start: int, size: int, data: st.DataObject
) -> None:
    initiator, responder = device(hybrid=True), gateway()
    bit = data.draw(st.integers(start * 8, (start + size) * 8 - 1))

    def tamper(body: bytes) -> bytes:
        changed = bytearray(body)
        changed[bit // 8] ^= 1 << bit % 8
        return bytes(changed)

    record_type, body = initiator.first_record()
    if message == 1:
        with pytest.raises(HandshakeError, match="KEM key"):
            responder.read_first(record_type, tamper(body))
        return
    responder.read_first(record_type, body)
    (answer_type, answer), _ = responder.accept(PSK)
    with pytest.raises(HandshakeError, match="KEM ciphertext"):
        initiator.read_answer(answer_type, tamper(answer))


@given(st.integers(0, 255), st.binary(max_size=2600), st.booleans())
def test_any_record_gives_a_handshake_error(record_type: int, body: bytes, hybrid: bool) -> None:
    with pytest.raises(HandshakeError):
        gateway().read_first(record_type, body)
    initiator = device(hybrid)
    initiator.first_record()
    with pytest.raises(HandshakeError):
        initiator.read_answer(record_type, body)


def test_after_a_record_out_of_place_the_handshake_is_over() -> None:
    initiator, responder = met(False)
    answer = responder.accept(PSK)[0]
    with pytest.raises(HandshakeError, match="type 5"):
        initiator.read_answer(RECORD_CONTROL, answer[1])
    with pytest.raises(LocalProtocolError):
        initiator.read_answer(*answer)


def test_out_of_order_calls_are_the_callers_fault() -> None:
    with pytest.raises(LocalProtocolError):
        gateway().accept(PSK)
    with pytest.raises(LocalProtocolError):
        gateway().refuse("unknown")
    with pytest.raises(LocalProtocolError):
        device().read_answer(RECORD_ANSWER, bytes(48))
    initiator, responder = met(False)
    with pytest.raises(LocalProtocolError):
        initiator.first_record()
    with pytest.raises(LocalProtocolError):
        responder.read_first(*device().first_record())
    with pytest.raises(LocalProtocolError, match="busy"):
        responder.refuse("no such reason")
    responder.refuse("busy")
    with pytest.raises(LocalProtocolError):
        responder.refuse("busy")


def test_cleared_sides_go_on_no_further() -> None:
    initiator, responder = met(False)
    initiator.clear()
    responder.clear()
    with pytest.raises(LocalProtocolError):
        initiator.read_answer(RECORD_ANSWER, bytes(48))
    with pytest.raises(LocalProtocolError):
        responder.accept(PSK)
    gateway().clear()


def test_an_invite_id_has_eight_bytes() -> None:
    with pytest.raises(LocalProtocolError, match="8"):
        device(invite_id=b"short")
    initiator = device()
    initiator._invite_id = b"short"
    responder = gateway()
    with pytest.raises(HandshakeError, match="8"):
        responder.read_first(*initiator.first_record())
    with pytest.raises(LocalProtocolError):
        responder.accept(PSK)


@pytest.mark.parametrize("name", ["enrolment", "an enrolled device", "a refusal"])
def test_reads_and_writes_the_golden_records(name: str) -> None:
    vector = json.loads((VECTORS / "handshake_classical.json").read_text())
    (handshake,) = (one for one in vector["handshakes"] if one["name"] == name)
    psk = bytes.fromhex(handshake["psk"])
    initiator = Initiator(
        private=bytes.fromhex(vector["initiator_static"]),
        gateway_public=bytes.fromhex(vector["responder_static_public"]),
        psk=psk,
        hybrid=False,
        random_bytes=lambda _: bytes.fromhex(vector["initiator_ephemeral"]),
        invite_id=bytes.fromhex(handshake["payload_1"]),
    )
    responder = Responder(
        private=bytes.fromhex(vector["responder_static"]),
        random_bytes=lambda _: bytes.fromhex(vector["responder_ephemeral"]),
    )
    record_type, body = initiator.first_record()
    # A record on the wire is length, type and body.
    assert handshake["record_1"][4:] == f"{record_type:02x}{body.hex()}"
    responder.read_first(record_type, body)
    if name == "a refusal":
        record_type, body = responder.refuse("unknown")
        assert handshake["record_2"][4:] == f"{record_type:02x}{body.hex()}"
        return
    (record_type, body), theirs = responder.accept(psk)
    assert handshake["record_2"][4:] == f"{record_type:02x}{body.hex()}"
    ours = initiator.read_answer(record_type, body)
    assert ours.handshake_hash.hex() == handshake["h"]
    if "device_psk" in handshake:
        assert theirs.exporter.device_psk().hex() == handshake["device_psk"]


def test_says_nothing_secret() -> None:
    initiator, responder = device(True), gateway()
    said = f"{initiator!r}{responder!r}"
    responder.read_first(*initiator.first_record())
    said += f"{initiator!r}{responder!r}"
    answer, theirs = responder.accept(PSK)
    said += f"{initiator.read_answer(*answer)!r}{theirs!r}"
    assert "Exporter" in said
    assert "b'" not in said
