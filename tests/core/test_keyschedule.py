"""The key schedule gives the golden keys. CPython and MicroPython run this file."""

from binascii import unhexlify

from golden import elements, raises

from tickseal.core import constants, keyschedule
from tickseal.core.errors import LocalProtocolError
from tickseal.core.keytree import Walker

try:
    from tickseal import primitives
except ImportError:
    from device import primitives


def test_expand_gives_the_golden_outputs():
    for vector in elements("keyschedule.json", "expand"):
        output = keyschedule.expand(
            primitives,
            unhexlify(vector["secret"]),
            vector["label"].encode(),
            unhexlify(vector["context"]),
            vector["n"],
        )
        assert output == unhexlify(vector["output"])


def test_a_schedule_gives_the_golden_keys_from_the_initial_secret_down():
    count = 0
    for vector in elements("keyschedule.json", "schedules"):
        changed = vector["changed"]
        depth, epoch_bits = changed.get("depth", 32), changed.get("epoch_bits", 0)
        context = keyschedule.context(
            primitives, unhexlify(vector["metadata"]), unhexlify(vector["parameters"])
        )
        assert context == unhexlify(vector["context"])
        prk = keyschedule.extract(
            primitives, unhexlify(vector["salt"]), unhexlify(vector["initial_secret"])
        )
        assert prk == unhexlify(vector["prk"])
        root = keyschedule.root(primitives, prk, context)
        assert root == unhexlify(vector["root"])
        assert keyschedule.confirm(primitives, prk, context) == unhexlify(vector["confirm"])
        walker = Walker.from_root(primitives, root, depth)
        for row in vector["frames"]:
            tick, frame = row["tick"], row["frame"]
            secret = walker.secret(tick >> epoch_bits if depth else 0)
            assert secret == unhexlify(row["epoch_secret"])
            keyed = frame if changed.get("renewal", 1) else constants.EVERY_FRAME_OF_INTERVAL
            key = keyschedule.frame_key(primitives, secret, tick, keyed)
            assert key == unhexlify(row["frame_key"])
            aead_bytes = constants.SUITE_KEY_BYTES[changed.get("suite", 1)]
            assert key[:aead_bytes] == unhexlify(row["aead_key"])
            hashed = keyschedule.key_hash(primitives, key, changed.get("hash", 16))
            assert hashed == unhexlify(row["key_hash"])
            assert keyschedule.nonce(frame, row["segment_index"]) == unhexlify(row["nonce"])
            count += 1
    assert count > 40


def test_expand_refuses_what_does_not_fit_its_lengths():
    def expand(label, context, size):
        return keyschedule.expand(primitives, bytes(32), label, context, size)

    longest = b"x" * (63 - len(constants.PREFIX))
    assert len(expand(longest, bytes(63), 8160)) == 8160
    assert raises(LocalProtocolError, expand, longest + b"x", b"", 32)
    assert raises(LocalProtocolError, expand, b"", bytes(64), 32)
    assert raises(LocalProtocolError, expand, b"", b"", 0)
    assert raises(LocalProtocolError, expand, b"", b"", 8161)
