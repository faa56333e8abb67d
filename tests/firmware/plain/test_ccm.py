"""AES-128-CCM with an 8-byte tag, as SP 800-38C and RFC 3610 have it."""

from device import ccm
from official import cases
from refusal import refuses

KEY = b"sixteen byte key"
NONCE = b"twelve bytes"


def test_seals_the_official_vectors():
    for key, nonce, aad, payload, sealed in cases("aes_128_ccm_8"):
        assert ccm.seal(key, nonce, aad, payload) == sealed


def test_opens_the_official_vectors():
    for key, nonce, aad, payload, sealed in cases("aes_128_ccm_8"):
        assert ccm.open(key, nonce, aad, sealed) == payload


def test_refuses_each_vector_with_any_one_part_changed():
    for key, nonce, aad, _, sealed in cases("aes_128_ccm_8"):
        for at in (0, len(sealed) - 9, len(sealed) - 8, len(sealed) - 1):
            changed = bytearray(sealed)
            changed[at] ^= 0x80
            assert refuses(ccm.open, key, nonce, aad, bytes(changed))
        assert refuses(ccm.open, bytes(16), nonce, aad, sealed)
        assert refuses(ccm.open, key, bytes(len(nonce)), aad, sealed)
        assert refuses(ccm.open, key, nonce, aad + b"\0", sealed)
        assert refuses(ccm.open, key, nonce, b"", sealed)


def test_refuses_every_truncation():
    sealed = ccm.seal(KEY, NONCE, b"header", b"a payload")
    for size in range(len(sealed)):
        assert refuses(ccm.open, KEY, NONCE, b"header", sealed[:size])


def test_an_empty_payload_is_a_tag_alone():
    sealed = ccm.seal(KEY, NONCE, b"header", b"")
    assert len(sealed) == 8
    assert ccm.open(KEY, NONCE, b"header", sealed) == b""
    assert refuses(ccm.open, KEY, NONCE, b"other", sealed)


def test_every_length_around_a_block_and_a_batch_comes_back():
    for size in (1, 15, 16, 17, 31, 32, 33, 239, 240, 241, 255, 256, 257, 496, 497, 1200):
        payload = bytes(i & 0xFF for i in range(size))
        sealed = ccm.seal(KEY, NONCE, b"", payload)
        assert len(sealed) == size + 8
        assert ccm.open(KEY, NONCE, b"", sealed) == payload


def test_counter_blocks_differ_beyond_their_low_byte():
    # 5,000 bytes need counters of two bytes; a repeated block would give a repeated key stream.
    sealed = ccm.seal(KEY, NONCE, b"", bytes(5000))
    blocks = {bytes(sealed[at : at + 16]) for at in range(0, 4992, 16)}
    assert len(blocks) == 312


def test_refuses_a_key_or_nonce_of_the_wrong_size():
    assert refuses(ccm.seal, KEY[:15], NONCE, b"", b"")
    assert refuses(ccm.seal, KEY + b"+", NONCE, b"", b"")
    assert refuses(ccm.seal, KEY, NONCE[:6], b"", b"")
    assert refuses(ccm.seal, KEY, NONCE + b"++", b"", b"")
    assert refuses(ccm.open, KEY, NONCE[:6], b"", bytes(8))
