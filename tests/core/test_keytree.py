"""The epoch tree gives the golden and MLS's secrets. CPython and MicroPython run this file."""

import json
from binascii import unhexlify

from golden import VECTORS, elements, raises

from tickseal.core import keytree
from tickseal.core.errors import ExhaustedError, LocalProtocolError
from tickseal.core.keyschedule import expand
from tickseal.core.keytree import Walker

try:
    from tickseal import primitives
except ImportError:
    from device import primitives

ROOT = bytes(range(32))


def leaves(depth):
    """The secrets of all epochs, found by nothing but the rule for a child."""
    level = [ROOT]
    for _ in range(depth):
        level = [child for node in level for child in keytree.children(primitives, node)]
    return level


def reached(walker):
    """All epochs that anything in a walker's hands derives."""
    found = set()
    for level, index, _ in walker._nodes + walker._path:
        found.update(range(index << level, (index + 1) << level))
    return found


def test_leaves_and_grants_are_the_golden_ones():
    for tree in elements("keytree.json", "trees"):
        walker = Walker.from_root(primitives, unhexlify(tree["root"]), tree["depth"])
        assert (walker.start, walker.end) == (0, 1 << tree["depth"])
        for leaf in tree["leaves"]:
            assert walker.secret(leaf["epoch"]) == unhexlify(leaf["secret"])
        for grant in tree["grants"]:
            nodes = walker.cover(grant["from"], grant["until"])
            assert nodes == [
                (node["level"], node["index"], unhexlify(node["secret"])) for node in grant["nodes"]
            ]
            granted = Walker(primitives, nodes)
            assert (granted.start, granted.end) == (grant["from"], grant["until"])


def test_the_trees_are_mls_trees_under_its_prefix():
    prefix = b"MLS 1.0 "
    with open(VECTORS + "mls_secret_tree_suite1.json") as file:  # noqa: PTH123
        found = json.load(file)
    for vector in found["vectors"] if isinstance(found, dict) else found:
        secret = unhexlify(vector["encryption_secret"])
        members = vector["leaves"]
        depth = 0
        while 1 << depth < len(members):
            depth += 1
        walker = Walker.from_root(primitives, secret, depth, prefix)
        granted = Walker(primitives, walker.cover(0, len(members)), prefix)
        for place, member in enumerate(members):
            leaf = granted.take(place)
            assert walker.secret(place) == leaf
            for kind in ("handshake", "application"):
                ratchet = expand(primitives, leaf, kind.encode(), b"", 32, prefix=prefix)
                now = 0
                for row in member:
                    while now < row["generation"]:
                        step = now.to_bytes(4, "big")
                        ratchet = expand(primitives, ratchet, b"secret", step, 32, prefix=prefix)
                        now += 1
                    step = now.to_bytes(4, "big")
                    for name, size in (("key", 16), ("nonce", 12)):
                        value = expand(
                            primitives, ratchet, name.encode(), step, size, prefix=prefix
                        )
                        assert value == unhexlify(row[kind + "_" + name])


def test_take_gives_each_leaf_once_and_erases_it_with_all_before():
    secrets = leaves(4)
    for start in range(16):
        for step in (1, 2, 3, 5):
            walker = Walker.from_root(primitives, ROOT, 4)
            for epoch in range(start, 16, step):
                assert walker.take(epoch) == secrets[epoch]
                assert reached(walker) == set(range(epoch + 1, 16))
                assert walker.start == epoch + 1
                assert raises(LocalProtocolError, walker.take, epoch)


def test_take_erases_what_a_look_ahead_left_behind():
    walker = Walker.from_root(primitives, ROOT, 4)
    for epoch in (5, 4, 7, 6, 12):
        walker.secret(epoch)
        assert epoch in {index << level for level, index, _ in walker._path if level == 0}
    walker.secret(8)
    walker.take(8)
    assert reached(walker) == set(range(9, 16))
    assert raises(LocalProtocolError, walker.secret, 8)


def test_secret_gives_any_leaf_ahead_and_erases_none():
    secrets = leaves(4)
    walker = Walker.from_root(primitives, ROOT, 4)
    for epoch in (0, 15, 3, 3, 2, 7, 8, 9, 1, 0):
        assert walker.secret(epoch) == secrets[epoch]
    assert walker.nodes() == [(4, 0, ROOT)]


def test_puncture_leaves_exactly_what_is_ahead():
    secrets = leaves(4)
    for first in range(17):
        for second in range(17):
            walker = Walker.from_root(primitives, ROOT, 4)
            walker.secret(9)
            walker.puncture(first)
            if first <= 13:
                walker.secret(13)
            walker.puncture(second)
            ahead = max(first, second)
            assert reached(walker) == set(range(ahead, 16))
            assert walker.start == ahead
            assert walker.end == 16
            for epoch in range(ahead, 16):
                assert walker.secret(epoch) == secrets[epoch]
            if ahead:
                assert raises(LocalProtocolError, walker.secret, ahead - 1)


def test_a_leaf_beyond_the_tree_is_exhaustion_and_erases_nothing():
    for depth in (0, 1, 4):
        walker = Walker.from_root(primitives, ROOT, depth)
        for beyond in (1 << depth, (1 << depth) + 1, 1 << 60):
            assert raises(ExhaustedError, walker.take, beyond)
            assert raises(ExhaustedError, walker.secret, beyond)
        assert walker.nodes() == [(depth, 0, ROOT)]


def test_a_grant_is_minimal_and_derives_its_epochs_alone():
    secrets = leaves(4)
    for first in range(16):
        for until in range(first + 1, 17):
            source = Walker.from_root(primitives, ROOT, 4)
            granted = Walker(primitives, source.cover(first, until))
            nodes = granted.nodes()
            assert len(nodes) <= 2 * 4
            # No two are both children of one node, which would have stood for them.
            places = {(level, index) for level, index, _ in nodes}
            assert not any((level, index ^ 1) in places for level, index in places)
            assert reached(granted) == set(range(first, until))
            assert [granted.take(epoch) for epoch in range(first, until)] == secrets[first:until]


def test_a_grant_of_a_grant_stays_within_it():
    granted = Walker(primitives, Walker.from_root(primitives, ROOT, 4).cover(3, 13))
    assert granted.cover(3, 13) == granted.nodes()
    for first, until in ((2, 13), (3, 14), (0, 16), (5, 5), (6, 5), (12, 20)):
        assert raises(LocalProtocolError, granted.cover, first, until)
    granted.puncture(7)
    assert raises(LocalProtocolError, granted.cover, 6, 9)
    assert Walker(primitives, granted.cover(7, 9)).take(8) == leaves(4)[8]


def test_refuses_nodes_with_a_gap_or_an_overlap():
    for nodes in (
        [(0, 0, ROOT), (0, 2, ROOT)],
        [(0, 1, ROOT), (0, 1, ROOT)],
        [(0, 1, ROOT), (0, 0, ROOT)],
        [(1, 0, ROOT), (0, 1, ROOT)],
    ):
        assert raises(LocalProtocolError, Walker, primitives, nodes)
    for depth in (-1, 49):
        assert raises(LocalProtocolError, Walker.from_root, primitives, ROOT, depth)


def test_a_cleared_walker_holds_nothing_and_shows_no_secret():
    walker = Walker.from_root(primitives, ROOT, 4)
    walker.secret(3)
    assert repr(walker) == "<Walker of epochs 0 to 16>"
    walker.clear()
    assert reached(walker) == set()
    assert (walker.start, walker.end) == (16, 16)
    assert raises(LocalProtocolError, walker.take, 3)
    assert raises(LocalProtocolError, walker.cover, 3, 4)
    empty = Walker(primitives, [])
    assert (empty.start, empty.end) == (0, 0)
