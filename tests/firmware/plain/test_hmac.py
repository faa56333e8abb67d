"""HMAC-SHA-256, as RFC 4231 has it, and comparison without a shortcut."""

from device import primitives
from device.compare import equal
from device.hmac import prepare
from official import cases


def test_gives_the_official_macs():
    for key, message, mac in cases("hmac_sha256"):
        assert prepare(key)(message) == mac


def test_one_preparation_serves_several_messages():
    mac = prepare(b"key")
    first = mac(b"one message")
    assert mac(b"another") != first
    assert mac(b"one message") == first


def test_a_key_of_a_block_is_taken_whole_and_a_longer_one_hashed():
    block = bytes(range(64))
    inner = primitives.sha256(bytes(b ^ 0x36 for b in block) + b"message")
    outer = primitives.sha256(bytes(b ^ 0x5C for b in block) + inner)
    assert prepare(block)(b"message") == outer
    longer = block + b"+"
    assert prepare(longer)(b"message") == prepare(primitives.sha256(longer))(b"message")


def test_equal_sees_every_single_bit():
    secret = bytes(range(32))
    assert equal(secret, bytes(range(32)))
    for bit in range(256):
        changed = bytearray(secret)
        changed[bit >> 3] ^= 1 << (bit & 7)
        assert not equal(secret, bytes(changed))


def test_equal_tells_lengths_apart():
    assert equal(b"", b"")
    assert not equal(b"", b"\0")
    assert not equal(b"\0\0", b"\0")
