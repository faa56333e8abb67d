"""The Noise handshake and the exporter give what published and golden vectors say.

Plain functions: CPython and MicroPython run this file.
"""

import json
from binascii import unhexlify

from tickseal.core import constants
from tickseal.core.cipher import CipherState
from tickseal.core.errors import HandshakeError, LocalProtocolError, RemoteProtocolError
from tickseal.core.exporter import Exporter
from tickseal.core.noise import IK_PSK2, K_PSK0, HandshakeState

try:
    from tickseal import primitives
except ImportError:
    from device import primitives

VECTORS = __file__.rsplit("/", 2)[0] + "/vectors/"
PATTERNS = {IK_PSK2[0].decode(): IK_PSK2, K_PSK0[0].decode(): K_PSK0}


def load(name):
    with open(VECTORS + name) as file:  # noqa: PTH123  # MicroPython has no pathlib
        return json.load(file)


def raises(error, function, *arguments):
    try:
        function(*arguments)
    except error:
        return True
    return False


def published(vector):
    """Return both sides of a published vector."""
    sides = []
    for side in ("init", "resp"):
        ephemeral = vector.get(side + "_ephemeral")
        remote = vector.get(side + "_remote_static")
        private = unhexlify(vector[side + "_static"])
        sides.append(
            HandshakeState(
                primitives,
                lambda size, key=ephemeral: unhexlify(key),
                PATTERNS[vector["protocol_name"]],
                initiator=side == "init",
                prologue=unhexlify(vector[side + "_prologue"]),
                private=private,
                peer_public=unhexlify(remote) if remote else None,
                psk=unhexlify(vector[side + "_psks"][0]),
            )
        )
    return sides


def golden(vector, handshake):
    """Return both sides of a golden handshake, the responder without its PSK."""
    initiator = HandshakeState(
        primitives,
        lambda size: unhexlify(vector["initiator_ephemeral"]),
        IK_PSK2,
        initiator=True,
        prologue=constants.PROLOGUE,
        private=unhexlify(vector["initiator_static"]),
        public=unhexlify(vector["initiator_static_public"]),
        peer_public=unhexlify(vector["responder_static_public"]),
        psk=unhexlify(handshake["psk"]),
    )
    responder = HandshakeState(
        primitives,
        lambda size: unhexlify(vector["responder_ephemeral"]),
        IK_PSK2,
        initiator=False,
        prologue=constants.PROLOGUE,
        private=unhexlify(vector["responder_static"]),
        public=unhexlify(vector["responder_static_public"]),
    )
    return initiator, responder


def test_gives_the_published_vectors_and_their_transport_messages():
    for vector in load("noise_25519_chachapoly_sha256.json")["vectors"]:
        writer, reader = initiator, responder = published(vector)
        one_way = vector["protocol_name"] == K_PSK0[0].decode()
        count = 1 if one_way else 2
        for message in vector["messages"][:count]:
            payload, sealed = unhexlify(message["payload"]), unhexlify(message["ciphertext"])
            assert writer.write_message(payload) == sealed
            assert reader.read_message(sealed) == payload
            writer, reader = reader, writer
        assert initiator.handshake_hash == unhexlify(vector["handshake_hash"])
        assert responder.handshake_hash == unhexlify(vector["handshake_hash"])
        ours, theirs = initiator.split(), responder.split()
        assert ours[2] == theirs[2]
        for number, message in enumerate(vector["messages"][count:]):
            payload, sealed = unhexlify(message["payload"]), unhexlify(message["ciphertext"])
            forth = one_way or number % 2 == 0
            assert (ours if forth else theirs)[0].seal(payload) == sealed
            assert (theirs if forth else ours)[1].open(sealed) == payload


def test_gives_the_golden_handshakes():
    vector = load("handshake_classical.json")
    for handshake in vector["handshakes"]:
        initiator, responder = golden(vector, handshake)
        first, second = unhexlify(handshake["message_1"]), unhexlify(handshake["message_2"])
        assert initiator.write_message(unhexlify(handshake["payload_1"])) == first
        assert responder.read_message(first) == unhexlify(handshake["payload_1"])
        assert responder.peer_public == unhexlify(vector["initiator_static_public"])
        responder.set_psk(unhexlify(handshake["psk"]))
        assert responder.write_message(unhexlify(handshake["payload_2"])) == second
        assert initiator.read_message(second) == unhexlify(handshake["payload_2"])
        assert initiator.handshake_hash == unhexlify(handshake["h"])
        ours, theirs = initiator.split(), responder.split()
        if "exporter" not in handshake:
            continue
        assert ours[2] == theirs[2] == unhexlify(handshake["exporter"])
        for message in handshake["transport"]:
            sender, receiver = (ours, theirs) if message["key"] == "k1" else (theirs, ours)
            sealed = unhexlify(message["ciphertext"])
            assert sender[0].seal(unhexlify(message["plaintext"])) == sealed
            assert receiver[1].open(sealed) == unhexlify(message["plaintext"])


def test_refuses_the_golden_forgeries_and_is_over_afterwards():
    vector = load("handshake_classical.json")
    handshake = next(one for one in vector["handshakes"] if one["name"] == "an enrolled device")
    for forgery in vector["refused"]:
        initiator, responder = golden(vector, handshake)
        initiator.write_message()
        side = responder if forgery["message"] == 1 else initiator
        assert raises(HandshakeError, side.read_message, unhexlify(forgery["bytes"])), forgery
        right = unhexlify(handshake["message_%d" % forgery["message"]])
        assert raises(LocalProtocolError, side.read_message, right)
        assert raises(LocalProtocolError, side.write_message)
        assert raises(LocalProtocolError, side.split)
        assert side.peer_public is None
        assert side.handshake_hash == b""


def test_gives_the_golden_exports_in_order():
    for case in load("exporter.json")["chains"]:
        exporter = Exporter(primitives, unhexlify(case["exporter"]), unhexlify(case["h"]))
        for use in case["uses"]:
            if use["use"] == "psk":
                output = exporter.device_psk()
            else:
                output = exporter.initial_secret(use["stream"], use["generation"])
            assert output == unhexlify(use["output"])
        assert raises(LocalProtocolError, exporter.device_psk)
        exporter.clear()
        assert raises(LocalProtocolError, exporter.initial_secret, "a", 0)


def test_an_exporter_takes_32_bytes_of_each():
    assert raises(LocalProtocolError, Exporter, primitives, bytes(31), bytes(32))
    assert raises(LocalProtocolError, Exporter, primitives, bytes(32), bytes(33))


def test_a_cipher_without_numbers_left_seals_and_opens_nothing():
    cipher = CipherState(primitives, bytes(32))
    cipher._nonce = 2**64 - 2
    cipher.seal(b"the last one")
    assert raises(LocalProtocolError, cipher.seal, b"")
    assert raises(LocalProtocolError, cipher.open, bytes(16))


def test_a_message_that_fails_does_not_count():
    sender, receiver = CipherState(primitives, bytes(32)), CipherState(primitives, bytes(32))
    first, second = sender.seal(b"first"), sender.seal(b"second")
    assert raises(RemoteProtocolError, receiver.open, second)
    assert raises(RemoteProtocolError, receiver.open, first[:-1])
    assert receiver.open(first) == b"first"
    assert raises(RemoteProtocolError, receiver.open, first)
    assert receiver.open(second) == b"second"


def test_erases_the_keys_that_it_can():
    cipher = CipherState(primitives, b"k" * 32)
    key = cipher._key
    cipher.clear()
    assert key == bytes(32)
    assert raises(LocalProtocolError, cipher.seal, b"")
    exporter = Exporter(primitives, b"k" * 32, bytes(32))
    secret = exporter._secret
    exporter.initial_secret("a", 1)
    assert secret == bytes(32)


def test_a_handshake_that_ends_erases_its_ephemeral_key():
    state = HandshakeState(
        primitives,
        lambda size: b"e" * size,
        K_PSK0,
        initiator=True,
        prologue=b"",
        private=b"s" * 32,
        peer_public=b"r" * 32,
        psk=b"p" * 32,
    )
    state.write_message()
    key = state._own["e"]
    assert key == b"e" * 32
    state.split()
    assert key == bytes(32)
