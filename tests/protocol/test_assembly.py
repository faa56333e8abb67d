"""FrameAssembler: whole frames from segments in any order, and a bound against any source."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from streams import parameters

from tickseal import OpenedSegment
from tickseal.core.constants import FLAG_FIRST, FLAG_LAST
from tickseal.streams.assembly import FrameAssembler

PARAMETERS = parameters()  # segments of 16 bytes, frames of 256


def segment(number: int, index: int, payload: bytes, *, last: bool = False) -> OpenedSegment:
    flags = FLAG_FIRST * (index == 0) | FLAG_LAST * last
    return OpenedSegment(payload, number, index, 7, flags, 0)


def split(number: int, payload: bytes) -> list[OpenedSegment]:
    parts = [payload[at : at + 16] for at in range(0, len(payload), 16)] or [b""]
    return [
        segment(number, index, part, last=index == len(parts) - 1)
        for index, part in enumerate(parts)
    ]


@given(st.lists(st.binary(max_size=256), max_size=8), st.randoms(use_true_random=False))
def test_gives_each_frame_once_whatever_the_order(payloads: list[bytes], random: Any) -> None:
    assembler = FrameAssembler(PARAMETERS)
    arriving = [one for number, payload in enumerate(payloads) for one in split(number, payload)]
    random.shuffle(arriving)
    bounded = sum(map(len, payloads)) > 512
    found = {}
    for one in arriving:
        whole = assembler.add(one)
        if whole is not None:
            assert one.frame_number not in found
            assert whole == payloads[one.frame_number]
            found[one.frame_number] = whole
    if not bounded:
        assert len(found) == len(payloads)
        assert assembler.incomplete == 0
        assert assembler._held_bytes == 0
        assert not assembler._partials


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 15), st.booleans()), unique=True))
def test_is_bounded_against_an_authentic_but_malicious_source(
    moves: list[tuple[int, int, bool]],
) -> None:
    assembler = FrameAssembler(PARAMETERS)
    seen, whole = set(), set()
    for number, index, last in moves:
        if (number, index) in seen:
            continue  # the opener refuses it as replayed
        seen.add((number, index))
        payload = assembler.add(segment(number, index, bytes(16), last=last))
        if payload is not None:
            assert number not in whole
            assert len(payload) <= 256
            whole.add(number)
        held = [part for one in assembler._partials.values() for part in one.parts.values()]
        assert sum(map(len, held)) == assembler._held_bytes <= 512
        assert len(assembler._partials) <= 8
        assert all(one.parts for one in assembler._partials.values())


def test_a_second_end_drops_the_frame() -> None:
    for first, second in ((1, 2), (2, 1), (3, 0)):
        assembler = FrameAssembler(PARAMETERS)
        assert assembler.add(segment(0, first, b"x", last=True)) is None
        assert assembler.add(segment(0, second, b"x", last=True)) is None
        assert (assembler.incomplete, assembler._held_bytes) == (1, 0)


def test_a_segment_beyond_the_end_drops_the_frame() -> None:
    for order in ((2, 1), (1, 2)):
        assembler = FrameAssembler(PARAMETERS)
        for index in order:
            assert assembler.add(segment(0, index, bytes(16), last=index == 1)) is None
        assert (assembler.incomplete, assembler._held_bytes) == (1, 0)
    assembler = FrameAssembler(PARAMETERS)
    assembler.add(segment(0, 1, bytes(16)))
    assert assembler.add(segment(0, 0, b"x", last=True)) is None
    assert assembler.incomplete == 1


def test_the_oldest_frame_makes_room_and_is_counted() -> None:
    assembler = FrameAssembler(PARAMETERS)
    for number in range(9):
        assembler.add(segment(number, 0, bytes(16)))
    assert assembler.incomplete == 1
    assert sorted(assembler._partials) == list(range(1, 9))
    # A late part of the one that was dropped is the oldest itself.
    assembler.add(segment(0, 1, bytes(16)))
    assert sorted(assembler._partials) == list(range(1, 9))
    assert assembler.incomplete == 2
    assert assembler.add(segment(1, 1, b"end", last=True)) == bytes(16) + b"end"


def test_bytes_are_bounded_by_two_of_the_largest_frames() -> None:
    assembler = FrameAssembler(PARAMETERS)
    for number in range(4):
        for index in range(15):
            assembler.add(segment(number, index, bytes(16)))
    assert assembler._held_bytes <= 512
    assert assembler.incomplete == 2


def test_an_end_that_comes_first_costs_no_more_for_each_segment_after_it() -> None:
    most = parameters(segment_bytes=16, frame_bytes=16 * 65536)
    assembler = FrameAssembler(most)
    assembler.add(segment(0, 65535, bytes(16), last=True))
    for index in range(65535):
        whole = assembler.add(segment(0, index, bytes(16)))
    assert whole == bytes(16 * 65536)
