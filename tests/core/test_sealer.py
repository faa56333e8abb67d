"""The reference sealer gives the golden segments. CPython and MicroPython run this file."""

from binascii import unhexlify

from golden import elements, entries, raises

from tickseal.core import constants, keyschedule
from tickseal.core.errors import ExhaustedError, LocalProtocolError
from tickseal.core.keytree import Walker
from tickseal.core.sealer import Sealer

try:
    from tickseal import primitives

    SUITES = (1, 2, 3)
except ImportError:
    from device import primitives

    SUITES = (2, 3)

PARAMETERS = {
    "depth": 2, "epoch_bits": 1, "frame_bytes": 64, "generation": 0x1234567890ABCDEF, "hash": 8,
    "profile": 1, "renewal": 1, "segment_bytes": 16, "suite": 3,
}  # fmt: skip


def sealer(**changes):
    parameters = dict(PARAMETERS, **changes)
    walker = Walker.from_root(primitives, bytes(32), parameters["depth"])
    return Sealer(primitives, bytes(32), walker, parameters, 7)


def decoded(data):
    """The parameter map; its values are unsigned integers and its keys short texts."""
    found, at = {}, 1
    while at < len(data):
        size = data[at] & 31
        key = data[at + 1 : at + 1 + size].decode()
        at += 1 + size
        short = data[at]
        at += 1
        more = 1 << (short - 24) if short >= 24 else 0
        found[key] = int.from_bytes(data[at : at + more], "big") if more else short
        at += more
    return found


def golden_sealer(stream, parameters):
    prk = keyschedule.extract(
        primitives, unhexlify(stream["salt"]), unhexlify(stream["initial_secret"])
    )
    context = unhexlify(stream["context"])
    root = keyschedule.root(primitives, prk, context)
    walker = Walker.from_root(primitives, root, parameters["depth"])
    return Sealer(primitives, context, walker, parameters, stream["handle"])


def test_seals_the_golden_frames():
    streams = {
        name: (stream, decoded(unhexlify(stream["parameters"])))
        for name, stream in entries("segments.json", "streams")
    }
    count = 0
    for frame in elements("segments.json", "frames"):
        stream, parameters = streams[frame["stream"]]
        if parameters["suite"] not in SUITES:
            continue
        source = golden_sealer(stream, parameters)
        source.frame_number = frame["frame"]
        segments = source.seal(
            unhexlify(frame["payload"]), frame["tick"], frame["flags"], frame["kind"]
        )
        assert segments == [unhexlify(one["segment"]) for one in frame["segments"]]
        count += 1
    assert count > 40


def test_a_refused_frame_moves_nothing():
    source = sealer()
    source.seal(b"a", 2)
    expected = sealer()
    expected.seal(b"a", 2)
    assert raises(LocalProtocolError, source.seal, b"", 1)
    assert raises(LocalProtocolError, source.seal, bytes(65), 3)
    assert raises(ExhaustedError, source.seal, b"", 8)
    assert raises(ExhaustedError, source.seal, b"", 1 << 64)
    assert source.frame_number == 1
    assert source.seal(b"b", 2) == expected.seal(b"b", 2)


def test_numbers_frames_from_0_without_a_gap():
    source = sealer(depth=0)
    numbers = []
    for tick in (0, 0, 7, 7, 9):
        (segment,) = source.seal(b"", tick)
        numbers.append(int.from_bytes(segment[5:7], "big"))
    assert numbers == [0, 1, 2, 3, 4]


def test_no_tick_goes_back_within_an_epoch_either():
    for depth in (0, 2):
        source = sealer(depth=depth)
        source.seal(b"", 3)
        assert raises(LocalProtocolError, source.seal, b"", 2)


def test_starts_at_tick_0_at_the_earliest():
    for depth in (0, 2):
        try:
            sealer(depth=depth).seal(b"", -1)
        except LocalProtocolError as error:
            assert not isinstance(error, ExhaustedError)
        else:
            raise AssertionError("sealed")
    assert raises(ExhaustedError, sealer(depth=0).seal, b"", 1 << 64)
    assert len(sealer(depth=0).seal(b"", (1 << 64) - 1)) == 1


def test_the_last_frame_number_ends_the_generation():
    source = sealer()
    source.frame_number = constants.EVERY_FRAME_OF_INTERVAL - 1
    assert len(source.seal(b"", 0)) == 1
    assert raises(ExhaustedError, source.seal, b"", 0)


def test_splits_a_payload_into_full_segments_and_a_last():
    for size, counts in ((0, 1), (1, 1), (16, 1), (17, 2), (32, 2), (33, 3), (64, 4)):
        segments = sealer().seal(bytes(size), 0)
        assert len(segments) == counts
        flags = [segment[1] >> 4 for segment in segments]
        expected = [0] * counts
        expected[0] |= constants.FLAG_FIRST
        expected[-1] |= constants.FLAG_LAST
        assert flags == expected


def test_only_backfill_and_holdover_are_the_callers_flags():
    both = constants.FLAG_BACKFILL | constants.FLAG_HOLDOVER
    (segment,) = sealer().seal(b"", 0, both)
    assert segment[1] >> 4 == 15
    assert sealer().seal(b"", 0, 3 | 0xF0) == sealer().seal(b"", 0)


def test_a_cleared_sealer_seals_nothing_and_shows_no_secret():
    for depth in (0, 2):
        source = sealer(depth=depth)
        source.seal(b"", 1)
        assert repr(source) == "<Sealer of handle 7, next frame 1>"
        source.clear()
        assert raises(LocalProtocolError, source.seal, b"", 1)
        assert raises(LocalProtocolError, source.seal, b"", 2)
