"""The port as the core sees it: suites by number, one error."""

from device import ccm, chachapoly, primitives
from refusal import refuses

from tickseal.core import constants

NONCE = b"twelve bytes"
SUITES = ((constants.AES_128_CCM_8, ccm), (constants.CHACHA20_POLY1305, chachapoly))


def test_each_suite_is_its_cipher():
    for suite, cipher in SUITES:
        key = bytes(constants.SUITE_KEY_BYTES[suite])
        sealed = primitives.seal(suite, key, NONCE, b"header", b"payload")
        assert sealed == cipher.seal(key, NONCE, b"header", b"payload")
        assert len(sealed) == len(b"payload") + constants.SUITE_TAG_BYTES[suite]
        assert primitives.open(suite, key, NONCE, b"header", sealed) == b"payload"
        assert refuses(primitives.open, suite, key, NONCE, b"header", sealed[:-1])


def test_refuses_a_suite_that_the_board_lacks():
    assert refuses(primitives.seal, constants.AES_256_GCM, bytes(32), NONCE, b"", b"")
    assert refuses(primitives.open, constants.AES_256_GCM, bytes(32), NONCE, b"", bytes(16))
    assert refuses(primitives.seal, 0, bytes(32), NONCE, b"", b"")


def test_sha256_is_fips_180():
    digest = primitives.sha256(b"abc")
    assert digest[:4] == b"\xba\x78\x16\xbf"
    assert len(digest) == 32
