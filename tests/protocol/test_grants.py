"""GrantHolder: what a sink may open, renewed, superseded, withdrawn, over."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import METADATA, SECOND, Reading, generation, parameters, reading

from tickseal import FrameSealer, Generation, StreamMetadata, StreamParameters
from tickseal.core.errors import LocalProtocolError
from tickseal.sessions.events import GrantReceived
from tickseal.sessions.grants import GrantHolder

LONG = {"past_ns": 1000 * SECOND, "skew_ns": 1000 * SECOND}


def granted(
    settings: StreamParameters,
    ticks: tuple[int, int],
    *,
    frame_from: int = 0,
    metadata: StreamMetadata = METADATA,
    handle: int = 0,
) -> GrantReceived:
    source = generation(settings)
    return GrantReceived(
        generation=Generation.from_grant(
            metadata, settings, source.grant(*ticks), handle=handle or source.handle
        ),
        device="d",
        ticks=ticks,
        frame_from=frame_from,
    )


def opened(holder: GrantHolder, segments: list[bytes], now: Reading) -> list[bytes]:
    return [frame.payload for frame in holder.receiver.receive(segments, now)]


@given(
    st.integers(0, 3),
    st.lists(st.tuples(st.integers(0, 80), st.integers(1, 30)), min_size=1, max_size=5),
    st.integers(0, 120),
)
def test_it_opens_just_the_epochs_of_the_last_grant_that_are_not_erased(
    epoch_bits: int, spans: list[tuple[int, int]], at: int
) -> None:
    settings = parameters(epoch_bits=epoch_bits, **LONG)
    holder = GrantHolder()
    start = 0
    for first, length in sorted(spans):
        holder.take(granted(settings, (first, first + length)))
        bits = settings.epoch_bits
        start, end = first >> bits << bits, (((first + length - 1) >> bits) + 1) << bits
    (segment,) = FrameSealer(generation(settings)).seal(b"x", at)
    came = opened(holder, [segment], reading(settings, at))
    assert came == ([b"x"] if start <= at < end else [])


def test_renewing_keeps_what_was_seen_and_what_was_erased() -> None:
    settings = parameters(past_ns=SECOND, skew_ns=0)
    sealer, holder = FrameSealer(generation(settings)), GrantHolder()
    holder.take(granted(settings, (0, 20)))
    segments = {tick: sealer.seal(b"%d" % tick, tick) for tick in range(0, 40, 2)}
    assert opened(holder, segments[10], reading(settings, 10)) == [b"10"]
    assert opened(holder, segments[24], reading(settings, 24)) == []
    holder.take(granted(settings, (0, 40)))
    now = reading(settings, 24)
    assert opened(holder, segments[24], now) == [b"24"]
    assert opened(holder, segments[24], now) == []
    (received,) = holder.receiver.generations(generation(settings).handle)
    assert received.opener.refusals["replayed"] == 1
    assert received.opener.generation.walker.start == 14
    holder.take(granted(settings, (0, 50)))
    assert received.opener.generation.walker.start == 14
    # Renewed between two batches under one reading of the clock: the window follows at once.
    holder.take(granted(settings, (26, 50)))
    assert opened(holder, segments[20], now) == []
    assert received.opener.refusals["late"] == 2


def test_a_grant_that_contradicts_the_one_held_is_refused_and_changes_nothing() -> None:
    settings = parameters(**LONG)
    holder = GrantHolder()
    received = holder.take(granted(settings, (0, 20)))
    other = StreamMetadata(id=METADATA.id, type="another")
    with pytest.raises(LocalProtocolError, match="contradict"):
        holder.take(granted(settings, (0, 30), metadata=other))
    assert received.opener.generation.walker.end == 20


def test_compact_streams_that_look_alike_are_told_apart_by_the_handle_beside_them() -> None:
    settings = parameters(profile=1, suite=3, hash_length=8, **LONG)
    other = parameters(profile=1, suite=3, hash_length=8, interval_ns=50_000_000, **LONG)
    holder = GrantHolder()
    first, second = 0x0100_0034, 0x0200_0034  # both with 0x34 in their headers
    for handle, one in ((first, settings), (second, other)):
        holder.take(granted(one, (0, 30), handle=handle))
    holder.take(granted(parameters(**LONG), (0, 30)))  # one with the standard header beside them
    now = reading(settings, 5)
    (segment,) = FrameSealer(generation(settings)).seal(b"x", 5)
    assert segment[2] == 0x34
    assert holder.receive([segment], now, second) == []
    assert holder.receive([segment], now, 0x0300_0034) == []
    assert [frame.payload for frame in holder.receive([segment], now, first)] == [b"x"]
    (received,) = holder.generations(first)
    assert holder.find(first, settings.generation) is received
    holder.erase(first, settings.generation)
    assert received.opener.generation.walker.nodes() == []
    assert holder.receive([segment], now, first) == []
    holder.clear()
    assert holder.generations(second) == []


def test_what_is_withdrawn_opens_nothing_and_leaves_no_secret() -> None:
    settings = parameters(**LONG)
    holder = GrantHolder()
    received = holder.take(granted(settings, (0, 20)))
    (segment,) = FrameSealer(generation(settings)).seal(b"x", 5)
    handle, number = received.opener.generation.handle, settings.generation
    holder.erase(handle, number)
    holder.erase(handle, number)
    assert opened(holder, [segment], reading(settings, 5)) == []
    assert received.opener.generation.walker.nodes() == []
    again = holder.take(granted(settings, (0, 20)))
    assert opened(holder, [segment], reading(settings, 5)) == [b"x"]
    holder.clear()
    assert again.opener.generation.walker.nodes() == []


def test_a_grant_that_is_not_renewed_is_erased_once_its_last_segment_is_late() -> None:
    settings = parameters(past_ns=2 * SECOND)
    holder = GrantHolder()
    received = holder.take(granted(settings, (0, 10)))
    end_ns = settings.t0_ns + SECOND + 2 * SECOND
    assert holder.expire(Reading(end_ns, end_ns)) == []
    assert received.opener.generation.walker.nodes()
    assert holder.expire(Reading(end_ns + 1, end_ns + 1)) == [received]
    assert received.opener.generation.walker.nodes() == []


def test_an_older_generation_ends_when_its_overlap_has_passed() -> None:
    old, new = parameters(generation=1), parameters(generation=2)
    holder = GrantHolder()
    held = [holder.take(granted(settings, (0, 10_000))) for settings in (old, new)]
    (segment,) = FrameSealer(generation(new)).seal(b"new", 3)
    assert opened(holder, [segment], reading(new, 3)) == [b"new"]
    later = reading(new, 3).latest_ns + new.past_ns + new.skew_ns + 1
    assert holder.expire(Reading(later, later)) == [held[0]]
    assert holder.expire(Reading(later, later)) == []


def test_the_oldest_of_too_many_generations_makes_way() -> None:
    holder = GrantHolder()
    held = [holder.take(granted(parameters(generation=n), (0, 10))) for n in range(9)]
    handle = held[0].opener.generation.handle
    assert holder.receiver.generations(handle) == held[1:]


def test_the_tap_sees_what_was_opened_and_nothing_else() -> None:
    settings = parameters(**LONG)
    holder = GrantHolder()
    holder.take(granted(settings, (0, 20)))
    told: list[tuple[Any, ...]] = []
    holder.receiver.tap = lambda *what: told.append(what)
    sealer = FrameSealer(generation(settings))
    segments = sealer.seal(bytes(range(40)), 5)
    forged = segments[1][:-1] + bytes([segments[1][-1] ^ 1])
    holder.receiver.receive([segments[0], forged, b"", *segments], reading(settings, 5))
    assert [segment for _, segment, _ in told] == [segments[0], *segments[1:]]
    assert [row.segment_index for _, _, row in told] == [0, 1, 2]
