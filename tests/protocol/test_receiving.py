"""SegmentReceiver: many streams, generations that overlap, completeness, and no exception."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import (
    METADATA,
    SECOND,
    Reading,
    any_parameters,
    flipped,
    generation,
    parameters,
    reading,
    skip_to,
    vectors,
)
from test_sealing import golden

from tickseal import Frame, FrameSealer, Generation, Profile, SegmentReceiver, StreamParameters
from tickseal.core import constants, errors
from tickseal.core.errors import LocalProtocolError
from tickseal.streams.receiving import ReceivedGeneration
from tickseal.streams.summary import Summary

SCENARIOS = vectors("segments")["scenarios"]
HANDLE = generation(parameters()).handle


def receiving(
    *settings: StreamParameters, **options: Any
) -> tuple[SegmentReceiver, list[ReceivedGeneration], list[FrameSealer]]:
    receiver = SegmentReceiver(settings[0].profile)
    installed = [receiver.install(generation(one), **options) for one in settings]
    return receiver, installed, [FrameSealer(generation(one)) for one in settings]


def refusals(receiver: SegmentReceiver, handle: int = HANDLE) -> dict[str, int]:
    """All that was refused, wherever it was counted."""
    total = receiver.refusals.copy()
    for received in receiver.generations(handle):
        total += received.opener.refusals
    return dict(total)


def shifted(now: Reading, by_ns: int) -> Reading:
    return Reading(now.earliest_ns + by_ns, now.latest_ns + by_ns)


# --- The golden scenarios ---


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: f"{s['stream']}: {s['name']}")
def test_answers_each_segment_of_the_golden_scenarios(scenario: dict[str, Any]) -> None:
    stream = golden(scenario["stream"])
    receiver = SegmentReceiver(stream.parameters.profile)
    received = receiver.install(stream, is_live=scenario["steps"][0]["live"])
    opener = received.opener
    opener._forgeries_left -= scenario["failed_openings"]
    announced = None
    for step in scenario["steps"]:
        if step["revoked"]:
            receiver.revoke(stream.handle)
        if step["backfill"] != announced:
            announced = step["backfill"]
            opener.announce(*announced)
        before, opened = receiver.refusals + opener.refusals, opener.opened
        receiver.receive([bytes.fromhex(step["segment"])], Reading(*step["clock"]))
        news = receiver.refusals + opener.refusals - before
        # A summary of the vectors need not be one that a source would seal.
        if step.get("opened", {}).get("kind") == constants.KIND_SUMMARY:
            news.clear()
        assert dict(news) == ({step["refused"]: 1} if "refused" in step else {}), step["why"]
        assert opener.opened == opened + ("opened" in step)


# --- Frames ---


@given(
    any_parameters(depth=32, epoch_bits=0), st.lists(st.binary(max_size=100), max_size=8), st.data()
)
def test_gives_every_frame_that_arrived_whole(
    chosen: StreamParameters, payloads: list[bytes], data: st.DataObject
) -> None:
    payloads = [payload[: chosen.frame_bytes] for payload in payloads]
    receiver, (received,), (sealer,) = receiving(chosen)
    now = reading(chosen, 1000)
    expected = []
    for number, payload in enumerate(payloads):
        segments = sealer.seal(payload, 1000, constants.FLAG_HOLDOVER)
        lost = data.draw(st.sets(st.integers(0, len(segments) - 1), max_size=1))
        arriving = data.draw(st.permutations(segments))
        arriving = [one for one in arriving if segments.index(one) not in lost]
        frames = receiver.receive(arriving + arriving[:1], now)
        assert len(frames) == (not lost)
        for frame in frames:
            assert frame == Frame(received.opener.generation, number, 1000, payload, frame.flags)
            assert frame.flags & constants.FLAG_HOLDOVER
            expected.append(payload)
    assert received.frames == len(expected)
    assert received.payload_bytes == sum(map(len, expected))


@given(st.lists(st.binary(max_size=70), max_size=10), st.sampled_from(Profile))
def test_any_bytes_raise_nothing_and_harm_nothing(junk: list[bytes], profile: Profile) -> None:
    receiver, (received,), (sealer,) = receiving(parameters(profile=profile))
    now = reading(parameters(), 5)
    good = sealer.seal(bytes(40), 5)
    head = good[0][:8]
    arriving = [*junk, good[0], *[head + one for one in junk], good[1], *junk, good[2]]
    arriving += [flipped(good[1], 8 * len(one)) for one in junk if len(one) < len(good[1])]
    frames = receiver.receive([memoryview(one) for one in arriving], now)
    assert [frame.payload for frame in frames] == [bytes(40)]
    total = sum(refusals(receiver).values()) + received.opener.opened
    assert total == len(arriving)


def test_a_tap_is_told_of_each_segment_that_opened_and_of_no_other() -> None:
    receiver, (received,), (sealer,) = receiving(parameters())
    told: list[Any] = []
    receiver.tap = lambda *what: told.append(what)
    first, second = sealer.seal(bytes(20), 5)
    arriving = [first, first, flipped(second, -1), b"", second]
    receiver.receive(arriving, reading(parameters(), 5))
    assert [(whose, segment) for whose, segment, _ in told] == [
        (received, first),
        (received, second),
    ]
    assert [opened.segment_index for _, _, opened in told] == [0, 1]


def test_many_streams_share_a_receiver() -> None:
    chosen = parameters()
    receiver = SegmentReceiver()
    made = {
        handle: [
            Generation.derive(
                METADATA, chosen, initial_secret=bytes(32), salt=bytes(32), handle=handle
            )
            for _ in range(2)
        ]
        for handle in (1, 2, 1 << 31)
    }
    segments = []
    for handle, (source, sink) in made.items():
        receiver.install(sink)
        segments += FrameSealer(source).seal(str(handle).encode(), 9)
    frames = receiver.receive(segments, reading(chosen, 9))
    assert {frame.source.handle: frame.payload for frame in frames} == {
        handle: str(handle).encode() for handle in made
    }


# --- Refusals before a generation is found ---


def test_counts_what_belongs_to_nothing_by_its_reason() -> None:
    receiver, _, (sealer,) = receiving(parameters())
    (good,) = sealer.seal(b"", 5)
    for segment, expected in (
        (good[:15], errors.TRUNCATED),
        (b"", errors.TRUNCATED),
        (flipped(good, 4), errors.WRONG_VERSION),
        (flipped(good, 1), errors.WRONG_VERSION),
        (flipped(good, 2), errors.WRONG_VERSION),
        (flipped(good, 3), errors.WRONG_VERSION),
        # The version comes before the handle.
        (flipped(flipped(good, 1), 30), errors.WRONG_VERSION),
        (flipped(good, 30), errors.UNKNOWN_HANDLE),
        (flipped(good, 16), errors.UNKNOWN_GENERATION),
    ):
        receiver.refusals.clear()
        assert receiver.receive([segment], reading(parameters(), 5)) == []
        assert receiver.refusals == {expected: 1}
    assert receiver.unheld == {HANDLE: 1}


def test_a_revoked_stream_says_so_and_is_forgotten_only_when_told() -> None:
    receiver, (received,), (sealer,) = receiving(parameters())
    now = reading(parameters(), 5)
    first, second = sealer.seal(bytes(20), 5)
    receiver.receive([first], now)
    receiver.revoke(HANDLE)
    assert receiver.generations(HANDLE) == []
    assert received.opener.generation.walker.nodes() == []
    # Whatever the generation: the stream is revoked.
    receiver.receive([second, flipped(second, 16)], now)
    assert receiver.refusals == {errors.REVOKED: 2}
    with pytest.raises(LocalProtocolError, match="revoked"):
        receiver.install(generation(parameters(generation=2)))
    receiver.forget(HANDLE)
    receiver.receive([second], now)
    assert receiver.refusals[errors.UNKNOWN_HANDLE] == 1
    receiver.install(generation(parameters(generation=2)))
    receiver.forget(77)
    assert receiver.generations(77) == []


def test_install_refuses_what_could_not_be_told_apart() -> None:
    receiver, _, _ = receiving(parameters(generation=0x100))
    with pytest.raises(LocalProtocolError, match="low bits 0x0"):
        receiver.install(generation(parameters(generation=0x200)))
    with pytest.raises(LocalProtocolError, match="COMPACT"):
        receiver.install(generation(parameters(profile=Profile.COMPACT)))
    with pytest.raises(LocalProtocolError, match="STANDARD"):
        SegmentReceiver(Profile.COMPACT).install(generation(parameters()))
    compact = parameters(profile=Profile.COMPACT)
    receiver = SegmentReceiver(Profile.COMPACT)
    for handle, number, fits in ((0x107, 0, True), (0x207, 1, False), (0x107, 16, False)):
        made = Generation.derive(
            METADATA,
            parameters(profile=Profile.COMPACT, generation=number),
            initial_secret=bytes(32),
            salt=bytes(32),
            handle=handle,
        )
        if fits:
            receiver.install(made)
            continue
        with pytest.raises(LocalProtocolError, match="low bits"):
            receiver.install(made)
    assert len(receiver.generations(0x107)) == 1
    assert compact.profile is Profile.COMPACT


# --- Generations ---


def test_generations_overlap_for_the_olders_window_and_the_older_then_ends() -> None:
    old, new = parameters(generation=1), parameters(generation=2, past_ns=0, skew_ns=0)
    receiver, (older, newer), (old_sealer, new_sealer) = receiving(old, new)
    now = reading(old, 100)
    overlap = old.past_ns + old.skew_ns
    assert receiver.receive(old_sealer.seal(b"a", 100), now)
    assert older.ends_at_ns is None
    assert receiver.receive(new_sealer.seal(b"b", 100), now)
    assert (older.ends_at_ns, newer.ends_at_ns) == (now.latest_ns + overlap, None)
    # Frames of the older one still come, and do not bring it back.
    assert receiver.receive(old_sealer.seal(b"c", 100), now)
    assert newer.ends_at_ns is None
    assert receiver.expire(shifted(now, overlap)) == []
    assert receiver.receive(old_sealer.seal(b"d", 100), now)
    assert receiver.expire(shifted(now, overlap + 1)) == [older]
    assert receiver.generations(HANDLE) == [newer]
    assert older.opener.generation.walker.nodes() == []
    assert receiver.receive(old_sealer.seal(b"e", 100), now) == []
    assert receiver.refusals == {errors.UNKNOWN_GENERATION: 1}
    assert receiver.receive(new_sealer.seal(b"f", 100), now)


def test_a_forged_segment_ends_no_generation() -> None:
    receiver, (older, newer), (_, sealer) = receiving(
        parameters(generation=1), parameters(generation=2)
    )
    receiver.receive([flipped(sealer.seal(b"", 9)[0], -1)], reading(parameters(), 9))
    assert newer.opener.refusals == {errors.FORGED: 1}
    assert older.ends_at_ns is None


def test_a_generation_that_was_passed_over_does_not_end_the_newest() -> None:
    receiver, (first, second, third), sealers = receiving(
        *(parameters(generation=number) for number in (1, 2, 3))
    )
    now = reading(parameters(), 9)
    for place in (2, 1, 0, 2):
        assert receiver.receive(sealers[place].seal(b"", 9), now)
    assert first.ends_at_ns is not None
    assert second.ends_at_ns is not None
    assert third.ends_at_ns is None


def test_a_third_generation_does_not_lengthen_the_firsts_life() -> None:
    receiver, (first, second, third), sealers = receiving(
        *(parameters(generation=number) for number in (1, 2, 3))
    )
    now = reading(parameters(), 9)
    receiver.receive(sealers[1].seal(b"", 9), now)
    ends_at_ns = first.ends_at_ns
    receiver.receive(sealers[2].seal(b"", 10), shifted(now, SECOND))
    assert first.ends_at_ns == ends_at_ns
    assert second.ends_at_ns == shifted(now, SECOND).latest_ns + 2_500_000_000
    assert third.ends_at_ns is None


def test_a_backfilled_generation_ends_when_it_is_told_to() -> None:
    receiver, (older, _), (old_sealer, new_sealer) = receiving(
        parameters(generation=1), parameters(generation=2)
    )
    now = reading(parameters(), 9)
    segments = old_sealer.seal(b"spooled", 9)
    assert receiver.receive(new_sealer.seal(b"", 9), now)
    older.opener.announce(0, 100)
    late = shifted(now, 3600 * SECOND)
    assert receiver.expire(late) == []
    assert receiver.receive(segments, late)
    assert older.ends_at_ns is not None
    receiver.erase(HANDLE, 1)
    assert receiver.find(HANDLE, 1) is None
    assert older.opener.generation.walker.nodes() == []


def test_an_offline_generation_does_not_take_over() -> None:
    receiver = SegmentReceiver()
    live = receiver.install(generation(parameters(generation=1)))
    offline = receiver.install(generation(parameters(generation=2)), is_live=False)
    offline.opener.announce(0, 10)
    now = reading(parameters(), 9)
    sealer = FrameSealer(generation(parameters(generation=2)))
    assert receiver.receive(sealer.seal(b"", 9), now)
    assert live.ends_at_ns is None
    receiver.erase(HANDLE, 2)
    receiver.erase(HANDLE, 2)
    receiver.erase(77, 2)
    assert receiver.find(HANDLE, 1) is live


# --- Completeness ---


def summary(sealer: FrameSealer, tick: int, *, is_final: bool = False) -> list[bytes]:
    content = Summary(
        until_frame=sealer.frame_number, from_tick=0, until_tick=tick + 1, is_final=is_final
    )
    return sealer.seal(content.encode(), tick, 0, constants.KIND_SUMMARY)


@given(arrives=st.lists(st.booleans(), max_size=20), ends_with_a_summary=st.booleans())
def test_missing_frames_are_those_sealed_and_not_here(
    arrives: list[bool], *, ends_with_a_summary: bool
) -> None:
    receiver, (received,), (sealer,) = receiving(parameters())
    now = reading(parameters(), 9)
    known = lost = 0
    for number, comes in enumerate(arrives):
        segments = sealer.seal(bytes(40), 9)
        if comes:
            assert len(receiver.receive(segments, now)) == 1
            known = number + 1
        lost += not comes
    if ends_with_a_summary:
        assert receiver.receive(summary(sealer, 9, is_final=True), now) == []
        assert received.summary is not None
        assert received.summary.is_final
        assert received.missing_frames == lost
        assert received.frames == len(arrives) - lost + 1
    else:
        assert received.missing_frames == known - sum(arrives)
    assert received.payload_bytes == 40 * (len(arrives) - lost)


def test_a_summary_tells_of_frames_that_a_later_one_lost() -> None:
    receiver, (received,), (sealer,) = receiving(parameters())
    now = reading(parameters(), 9)
    first = summary(sealer, 9)
    for _ in range(5):
        sealer.seal(b"withheld", 9)
    second = summary(sealer, 9)
    receiver.receive(second, now)
    assert received.missing_frames == 6
    # An older one that comes later does not count back.
    receiver.receive(first, now)
    assert received.summary is not None
    assert received.summary.until_frame == 6
    assert received.missing_frames == 5


def test_a_late_joiner_misses_only_what_came_after_it_joined() -> None:
    receiver, (received,), (sealer,) = receiving(parameters(), highest_frame=99)
    now = reading(parameters(), 9)
    skip_to(sealer, 99)
    stale = sealer.seal(b"", 9)
    sealer.seal(b"lost", 9)
    assert received.missing_frames == 0
    assert receiver.receive(stale + sealer.seal(b"", 9), now)[0].number == 101
    assert received.missing_frames == 1
    assert received.opener.refusals == {errors.STALE: 1}


def test_an_authentic_summary_that_is_none_is_counted_and_harms_nothing() -> None:
    receiver, (received,), (sealer,) = receiving(parameters())
    now = reading(parameters(), 9)
    for junk in (b"", b"\xa0", b"\xff" * 20):
        assert receiver.receive(sealer.seal(junk, 9, 0, constants.KIND_SUMMARY), now) == []
    assert receiver.refusals == {errors.MALFORMED: 3}
    assert received.summary is None
    assert (received.frames, received.payload_bytes) == (3, 0)
