"""The segment header on the wire. CPython and MicroPython run this file."""

from binascii import unhexlify

from golden import elements, entries

from tickseal.core import constants
from tickseal.core.header import SegmentHeader, unpack

FIELDS = ("profile", "kind", "flags", "generation", "handle", "tick", "frame_number")
STANDARD = unhexlify("100f" + "fe" + "01020304" + "123456" + "89abcdef" + "fedc")
COMPACT = unhexlify("19" + "6b" + "04" + "3456" + "cdef" + "fd")


def values(header):
    return [getattr(header, name) for name in FIELDS] + [header.segment_index]


def test_both_profiles_carry_low_bits_only():
    whole = {
        "generation": 0xABCDEFFEDCBAFFFB & ~0xFF | 0xFE,
        "handle": 0x01020304,
        "tick": 0x77123456,
        "frame_number": 0x7789ABCDEF,
        "segment_index": 0xFEDC,
    }
    header = SegmentHeader(constants.STANDARD, constants.KIND_FRAME, 15, **whole)
    assert header.pack() == STANDARD
    assert values(unpack(STANDARD)) == values(header)
    whole["generation"], whole["segment_index"] = 0xFB, 0xFD
    header = SegmentHeader(constants.COMPACT, constants.KIND_SUMMARY, 6, **whole)
    assert header.pack() == COMPACT
    assert values(unpack(COMPACT)) == values(header)


def test_what_is_no_header_of_this_version_is_none():
    for good in (STANDARD, COMPACT):
        assert unpack(good + b"more").pack() == good
        assert unpack(good[:-1]) is None
        for bits in (0x20, 0x30, 0x80, 2, 4, 6):
            assert unpack(bytes((good[0] ^ bits,)) + good[1:]) is None
    assert unpack(b"") is None
    # What says standard but is as short as a compact header.
    assert unpack(STANDARD[:8]) is None


def test_every_golden_header_comes_back():
    count = 0
    for frame in elements("segments.json", "frames"):
        for segment in frame["segments"]:
            packed = unhexlify(segment["header"])
            header = unpack(packed)
            assert header.pack() == packed
            assert header.kind == frame["kind"]
            assert header.frame_number == frame["frame"] & ((1 << 8 * (len(packed) // 4)) - 1)
            count += 1
    assert count > 76
    assert len(list(entries("segments.json", "streams"))) > 10
