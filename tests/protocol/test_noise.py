"""What holds for every Noise handshake: with a real counterpart, and under attack."""

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from noise.connection import Keypair, NoiseConnection

from tickseal import primitives
from tickseal.core import constants
from tickseal.core.cipher import MESSAGE_MAX_BYTES, CipherState
from tickseal.core.errors import HandshakeError, LocalProtocolError, RemoteProtocolError
from tickseal.core.noise import IK_HFS_PSK2, IK_PSK2, K_PSK0, HandshakeState
from tickseal.core.symmetric import SymmetricState
from tickseal.mlkem import mlkem768

DEVICE, GATEWAY, PSK = b"d" * 32, b"g" * 32, b"p" * 32
PATTERNS = {"classical": IK_PSK2, "hybrid": IK_HFS_PSK2, "offline": K_PSK0}
# RFC 7748 section 6.1: points of small order, among them two that are not in reduced form.
LOW_ORDER = [
    bytes(32),
    bytes([1]) + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    (2**255 - 20).to_bytes(32, "little"),
    (2**255 - 19).to_bytes(32, "little"),
    (2**255 - 18).to_bytes(32, "little"),
]


def public(private: bytes) -> bytes:
    return primitives.x25519_public(private)


def pair(
    name: str, device: bytes = DEVICE, gateway: bytes = GATEWAY, psk: bytes = PSK
) -> tuple[HandshakeState, HandshakeState]:
    """Return initiator and responder who agree on everything."""
    pattern = PATTERNS[name]
    kem = mlkem768() if pattern is IK_HFS_PSK2 else None
    initiator = HandshakeState(
        primitives,
        os.urandom,
        pattern,
        initiator=True,
        prologue=b"tests",
        private=device,
        peer_public=public(gateway),
        psk=psk,
        kem=kem,
    )
    responder = HandshakeState(
        primitives,
        os.urandom,
        pattern,
        initiator=False,
        prologue=b"tests",
        private=gateway,
        peer_public=public(device) if pattern is K_PSK0 else None,
        psk=psk,
        kem=kem,
    )
    return initiator, responder


def shake(name: str, initiator: HandshakeState, responder: HandshakeState) -> None:
    responder.read_message(initiator.write_message(b"one"))
    if name != "offline":
        initiator.read_message(responder.write_message(b"two"))


@pytest.mark.parametrize("run", range(50))
@pytest.mark.parametrize("role", ["initiator", "responder"])
def test_shakes_hands_with_noiseprotocol(role: str, run: int) -> None:
    device, gateway, psk = os.urandom(32), os.urandom(32), os.urandom(32)
    peer = NoiseConnection.from_name(constants.NOISE_CLASSICAL)
    peer.set_psks(psk)
    peer.set_prologue(b"tests")
    initiator, responder = pair("classical", device, gateway, psk)
    payloads = [os.urandom(run * 7) for _ in range(2)]
    if role == "initiator":
        ours = initiator
        peer.set_as_responder()
        peer.set_keypair_from_private_bytes(Keypair.STATIC, gateway)
        peer.start_handshake()
        assert peer.read_message(ours.write_message(payloads[0])) == payloads[0]
        assert ours.read_message(bytes(peer.write_message(payloads[1]))) == payloads[1]
    else:
        ours = responder
        peer.set_as_initiator()
        peer.set_keypair_from_private_bytes(Keypair.STATIC, device)
        peer.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, public(gateway))
        peer.start_handshake()
        assert ours.read_message(bytes(peer.write_message(payloads[0]))) == payloads[0]
        assert ours.peer_public == public(device)
        assert peer.read_message(ours.write_message(payloads[1])) == payloads[1]
    assert ours.handshake_hash == peer.get_handshake_hash()
    send, receive, _ = ours.split()
    for size in (0, run, 1200):
        assert peer.decrypt(send.seal(bytes(size))) == bytes(size)
        assert receive.open(bytes(peer.encrypt(bytes(size)))) == bytes(size)


@pytest.mark.parametrize("name", PATTERNS)
def test_both_sides_agree_on_keys_hash_and_exporter(name: str) -> None:
    initiator, responder = pair(name)
    shake(name, initiator, responder)
    assert initiator.handshake_hash == responder.handshake_hash
    ours, theirs = initiator.split(), responder.split()
    assert ours[2] == theirs[2]
    assert theirs[1].open(ours[0].seal(b"forth", b"aad"), b"aad") == b"forth"
    assert ours[1].open(theirs[0].seal(b"back")) == b"back"


@pytest.mark.parametrize("name", PATTERNS)
def test_no_two_handshakes_of_one_pair_share_a_hash_or_a_secret(name: str) -> None:
    seen = set()
    for _ in range(2):
        initiator, responder = pair(name)
        shake(name, initiator, responder)
        seen |= {initiator.handshake_hash, initiator.split()[2]}
    assert len(seen) == 4


@given(st.data(), st.sampled_from(list(PATTERNS)), st.integers(0, 1))
def test_any_bit_flipped_in_any_message_ends_the_handshake(
    data: st.DataObject, name: str, number: int
) -> None:
    sides = pair(name)
    number = 0 if name == "offline" else number
    message = sides[0].write_message(b"payload")
    reader = sides[1]
    if number:
        reader.read_message(message)
        message, reader = reader.write_message(b"answer"), sides[0]
    bit = data.draw(st.integers(0, len(message) * 8 - 1))
    flipped = bytearray(message)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(HandshakeError):
        reader.read_message(bytes(flipped))
    with pytest.raises(LocalProtocolError):
        reader.read_message(message)
    with pytest.raises(LocalProtocolError):
        reader.split()
    assert reader.peer_public is None


@given(st.binary(max_size=2600), st.sampled_from(list(PATTERNS)), st.booleans())
def test_any_bytes_give_a_handshake_error(message: bytes, name: str, second: bool) -> None:
    initiator, responder = pair(name)
    reader = responder
    if second and name != "offline":
        initiator.write_message()
        reader = initiator
    with pytest.raises(HandshakeError):
        reader.read_message(message)


@pytest.mark.parametrize("name", PATTERNS)
def test_any_message_cut_or_lengthened_is_refused(name: str) -> None:
    message = pair(name)[0].write_message()
    for cut in (*range(0, len(message), 7), len(message) - 1):
        with pytest.raises(HandshakeError):
            pair(name)[1].read_message(message[:cut])
    for more in (1, MESSAGE_MAX_BYTES + 1 - len(message)):
        with pytest.raises(HandshakeError):
            pair(name)[1].read_message(message + bytes(more))


@pytest.mark.parametrize("point", LOW_ORDER, ids=bytes.hex)
def test_refuses_ephemeral_keys_that_make_the_secret_zero(point: bytes) -> None:
    initiator, responder = pair("classical")
    first, second = initiator.write_message(), bytes(32)
    with pytest.raises(HandshakeError, match="low order"):
        pair("classical")[1].read_message(point + first[32:])
    responder.read_message(first)
    second = responder.write_message()
    with pytest.raises(HandshakeError, match="low order"):
        initiator.read_message(point + second[32:])


@pytest.mark.parametrize("point", LOW_ORDER, ids=bytes.hex)
def test_refuses_static_keys_that_make_the_secret_zero(point: bytes) -> None:
    initiator = HandshakeState(
        primitives,
        os.urandom,
        IK_PSK2,
        initiator=True,
        prologue=b"",
        private=DEVICE,
        peer_public=point,
        psk=PSK,
    )
    with pytest.raises(HandshakeError, match="low order"):
        initiator.write_message()


@pytest.mark.parametrize("changed", ["psk", "gateway"])
@pytest.mark.parametrize("name", PATTERNS)
def test_another_psk_or_gateway_key_does_not_open(name: str, changed: str) -> None:
    initiator, responder = pair(name)[0], pair(name, **{changed: b"x" * 32})[1]
    with pytest.raises(HandshakeError, match="does not authenticate"):
        shake(name, initiator, responder)


def test_a_one_way_message_of_another_device_does_not_open() -> None:
    initiator, responder = pair("offline", device=b"x" * 32)[0], pair("offline")[1]
    with pytest.raises(HandshakeError, match="does not authenticate"):
        shake("offline", initiator, responder)


@pytest.mark.parametrize("name", PATTERNS)
def test_another_prologue_does_not_open(name: str) -> None:
    initiator, responder = pair(name)
    initiator._symmetric.mix_hash(b"")
    with pytest.raises(HandshakeError, match="does not authenticate"):
        shake(name, initiator, responder)


@pytest.mark.parametrize("name", ["classical", "hybrid"])
def test_the_psk_may_be_chosen_after_message_1_and_must_be_before_message_2(name: str) -> None:
    initiator = pair(name)[0]
    late = HandshakeState(
        primitives,
        os.urandom,
        PATTERNS[name],
        initiator=False,
        prologue=b"tests",
        private=GATEWAY,
        kem=mlkem768() if name == "hybrid" else None,
    )
    late.read_message(initiator.write_message())
    with pytest.raises(LocalProtocolError, match="PSK"):
        late.write_message()
    with pytest.raises(LocalProtocolError, match="32"):
        late.set_psk(PSK[:-1])
    late.set_psk(PSK)
    initiator.read_message(late.write_message())
    assert initiator.split()[2] == late.split()[2]


def test_out_of_turn_calls_are_the_callers_fault_and_spoil_nothing() -> None:
    initiator, responder = pair("classical")
    with pytest.raises(LocalProtocolError):
        initiator.read_message(b"")
    with pytest.raises(LocalProtocolError):
        responder.write_message()
    with pytest.raises(LocalProtocolError):
        initiator.split()
    shake("classical", initiator, responder)
    with pytest.raises(LocalProtocolError):
        initiator.write_message()
    initiator.split()
    with pytest.raises(LocalProtocolError):
        initiator.split()


@pytest.mark.parametrize(
    "wrong",
    [
        {"private": b"short"},
        {"peer_public": b"short"},
        {"peer_public": None},
        {"psk": b"short"},
        pytest.param({"kem": mlkem768()}, id="kem"),
        {"pattern": IK_HFS_PSK2},
        {"initiator": False},
    ],
    ids=str,
)
def test_a_handshake_cannot_begin_without_what_it_needs(wrong: dict[str, Any]) -> None:
    right: dict[str, Any] = {
        "pattern": IK_PSK2,
        "initiator": True,
        "prologue": b"",
        "private": DEVICE,
        "peer_public": public(GATEWAY),
        "psk": PSK,
    }
    HandshakeState(primitives, os.urandom, **right)
    with pytest.raises(LocalProtocolError):
        HandshakeState(primitives, os.urandom, **(right | wrong))


def test_a_payload_fills_a_noise_message_and_no_more() -> None:
    initiator, responder = pair("classical")
    room = MESSAGE_MAX_BYTES - len(pair("classical")[0].write_message())
    assert responder.read_message(initiator.write_message(bytes(room))) == bytes(room)
    with pytest.raises(LocalProtocolError, match="too long"):
        pair("classical")[0].write_message(bytes(room + 1))
    with pytest.raises(LocalProtocolError, match="too long"):
        CipherState(primitives, bytes(32)).seal(bytes(MESSAGE_MAX_BYTES - 15))
    with pytest.raises(RemoteProtocolError, match="too long"):
        CipherState(primitives, bytes(32)).open(bytes(MESSAGE_MAX_BYTES + 1))


def test_a_message_that_is_too_long_is_refused_even_from_a_peer_with_the_right_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    initiator, responder = pair("classical")
    with monkeypatch.context() as patched:
        patched.setattr("tickseal.core.noise.MESSAGE_MAX_BYTES", 1 << 17)
        message = initiator.write_message(bytes(MESSAGE_MAX_BYTES - 95))
    assert len(message) == MESSAGE_MAX_BYTES + 1
    with pytest.raises(HandshakeError, match="too long"):
        responder.read_message(message)


def test_randomness_that_fails_ends_the_handshake() -> None:
    def fail(_: int) -> bytes:
        raise OSError("no entropy")

    initiator, responder = pair("classical")
    responder._random_bytes = fail
    responder.read_message(initiator.write_message())
    with pytest.raises(OSError, match="no entropy"):
        responder.write_message()
    with pytest.raises(LocalProtocolError, match="ended"):
        responder.write_message()


def test_says_nothing_secret() -> None:
    initiator, responder = pair("classical")
    initiator.write_message()
    said = f"{initiator!r} {responder!r} {SymmetricState(primitives, b'name', b'')!r}"
    shake("classical", *(sides := pair("classical")))
    said += f"{sides[0].split()!r}".split(", b'", maxsplit=1)[0]
    assert "IKpsk2" in said
    for secret in (DEVICE, GATEWAY, PSK):
        assert secret.hex() not in said
        assert repr(secret)[2:-1] not in said
