"""A generation: the golden keys from the public functions, grants, and what it does not show."""

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import METADATA, generation, parameters, vectors

from tickseal import Generation, StreamMetadata, StreamParameters, derive_frame_key, key_hash
from tickseal.core import constants
from tickseal.core.errors import ExhaustedError, LocalProtocolError

SCHEDULES = vectors("keyschedule")["schedules"]


def unhexed(vector: dict[str, Any], *names: str) -> list[bytes]:
    return [bytes.fromhex(vector[name]) for name in names]


@pytest.mark.parametrize("vector", SCHEDULES, ids=lambda v: str(v["changed"]))
def test_derives_the_golden_keys(vector: dict[str, Any]) -> None:
    secret, salt, context = unhexed(vector, "initial_secret", "salt", "context")
    settings = StreamParameters.decode(bytes.fromhex(vector["parameters"]))
    made = Generation.derive(
        StreamMetadata.decode(bytes.fromhex(vector["metadata"])),
        settings,
        initial_secret=secret,
        salt=salt,
        handle=vector["handle"],
    )
    assert made.context == context
    assert made.confirm == bytes.fromhex(vector["confirm"])
    every = not settings.renewal
    for row in vector["frames"]:
        tick, frame = row["tick"], row["frame"]
        assert made.walker.secret(made.epoch(tick)) == bytes.fromhex(row["epoch_secret"])
        if not every and frame == constants.EVERY_FRAME_OF_INTERVAL:
            continue
        key = derive_frame_key(
            secret,
            salt,
            context,
            tick,
            None if every else frame,
            depth=settings.depth,
            epoch_bits=settings.epoch_bits,
        )
        assert key == bytes.fromhex(row["frame_key"])
        assert key_hash(key, settings.hash_length) == bytes.fromhex(row["key_hash"])


@given(st.binary(max_size=100), st.binary(max_size=100), st.binary(min_size=32, max_size=32))
def test_depth_0_is_the_plain_hkdf(secret: bytes, salt: bytes, context: bytes) -> None:
    def expand(key: bytes, label: bytes, info: bytes) -> bytes:
        label = b"tickseal/1 " + label
        framed = b"\0\x20" + bytes([len(label)]) + label + bytes([len(info)]) + info
        return hmac.digest(key, framed + b"\x01", "sha256")

    prk = hmac.digest(salt, secret, hashlib.sha256)
    time_component = (77).to_bytes(8, "big") + (9).to_bytes(8, "big")
    expected = expand(expand(prk, b"root", context), b"frame", time_component)
    assert derive_frame_key(secret, salt, context, 77, 9, depth=0, epoch_bits=5) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"context": bytes(31)}, {"tick": -1}, {"tick": 2**64}, {"frame": -1},
        {"frame": 2**64 - 1}, {"depth": -1}, {"depth": 49}, {"epoch_bits": -1}, {"epoch_bits": 33},
    ],
    ids=repr,
)  # fmt: skip
def test_derive_frame_key_refuses_what_is_out_of_range(changes: dict[str, Any]) -> None:
    arguments = {"context": bytes(32), "tick": 0, "frame": 0} | changes
    with pytest.raises(LocalProtocolError):
        derive_frame_key(b"secret", b"salt", **arguments)


def test_a_tick_beyond_the_tree_has_no_key() -> None:
    with pytest.raises(ExhaustedError):
        derive_frame_key(bytes(32), bytes(32), bytes(32), 8, depth=2, epoch_bits=1)


@pytest.mark.parametrize("length", [-1, 0, 7, 33])
def test_a_key_hash_is_of_8_to_32_bytes(length: int) -> None:
    assert key_hash(b"key") == hashlib.sha256(b"key").digest()[:16]
    with pytest.raises(LocalProtocolError):
        key_hash(b"key", length)


def test_secret_salt_and_handle_have_their_sizes() -> None:
    good = {"initial_secret": bytes(32), "salt": bytes(32), "handle": 1}
    for changes in (
        {"initial_secret": bytes(31)},
        {"salt": bytes(33)},
        {"handle": 0},
        {"handle": 1 << 32},
    ):
        with pytest.raises(LocalProtocolError):
            Generation.derive(METADATA, parameters(), **good | changes)


def test_any_change_of_what_was_agreed_changes_every_key() -> None:
    def root(
        metadata: StreamMetadata = METADATA, secret: bytes = bytes(32), **changes: Any
    ) -> bytes:
        made = Generation.derive(
            metadata, parameters(**changes), initial_secret=secret, salt=bytes(32), handle=7
        )
        return made.walker.nodes()[0][2]

    roots = {
        root(),
        root(secret=b"\x01" + bytes(31)),
        root(StreamMetadata(METADATA.id, METADATA.type)),
        root(interval_ns=100_000_001),
        root(suite=2),
        root(hash_length=17),
        root(skew_ns=1),
        root(generation=1),
        root(t0_ns=0),
    }
    assert len(roots) == 9


@given(st.data())
def test_a_grant_derives_its_ticks_and_no_others(data: st.DataObject) -> None:
    depth = data.draw(st.integers(1, 6))
    epoch_bits = data.draw(st.integers(0, 2))
    settings = parameters(depth=depth, epoch_bits=epoch_bits)
    span = st.integers(0, settings.tick_count)
    first, until = sorted(data.draw(st.lists(span, min_size=2, max_size=2, unique=True)))
    source = generation(settings)
    source.walker.puncture(data.draw(st.integers(0, source.epoch(first))))
    granted = Generation.from_grant(METADATA, settings, source.grant(first, until), handle=7)
    assert granted.context == source.context
    assert granted.confirm == b""
    # Whole epochs, since an epoch has one secret.
    held = range(first >> epoch_bits, ((until - 1) >> epoch_bits) + 1)
    for epoch in range(1 << depth):
        if epoch in held:
            assert granted.walker.secret(epoch) == source.walker.secret(epoch)
        else:
            with pytest.raises(LocalProtocolError):
                granted.walker.secret(epoch)
    covered = [range(i << level, (i + 1) << level) for level, i, _ in granted.walker.nodes()]
    assert [epoch for part in covered for epoch in part] == list(held)


def test_a_grant_is_never_empty_nor_of_what_is_erased_nor_of_depth_0() -> None:
    source = generation(parameters(depth=4))
    for span in ((3, 3), (4, 3), (0, 17), (-1, 3)):
        with pytest.raises(LocalProtocolError):
            source.grant(*span)
    source.walker.puncture(5)
    with pytest.raises(LocalProtocolError):
        source.grant(4, 9)
    with pytest.raises(LocalProtocolError, match="depth 0"):
        generation(parameters(depth=0)).grant(0, 1)


@pytest.mark.parametrize(
    "nodes",
    [
        [], [(5, 0, bytes(32))], [(-1, 0, bytes(32))], [(4, 1, bytes(32))], [(0, 16, bytes(32))],
        [(0, -1, bytes(32))], [(0, 0, bytes(31))], [(0, 0, bytes(32)), (0, 2, bytes(32))],
    ],
    ids=repr,
)  # fmt: skip
def test_refuses_a_grant_that_is_not_of_such_a_tree(nodes: list[tuple[int, int, bytes]]) -> None:
    with pytest.raises(LocalProtocolError):
        Generation.from_grant(METADATA, parameters(depth=4), nodes, handle=7)


def test_depth_0_takes_no_grant() -> None:
    with pytest.raises(LocalProtocolError):
        Generation.from_grant(METADATA, parameters(depth=0), [(0, 0, bytes(32))], handle=7)


def test_another_grant_takes_the_place_of_the_first_but_brings_nothing_erased_back() -> None:
    chosen = parameters(depth=6)
    source = generation(chosen)
    granted = Generation.from_grant(METADATA, chosen, source.grant(0, 20), handle=7)
    granted.walker.puncture(12)
    granted.renew(source.grant(10, 30))
    assert (granted.walker.start, granted.walker.end) == (12, 30)
    for epoch in (12, 29):
        assert granted.walker.secret(epoch) == source.walker.secret(epoch)
    for nodes in ([], [(7, 0, bytes(32))], [(0, 3, bytes(32)), (0, 5, bytes(32))]):
        with pytest.raises(LocalProtocolError):
            granted.renew(nodes)
    assert (granted.walker.start, granted.walker.end) == (12, 30)


def test_shows_its_names_and_no_secret() -> None:
    made = generation(parameters(), secret=b"\xaa" * 32)
    assert (made.stream_id, made.number) == (METADATA.id, 0x1234)
    assert repr(made) == f"<Generation 0000000000001234 of {METADATA.id!r}>"
    (root,) = made.walker.nodes()
    assert root[2].hex() not in repr(made) + repr(made.walker)
    made.clear()
    assert not made.walker.nodes()
