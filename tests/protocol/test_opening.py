"""FrameOpener: what is authentic opens once, all else is refused for the first reason there is."""

import itertools
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from streams import (
    T0,
    Reading,
    any_parameters,
    flipped,
    generation,
    known,
    pair,
    parameters,
    reading,
    reason,
    skip_to,
    state,
    vectors,
)
from test_sealing import golden

from tickseal import FrameOpener, FrameSealer, Generation, OpenedSegment, StreamParameters
from tickseal.core import constants, errors
from tickseal.core.errors import LocalProtocolError
from tickseal.core.header import unpack
from tickseal.streams.opening import PureFrameOpener

SCENARIOS = vectors("segments")["scenarios"]


# --- The golden scenarios ---


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: f"{s['stream']}: {s['name']}")
def test_answers_each_segment_of_the_golden_scenarios(scenario: dict[str, Any]) -> None:
    first = scenario["steps"][0]
    opener = FrameOpener(golden(scenario["stream"]), live=first["live"])
    opener._forgeries_left -= scenario["failed_openings"]
    announced = None
    for step in scenario["steps"]:
        if step["revoked"]:
            continue  # for a receiver to say
        if step["backfill"] != announced:
            announced = step["backfill"]
            opener.announce(*announced)
        before = state(opener)
        answer = opener.open(bytes.fromhex(step["segment"]), Reading(*step["clock"]))
        if "refused" in step:
            assert reason(answer) == step["refused"], step["why"]
            assert state(opener) == before, step["why"]
            continue
        assert isinstance(answer, OpenedSegment), (step["why"], answer)
        assert answer.payload.hex() == step["opened"]["payload"]
        fields = (answer.kind, answer.flags, answer.tick, answer.frame_number, answer.segment_index)
        names = ("kind", "flags", "tick", "frame", "index")
        assert fields == tuple(step["opened"][name] for name in names)


# --- What is authentic opens ---


@st.composite
def sealed_streams(draw: st.DrawFn) -> tuple[StreamParameters, int, list[Any]]:
    """Parameters, the sink's tick, and frames sealed within its window: payload, tick, segments."""
    chosen = draw(any_parameters())
    behind = chosen.past_ns // chosen.interval_ns
    ahead = chosen.skew_ns // chosen.interval_ns
    # Readings of the clock are of 64 bits.
    most = min(chosen.tick_count - 1, 2**40, (2**64 - T0) // chosen.interval_ns - 100)
    now = draw(st.integers(0, most) | st.integers(max(0, most - 5), most))
    ticks = st.integers(max(0, now - behind), min(most, now + ahead))
    sealer = FrameSealer(generation(chosen))
    payloads = st.binary(max_size=chosen.frame_bytes)
    frames = []
    for tick in sorted(draw(st.lists(ticks, min_size=1, max_size=6))):
        payload, flags = draw(payloads), draw(st.sampled_from((0, 4, 8, 12)))
        kind = draw(st.integers(0, 1))
        frames.append((payload, tick, flags, kind, sealer.seal(payload, tick, flags, kind)))
    return chosen, now, frames


@given(sealed_streams(), st.randoms(use_true_random=False))
def test_opening_gives_back_what_was_sealed_in_any_order_with_any_loss_and_repetition(
    stream: tuple[StreamParameters, int, list[Any]], random: Any
) -> None:
    chosen, now, frames = stream
    opener = FrameOpener(generation(chosen))
    clock = reading(chosen, now)
    span = -(-(chosen.past_ns + chosen.skew_ns) // chosen.interval_ns)
    arriving = [
        (number, index, segment)
        for number, frame in enumerate(frames)
        for index, segment in enumerate(frame[4])
        if random.random() < 0.9
    ] * 2
    random.shuffle(arriving)
    seen: set[tuple[int, int]] = set()
    for number, index, segment in arriving:
        payload, tick, flags, kind, segments = frames[number]
        answer = opener.open(random.choice((bytes, bytearray, memoryview))(segment), clock)
        if (number, index) in seen:
            assert reason(answer) in {errors.REPLAYED, errors.LATE}
        elif tick < opener.highest_tick - span:
            assert reason(answer) == errors.LATE
        else:
            size = chosen.segment_bytes
            assert isinstance(answer, OpenedSegment), answer
            assert answer.payload == payload[index * size : (index + 1) * size]
            assert (answer.frame_number, answer.segment_index) == (number, index)
            assert (answer.tick, answer.kind) == (tick, kind)
            whole = 2 * (index == len(segments) - 1) + (index == 0)
            assert answer.flags == flags | whole
            seen.add((number, index))
    assert opener.opened == len(seen)
    assert sum(opener.refusals.values()) == len(arriving) - len(seen)


@pytest.mark.parametrize("profile", [0, 1])
@given(st.lists(st.integers(1, 2**31) | st.integers(1, 3), min_size=1, max_size=5))
def test_frame_numbers_are_rebuilt_after_losses_of_nearly_half_their_low_bits(
    profile: int, steps: list[int]
) -> None:
    sealer, opener = pair(profile=profile)
    now = reading(parameters(), 10)
    number = -1
    for step in steps:
        number += step if profile == 0 else 1 + step % 2**15
        skip_to(sealer, number)
        (segment,) = sealer.seal(b"x", 10)
        answer = opener.open(segment, now)
        assert isinstance(answer, OpenedSegment)
        assert answer.frame_number == opener.highest_frame == number


@pytest.mark.parametrize("profile", [0, 1])
def test_half_the_low_bits_reach_back_and_half_ahead(profile: int) -> None:
    half = 1 << (31 if profile == 0 else 15)
    _, opener = pair(profile=profile)
    now = reading(parameters(), 10)
    answers = []
    for number in (5, half + 5, 6, 5, 2 * half + 5, 2 * half + 5 + half + 1):
        sealer, _ = pair(profile=profile)
        skip_to(sealer, number)
        answers.append(reason(opener.open(sealer.seal(b"x", 10)[0], now)))
    # One further behind than half is taken for one ahead, one further ahead for one behind.
    ahead = errors.WRONG_KEY_HASH
    assert answers == ["opened", "opened", errors.STALE, ahead, "opened", errors.STALE]


def test_a_sink_that_joins_late_begins_at_the_frame_it_is_told() -> None:
    chosen = parameters(depth=16)
    source = generation(chosen)
    granted = Generation.from_grant(
        source.metadata, chosen, source.grant(1000, 2000), handle=source.handle
    )
    opener = FrameOpener(granted, highest_frame=2**33)
    sealer = FrameSealer(source)
    skip_to(sealer, 2**33)
    (before,) = sealer.seal(b"", 1500)
    (first,) = sealer.seal(b"", 1500)
    now = reading(chosen, 1500)
    assert reason(opener.open(before, now)) == errors.STALE
    assert reason(opener.open(first, now)) == "opened"
    assert opener.highest_frame == 2**33 + 1
    for highest in (-2, 2**63):
        with pytest.raises(LocalProtocolError):
            FrameOpener(generation(chosen), highest_frame=highest)


def test_ticks_never_granted_are_late_and_ticks_beyond_the_tree_exhausted() -> None:
    chosen = parameters(depth=7)
    source = generation(chosen)
    sealer = FrameSealer(generation(chosen))
    segments = {tick: sealer.seal(b"", tick)[0] for tick in (99, 100, 103, 104)}
    granted = Generation.from_grant(
        source.metadata, chosen, source.grant(100, 104), handle=source.handle
    )
    opener = FrameOpener(granted)
    now = reading(chosen, 103)
    assert reason(opener.open(segments[99], now)) == errors.LATE
    assert reason(opener.open(segments[104], now)) == errors.LATE
    assert reason(opener.open(segments[103], now)) == "opened"
    beyond = unpack(segments[103])
    assert beyond
    beyond.tick = 128
    segment = beyond.pack() + segments[103][16:]
    assert reason(opener.open(segment, reading(chosen, 127))) == errors.EXHAUSTED


# --- What is not authentic opens nothing ---


@pytest.mark.parametrize("suite", [1, 2, 3])
@pytest.mark.parametrize("profile", [0, 1])
@pytest.mark.parametrize("renewal", [0, 1])
def test_no_single_flipped_bit_opens_anything_or_moves_any_state(
    suite: int, profile: int, renewal: int
) -> None:
    sealer, opener = pair(suite=suite, profile=profile, renewal=renewal, hash_length=8)
    now = reading(parameters(), 100)
    frames = [sealer.seal(bytes(size), tick) for size, tick in ((0, 98), (20, 100), (16, 101))]
    for segment in itertools.chain(*frames):
        before = state(opener)
        for bit in range(8 * len(segment)):
            answer = opener.open(flipped(segment, bit), now)
            assert reason(answer) in errors.REASONS, bit
        assert state(opener) == before
        assert reason(opener.open(segment, now)) == "opened"


@given(
    st.binary(max_size=80)
    | st.binary(min_size=40, max_size=70).map(lambda b: b"\x10\x03\x34\xab\xcd\x12\x34" + b)
)
@example(b"")
def test_any_bytes_give_a_reason_and_later_frames_are_unharmed(data: bytes) -> None:
    sealer, opener = pair()
    now = reading(parameters(), 100)
    (first,) = sealer.seal(b"first", 100)
    assert reason(opener.open(first, now)) == "opened"
    before = state(opener)
    for view in (data, bytearray(data), memoryview(data)):
        assert reason(opener.open(view, now)) in errors.REASONS
    assert state(opener) == before
    assert sum(opener.refusals.values()) == 3
    for segment in sealer.seal(b"of two segments too", 101):
        assert reason(opener.open(segment, now)) == "opened"


def test_a_segment_of_another_stream_or_generation_does_not_open() -> None:
    chosen = parameters()
    sealer = FrameSealer(generation(chosen, secret=b"\x01" * 32))
    opener = FrameOpener(generation(chosen))
    (segment,) = sealer.seal(b"", 5)
    assert reason(opener.open(segment, reading(chosen, 5))) == errors.WRONG_KEY_HASH


# --- Limits ---


def test_failed_openings_are_capped_for_a_generation() -> None:
    sealer, opener = pair(suite=3)
    assert opener._forgeries_left == 2**16
    opener._forgeries_left = 2
    now = reading(parameters(), 5)
    good = [sealer.seal(b"x", 5)[0] for _ in range(2)]
    hash_at = constants.HEADER_BYTES[0]
    for _ in range(5):
        answer = opener.open(flipped(good[0], 8 * hash_at), now)
        assert reason(answer) == errors.WRONG_KEY_HASH
    for _ in range(2):
        assert reason(opener.open(flipped(good[0], -1), now)) == errors.FORGED
    assert [reason(opener.open(one, now)) for one in good] == [errors.EXHAUSTED] * 2
    # Another reading of the clock does not bring it back.
    assert reason(opener.open(good[1], reading(parameters(), 6))) == errors.EXHAUSTED
    for suite in (1, 2):
        assert pair(suite=suite)[1]._forgeries_left == 2**36


def test_an_unauthenticated_segment_costs_one_derivation_and_a_refused_one_before_none() -> None:
    sealer, opener = pair()
    now = reading(parameters(), 100)
    (good,) = sealer.seal(b"x", 100)
    for segment in (good[:-20], flipped(good, 5), b"", flipped(good, 8)):
        opener.open(segment, now)
    assert opener.keys_derived == 0
    opener.open(flipped(good, -1), now)
    assert opener.keys_derived == 1
    opener.open(flipped(good, 8 * 16), now)
    assert opener.keys_derived == 2


def test_the_further_segments_of_a_frame_derive_no_key_again() -> None:
    sealer, opener = pair()
    now = reading(parameters(), 100)
    frames = [sealer.seal(bytes(40), 100) for _ in range(3)]
    for index in range(3):
        for segments in frames:
            assert reason(opener.open(segments[index], now)) == "opened"
    assert opener.keys_derived == 3
    for _ in range(40):
        opener.open(sealer.seal(bytes(40), 100)[0], now)
    assert len(known(opener)) == 16


@pytest.mark.parametrize("renewal", [0, 1])
def test_what_was_found_for_the_last_segment_holds_while_nothing_moves_and_no_longer(
    renewal: int,
) -> None:
    def fresh() -> tuple[FrameSealer, FrameOpener, list[bytes]]:
        sealer, opener = pair(suite=3, renewal=renewal)
        segments = sealer.seal(bytes(60), 100)
        for segment in segments[:2]:
            assert reason(opener.open(segment, now)) == "opened"
        assert not isinstance(opener, PureFrameOpener) or opener._recent
        return sealer, opener, segments

    now = reading(parameters(), 100)
    _, opener, segments = fresh()
    assert reason(opener.open(segments[1], now)) == errors.REPLAYED
    assert reason(opener.open(flipped(segments[2], -1), now)) == errors.FORGED
    assert reason(opener.open(segments[2], now)) == "opened"
    # Of another tick or another frame nothing was found.
    _, opener, segments = fresh()
    tick_end, number_end = 9, 13
    assert reason(opener.open(flipped(segments[2], 8 * tick_end), now)) == errors.WRONG_KEY_HASH
    other_frame = errors.WRONG_KEY_HASH if renewal else errors.FORGED
    assert reason(opener.open(flipped(segments[2], 8 * number_end), now)) == other_frame
    assert reason(opener.open(segments[2], now)) == "opened"
    # The clock went on.
    assert reason(opener.open(segments[3], reading(parameters(), 121))) == errors.LATE
    # The tick was erased.
    sealer, opener, segments = fresh()
    (later,) = sealer.seal(b"", 126)
    assert reason(opener.open(later, reading(parameters(), 126))) == "opened"
    assert not getattr(opener, "_recent", None)
    assert reason(opener.open(segments[2], now)) == errors.LATE
    # Something else was announced.
    _, opener, segments = fresh()
    opener.announce(101, 200)
    assert not getattr(opener, "_recent", None)
    assert reason(opener.open(segments[2], now)) == errors.LATE
    # The failed openings were used up.
    _, opener, segments = fresh()
    opener._forgeries_left = 1
    assert reason(opener.open(flipped(segments[2], -1), now)) == errors.FORGED
    assert reason(opener.open(segments[2], now)) == errors.EXHAUSTED
    # It was told to forget.
    _, opener, segments = fresh()
    opener.clear()
    assert not getattr(opener, "_recent", None)
    assert reason(opener.open(segments[2], now)) == errors.LATE
    # A frame so far ahead came that the same low bits stand for another number now.
    _, opener, segments = fresh()
    far, _ = pair(suite=3, renewal=renewal)
    skip_to(far, 2**31 + 1)
    assert reason(opener.open(far.seal(b"", 100)[0], now)) == "opened"
    assert reason(opener.open(segments[2], now)) == other_frame
    # Another frame came between, whole or not.
    for size in (0, 60):
        sealer, opener, segments = fresh()
        for segment in (*sealer.seal(bytes(size), 100), *segments[2:]):
            assert reason(opener.open(segment, now)) == "opened"


def test_one_key_an_interval_is_derived_once() -> None:
    sealer, opener = pair(renewal=0)
    for tick in (5, 5, 5, 6, 6):
        for segment in sealer.seal(bytes(20), tick):
            assert reason(opener.open(segment, reading(parameters(), 6))) == "opened"
    assert opener.keys_derived == 2


def test_after_clear_everything_is_refused() -> None:
    sealer, opener = pair()
    now = reading(parameters(), 5)
    first, second = sealer.seal(bytes(20), 5)
    assert reason(opener.open(first, now)) == "opened"
    opener.clear()
    assert not known(opener)
    assert reason(opener.open(second, now)) == errors.LATE
    assert reason(opener.open(second, reading(parameters(), 6))) == errors.LATE
    assert repr(opener).endswith("highest frame 0>")


@settings(max_examples=10)
@given(st.integers(0, 2**37))
def test_the_highest_tick_never_goes_back(tick: int) -> None:
    chosen = parameters(depth=48)
    opener = FrameOpener(generation(chosen))
    highest = -1
    for number, sent in enumerate((tick, tick + 5, tick + 2)):
        sealer = FrameSealer(generation(chosen))
        skip_to(sealer, number)
        assert reason(opener.open(sealer.seal(b"", sent)[0], reading(chosen, tick + 3))) == "opened"
        highest = max(highest, sent)
        assert opener.highest_tick == highest
