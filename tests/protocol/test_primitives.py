"""The port over cryptography: official vectors, and what it refuses."""

import hashlib
import hmac

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tickseal import primitives
from tickseal.core import constants
from tickseal.core import primitives as port

SUITES = sorted(constants.SUITE_KEY_BYTES)

# McGrew and Viega, The Galois/Counter Mode of Operation, test case 16.
GCM = {
    "key": "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
    "nonce": "cafebabefacedbaddecaf888",
    "aad": "feedfacedeadbeeffeedfacedeadbeefabaddad2",
    "payload": "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
    "sealed": "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
    "76fc6ece0f4e1768cddf8853bb2d551b",
}


def test_seals_the_official_gcm_vector() -> None:
    key, nonce, aad, payload, sealed = map(bytes.fromhex, GCM.values())
    assert primitives.seal(constants.AES_256_GCM, key, nonce, aad, payload) == sealed
    assert primitives.open(constants.AES_256_GCM, key, nonce, aad, sealed) == payload


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_has_its_key_and_tag_sizes_and_no_other(suite: int) -> None:
    size, tag = constants.SUITE_KEY_BYTES[suite], constants.SUITE_TAG_BYTES[suite]
    sealed = primitives.seal(suite, bytes(size), bytes(12), b"aad", b"payload")
    assert len(sealed) == len(b"payload") + tag
    assert primitives.open(suite, bytes(size), bytes(12), b"aad", sealed) == b"payload"
    for wrong in {0, 16, 24, 32, 33} - {size}:
        with pytest.raises(ValueError, match="no suite"):
            primitives.aead(suite, bytes(wrong))


def test_an_unknown_suite_is_refused() -> None:
    for suite in (0, 4):
        with pytest.raises(ValueError, match="no suite"):
            primitives.aead(suite, bytes(32))


@pytest.mark.parametrize("suite", SUITES)
@given(at=st.integers(0, 29 * 8 - 1))
def test_a_changed_or_cut_off_text_does_not_open(suite: int, at: int) -> None:
    key = bytes(constants.SUITE_KEY_BYTES[suite])
    sealed = bytearray(primitives.seal(suite, key, bytes(12), b"aad", b"thirteen byte"))
    sealed[at // 8 % len(sealed)] ^= 1 << at % 8
    for changed in (bytes(sealed), bytes(sealed)[: at // 8 % len(sealed)]):
        with pytest.raises(ValueError, match="tag does not verify"):
            primitives.open(suite, key, bytes(12), b"aad", changed)


@given(st.binary(max_size=200), st.binary(max_size=100))
@example(bytes(65), b"a key longer than a block is hashed")
def test_hmac_is_the_standard_librarys(key: bytes, message: bytes) -> None:
    prepared = primitives.hmac(key)
    for _ in range(2):
        assert prepared(message) == hmac.digest(key, message, "sha256")
    assert primitives.sha256(message) == hashlib.sha256(message).digest()


def test_x25519_is_rfc_7748_and_refuses_a_point_of_low_order() -> None:
    alice = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    bob = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    shared = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
    assert primitives.x25519(alice, primitives.x25519_public(bob)) == shared
    assert primitives.x25519(bob, primitives.x25519_public(alice)) == shared
    with pytest.raises(ValueError, match=r".+"):
        primitives.x25519(alice, bytes(32))


def test_the_ports_description_costs_a_board_nothing() -> None:
    assert not hasattr(port, "Primitives")


def test_equal_compares_values() -> None:
    assert primitives.equal(b"same", b"same")
    assert not primitives.equal(b"same", b"sane")
    assert not primitives.equal(b"same", b"sam")
