"""ML-KEM-768 in the hybrid handshake: its golden vectors, invalid keys, and machines without it."""

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

from tickseal import primitives
from tickseal.core import constants
from tickseal.core.errors import ConfigError, HandshakeError, LocalProtocolError
from tickseal.core.noise import IK_HFS_PSK2, HandshakeState
from tickseal.handshake import Initiator, Responder
from tickseal.mlkem import MLKEM768, mlkem768

VECTOR = json.loads((Path(__file__).parents[1] / "vectors" / "handshake_hybrid.json").read_text())
DEVICE, GATEWAY, PSK = b"d" * 32, b"g" * 32, b"p" * 32


def hybrid(private: bytes, peer_public: bytes | None, kem: MLKEM768) -> HandshakeState:
    return HandshakeState(
        primitives,
        os.urandom,
        IK_HFS_PSK2,
        initiator=peer_public is not None,
        prologue=b"tests",
        private=private,
        peer_public=peer_public,
        psk=PSK,
        kem=kem,
    )


class FixedKEM(MLKEM768):
    """ML-KEM-768 whose two random results are those of the golden vectors."""

    def generate(self) -> tuple[MLKEM768PrivateKey, bytes]:
        private = MLKEM768PrivateKey.from_seed_bytes(bytes.fromhex(VECTOR["kem_seed"]))
        return private, private.public_key().public_bytes_raw()

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        assert public.hex() == VECTOR["kem_public"]
        return (
            bytes.fromhex(VECTOR["kem_shared_secret"]),
            bytes.fromhex(VECTOR["kem_ciphertext"]),
        )


def golden(role: str, peer_public: bytes | None) -> HandshakeState:
    return HandshakeState(
        primitives,
        lambda _: bytes.fromhex(VECTOR[role + "_ephemeral"]),
        IK_HFS_PSK2,
        initiator=role == "initiator",
        prologue=constants.PROLOGUE,
        private=bytes.fromhex(VECTOR[role + "_static"]),
        peer_public=peer_public,
        kem=FixedKEM(),
    )


def golden_pair() -> tuple[HandshakeState, HandshakeState]:
    gateway_public = bytes.fromhex(VECTOR["responder_static_public"])
    return golden("initiator", gateway_public), golden("responder", None)


@pytest.mark.parametrize("handshake", VECTOR["handshakes"], ids=lambda one: one["name"])
def test_gives_the_golden_hybrid_handshakes(handshake: dict[str, Any]) -> None:
    initiator, responder = golden_pair()
    psk = bytes.fromhex(handshake["psk"])
    initiator.set_psk(psk)
    responder.set_psk(psk)
    first = initiator.write_message(bytes.fromhex(handshake["payload_1"]))
    assert first.hex() == handshake["message_1"]
    assert responder.read_message(first).hex() == handshake["payload_1"]
    second = responder.write_message(bytes.fromhex(handshake["payload_2"]))
    assert second.hex() == handshake["message_2"]
    assert initiator.read_message(second).hex() == handshake["payload_2"]
    assert initiator.handshake_hash.hex() == handshake["h"]
    exporter = initiator.split()[2]
    assert exporter == responder.split()[2]
    assert exporter.hex() == handshake.get("exporter", exporter.hex())


@pytest.mark.parametrize("forgery", VECTOR["refused"], ids=lambda one: one["why"])
def test_refuses_the_golden_hybrid_forgeries(forgery: dict[str, Any]) -> None:
    initiator, responder = golden_pair()
    initiator.set_psk(bytes.fromhex(VECTOR["handshakes"][1]["psk"]))
    initiator.write_message()
    side = responder if forgery["message"] == 1 else initiator
    with pytest.raises(HandshakeError):
        side.read_message(bytes.fromhex(forgery["bytes"]))


def test_refuses_a_kem_key_that_is_no_encoding_of_one() -> None:
    """FIPS 203 section 7.2: a device that holds the right keys, and an invalid ML-KEM key."""

    class Liar(MLKEM768):
        def generate(self) -> tuple[MLKEM768PrivateKey, bytes]:
            private, _ = super().generate()
            return private, b"\xff" * self.public_bytes

    liar = hybrid(DEVICE, primitives.x25519_public(GATEWAY), Liar())
    responder = hybrid(GATEWAY, None, mlkem768())
    responder.read_message(liar.write_message())
    with pytest.raises(HandshakeError, match="KEM key"):
        responder.write_message()
    with pytest.raises(LocalProtocolError):
        responder.split()


def test_a_kem_that_refuses_a_ciphertext_ends_the_handshake() -> None:
    class Strict(MLKEM768):
        def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
            raise ValueError

    initiator = hybrid(DEVICE, primitives.x25519_public(GATEWAY), Strict())
    responder = hybrid(GATEWAY, None, mlkem768())
    responder.read_message(initiator.write_message())
    with pytest.raises(HandshakeError, match="KEM ciphertext"):
        initiator.read_message(responder.write_message())


def test_mlkem_opens_with_its_own_private_keys_only() -> None:
    kem = mlkem768()
    private, public_key = kem.generate()
    secret, ciphertext = kem.encapsulate(public_key)
    assert kem.decapsulate(private, ciphertext) == secret
    assert kem.decapsulate(private, bytes(kem.ciphertext_bytes)) != secret
    with pytest.raises(LocalProtocolError):
        kem.decapsulate(bytes(64), ciphertext)
    with pytest.raises(ValueError, match="ciphertext"):
        kem.decapsulate(private, ciphertext[:-1])


def test_without_mlkem_the_classical_handshake_works_and_the_hybrid_one_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gateway = Responder(private=GATEWAY, random_bytes=os.urandom)
    device = partial(
        Initiator,
        private=DEVICE,
        gateway_public=primitives.x25519_public(GATEWAY),
        psk=PSK,
        random_bytes=os.urandom,
    )
    first = device(hybrid=True).first_record()
    mlkem768.cache_clear()
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.mlkem", None)
    monkeypatch.delattr("cryptography.hazmat.primitives.asymmetric.mlkem", raising=False)
    try:
        with pytest.raises(ConfigError, match="install cryptography 50"):
            device(hybrid=True)
        with pytest.raises(HandshakeError, match="ML-KEM"):
            gateway.read_first(*first)
        initiator = device(hybrid=False)
        gateway.read_first(*initiator.first_record())
        initiator.read_answer(*gateway.accept(PSK)[0])
    finally:
        mlkem768.cache_clear()


def test_mlkem_that_is_there_and_not_supported_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unsupported(_: MLKEM768) -> None:
        raise UnsupportedAlgorithm("ML-KEM")

    monkeypatch.setattr(MLKEM768, "generate", unsupported)
    with pytest.raises(ConfigError, match="install cryptography 50"):
        MLKEM768()
