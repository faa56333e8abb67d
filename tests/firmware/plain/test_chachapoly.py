"""ChaCha20, Poly1305 and their AEAD, as RFC 8439 (and 7539 before it) has them."""

from device import chachapoly
from official import cases
from refusal import refuses

KEY = b"a key of thirty-two bytes in all"
NONCE = b"twelve bytes"


def test_chacha20_gives_the_official_key_stream():
    for key, nonce, counter, plaintext, ciphertext in cases("chacha20"):
        stream = chachapoly.keystream(key, nonce, counter, (len(plaintext) + 63) // 64)
        assert bytes(p ^ s for p, s in zip(plaintext, stream)) == ciphertext


def test_blocks_made_together_are_the_blocks_made_one_by_one():
    for count in range(1, 12):
        together = chachapoly.keystream(KEY, NONCE, 7, count)
        one_by_one = [chachapoly.keystream(KEY, NONCE, 7 + i, 1) for i in range(count)]
        assert together == b"".join(one_by_one)


def test_the_block_counter_wraps_at_32_bits():
    stream = chachapoly.keystream(KEY, NONCE, 0xFFFFFFFF, 2)
    assert stream[64:] == chachapoly.keystream(KEY, NONCE, 0, 1)


def test_poly1305_gives_the_official_tags():
    for key, message, tag in cases("poly1305"):
        assert chachapoly.poly1305(key, message) == tag


def test_seals_and_opens_the_official_vectors():
    for key, nonce, aad, payload, sealed in cases("chacha20_poly1305"):
        assert chachapoly.seal(key, nonce, aad, payload) == sealed
        assert chachapoly.open(key, nonce, aad, sealed) == payload


def test_refuses_each_vector_with_any_one_part_changed():
    for key, nonce, aad, _, sealed in cases("chacha20_poly1305"):
        for at in (0, len(sealed) - 17, len(sealed) - 16, len(sealed) - 1):
            changed = bytearray(sealed)
            changed[at] ^= 1
            assert refuses(chachapoly.open, key, nonce, aad, bytes(changed))
        assert refuses(chachapoly.open, bytes(32), nonce, aad, sealed)
        assert refuses(chachapoly.open, key, bytes(12), aad, sealed)
        assert refuses(chachapoly.open, key, nonce, aad[:-1], sealed)
        assert refuses(chachapoly.open, key, nonce, b"", sealed)


def test_refuses_every_truncation():
    sealed = chachapoly.seal(KEY, NONCE, b"header", b"a payload")
    for size in range(len(sealed)):
        assert refuses(chachapoly.open, KEY, NONCE, b"header", sealed[:size])


def test_every_length_around_a_block_and_a_batch_comes_back():
    for size in (0, 1, 15, 16, 17, 63, 64, 65, 255, 256, 257, 400):
        payload = bytes(i & 0xFF for i in range(size))
        sealed = chachapoly.seal(KEY, NONCE, payload[:20], payload)
        assert len(sealed) == size + 16
        assert chachapoly.open(KEY, NONCE, payload[:20], sealed) == payload


def test_refuses_a_key_or_nonce_of_the_wrong_size():
    assert refuses(chachapoly.seal, KEY[:31], NONCE, b"", b"")
    assert refuses(chachapoly.seal, KEY, NONCE + b"+", b"", b"")
    assert refuses(chachapoly.open, KEY, NONCE[:8], b"", bytes(16))
