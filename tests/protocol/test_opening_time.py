"""FrameOpener and time: the window to the tick, what is erased, and backfill."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import (
    SECOND,
    T0,
    Reading,
    first_tick,
    generation,
    known,
    pair,
    parameters,
    path,
    prepared,
    reading,
    reason,
    skip_to,
)

from tickseal import FrameOpener, FrameSealer, Generation, OpenedSegment
from tickseal.core import errors
from tickseal.core.errors import LocalProtocolError

# --- Time ---


@pytest.mark.parametrize("profile", [0, 1])
@pytest.mark.parametrize("width_ns", [0, 30_000_000, 700_000_000])
def test_the_window_ends_at_one_tick_on_each_side_for_a_skewed_clock(
    profile: int, width_ns: int
) -> None:
    chosen = parameters(profile=profile)
    now = reading(chosen, 1000, width_ns)
    lower = chosen.tick_at(now.earliest_ns - chosen.past_ns)
    upper = chosen.tick_at(now.latest_ns + chosen.skew_ns)
    sealer = FrameSealer(generation(chosen))
    sealed = {tick: sealer.seal(b"", tick)[0] for tick in (lower - 1, lower, upper, upper + 1)}
    opener = FrameOpener(generation(chosen))
    assert reason(opener.open(sealed[lower - 1], now)) == errors.LATE
    assert reason(opener.open(sealed[lower], now)) == "opened"
    assert reason(opener.open(sealed[upper + 1], now)) == errors.EARLY
    assert reason(opener.open(sealed[upper], now)) == "opened"


@given(st.integers(0, 2**37), st.integers(-3, 3), st.integers(0, 50_000_000))
def test_a_segment_opens_just_when_its_tick_lies_in_the_window(
    tick: int, off: int, width: int
) -> None:
    chosen = parameters(depth=48, past_ns=150_000_000, skew_ns=150_000_000)
    sealer, opener = FrameSealer(generation(chosen)), FrameOpener(generation(chosen))
    (segment,) = sealer.seal(b"", tick)
    middle = T0 + tick * chosen.interval_ns + chosen.interval_ns // 2
    middle = max(0, middle + off * chosen.interval_ns)
    now = Reading(middle - width, middle + width)
    answer = reason(opener.open(segment, now))
    earliest_past = max(T0, now.earliest_ns - chosen.past_ns)
    if chosen.tick_at(earliest_past) > tick:
        assert answer == errors.LATE
    elif now.latest_ns + chosen.skew_ns < T0 + tick * chosen.interval_ns:
        assert answer == errors.EARLY
    else:
        assert answer == "opened"


def test_before_t0_every_tick_is_early() -> None:
    sealer, opener = pair(profile=1)
    now = Reading(T0 - 2 * SECOND, T0 - SECOND)
    for tick in (0, 1, 2**15 - 1, 2**15, 2**16 - 1):
        (segment,) = sealer.seal(b"", tick)
        assert reason(opener.open(segment, now)) == errors.EARLY


def test_the_first_tick_opens_as_soon_as_the_clock_may_lag_behind_it() -> None:
    sealer, opener = pair()
    (segment,) = sealer.seal(b"", 0)
    soonest = T0 - parameters().skew_ns
    assert reason(opener.open(segment, Reading(soonest - 1, soonest - 1))) == errors.EARLY
    assert reason(opener.open(segment, Reading(soonest, soonest))) == "opened"


@pytest.mark.parametrize("profile", [0, 1])
@pytest.mark.parametrize("past_ns", [0, 100_000_000])
def test_half_of_what_the_header_tells_apart_lies_ahead(profile: int, past_ns: int) -> None:
    chosen = parameters(profile=profile, depth=48, past_ns=past_ns, skew_ns=0)
    opener, now = FrameOpener(generation(chosen)), reading(chosen, 1 << 25)
    middle = ((1 << 25) - past_ns // chosen.interval_ns + (1 << 25)) // 2
    half = 1 << (23 if profile == 0 else 15)
    for tick, expected in (
        (middle + half - 1, errors.EARLY),
        (middle + half, errors.LATE),
        (middle - half, errors.LATE),
        (middle - half - 1, errors.EARLY),
    ):
        (segment,) = FrameSealer(generation(chosen)).seal(b"", tick)
        assert reason(opener.open(segment, now)) == expected, tick - middle


@pytest.mark.parametrize(("behind", "expected"), [(2**16 - 2, "opened"), (2**16 - 1, errors.LATE)])
def test_a_window_wider_than_the_header_tells_apart_is_narrowed(behind: int, expected: str) -> None:
    chosen = parameters(
        profile=1, depth=48, interval_ns=1_000_000, past_ns=behind * 1_000_000, skew_ns=0
    )
    (segment,) = FrameSealer(generation(chosen)).seal(b"", 100_000)
    opener = FrameOpener(generation(chosen))
    assert reason(opener.open(segment, reading(chosen, 100_000))) == expected


def test_what_was_punctured_stays_late_when_the_clock_goes_back() -> None:
    sealer, opener = pair(past_ns=SECOND, skew_ns=0)
    sealed = {tick: sealer.seal(b"", tick)[0] for tick in (489, 490, 500)}
    assert reason(opener.open(sealed[500], reading(parameters(), 500))) == "opened"
    back = reading(parameters(), 489)
    assert reason(opener.open(sealed[489], back)) == errors.LATE
    assert reason(opener.open(sealed[490], reading(parameters(), 490))) == "opened"


@given(
    st.integers(1, 8),
    st.integers(0, 2),
    st.integers(0, 1),
    st.lists(st.integers(-3, 6), max_size=30),
)
def test_nothing_behind_the_window_is_derivable_from_all_that_a_sink_holds(
    depth: int, epoch_bits: int, renewal: int, moves: list[int]
) -> None:
    chosen = parameters(
        depth=depth,
        epoch_bits=epoch_bits,
        renewal=renewal,
        past_ns=200_000_000,
        skew_ns=100_000_000,
    )
    opener, tick = FrameOpener(generation(chosen)), 0
    for number, move in enumerate(moves):
        sent = max(0, tick + move)
        if sent >= chosen.tick_count:
            break
        # A source of its own for each, since ticks come mixed here.
        sealer = FrameSealer(generation(chosen))
        skip_to(sealer, number)
        for segment in sealer.seal(bytes(20), sent):
            opener.open(segment, reading(chosen, sent))
        tick = max(tick, opener.highest_tick)
        epoch = max(0, opener.highest_tick - 3) >> epoch_bits
        walker = opener.generation.walker
        assert all(i << level >= epoch for level, i, _ in walker.nodes() + path(walker))
        assert all(held >> epoch_bits >= epoch for held in prepared(opener))
        assert all(held >> epoch_bits >= epoch for held, _ in known(opener))


def test_a_renewed_grant_moves_the_span_and_keeps_the_rest_of_the_state() -> None:
    chosen = parameters(depth=8)
    source, sealer = generation(chosen), FrameSealer(generation(chosen))
    granted = Generation.from_grant(
        source.metadata, chosen, source.grant(90, 100), handle=source.handle
    )
    opener = FrameOpener(granted)
    now = reading(chosen, 100)
    sealed = {tick: sealer.seal(bytes(20), tick) for tick in (95, 99, 100)}
    assert reason(opener.open(sealed[95][0], now)) == "opened"
    assert reason(opener.open(sealed[99][0], now)) == "opened"
    assert reason(opener.open(sealed[100][0], now)) == errors.LATE
    opener.renew(source.grant(98, 110))
    assert {tick for tick, _ in known(opener)} == {99}
    assert reason(opener.open(sealed[95][1], now)) == errors.LATE
    assert reason(opener.open(sealed[99][0], now)) == errors.REPLAYED
    for segment in (sealed[99][1], *sealed[100]):
        assert reason(opener.open(segment, now)) == "opened"


# --- Backfill ---


def test_an_offline_generation_opens_announced_ranges_only() -> None:
    chosen = parameters()
    sealer = FrameSealer(generation(chosen))
    opener = FrameOpener(generation(chosen), live=False)
    now = reading(chosen, 10**6)
    sealed = {tick: sealer.seal(b"", tick)[0] for tick in (99, 100, 150, 199, 200, 900)}
    assert not opener.is_live
    assert reason(opener.open(sealed[100], now)) == errors.EARLY
    opener.announce(100, 200)
    for tick, expected in ((99, errors.LATE), (200, errors.LATE), (199, "opened"), (100, "opened")):
        assert reason(opener.open(sealed[tick], now)) == expected
    assert reason(opener.open(sealed[199], now)) == errors.REPLAYED
    opener.announce(900, 901)
    assert reason(opener.open(sealed[150], now)) == errors.LATE
    assert reason(opener.open(sealed[900], now)) == "opened"
    assert first_tick(opener) == 900


def test_an_announcement_ends_the_live_window_for_good() -> None:
    sealer, opener = pair()
    now = reading(parameters(), 500)
    sealed = {tick: sealer.seal(bytes(20), tick) for tick in (100, 499, 500)}
    assert opener.is_live
    assert reason(opener.open(sealed[499][0], now)) == "opened"
    # What the live window punctured stays so.
    opener.announce(100, 500)
    assert not opener.is_live
    assert reason(opener.open(sealed[100][0], now)) == errors.LATE
    assert reason(opener.open(sealed[500][0], reading(parameters(), 501))) == errors.LATE
    assert reason(opener.open(sealed[499][1], reading(parameters(), 502))) == "opened"


@pytest.mark.parametrize("profile", [0, 1])
@given(data=st.data())
def test_a_range_is_rebuilt_whole_wherever_it_lies(profile: int, data: st.DataObject) -> None:
    widest = 1 << (23 if profile == 0 else 15)
    chosen = parameters(profile=profile, depth=48)
    begin = data.draw(st.integers(0, 2**40))
    size = data.draw(st.integers(1, widest))
    tick = begin + data.draw(st.integers(0, size - 1) | st.just(size - 1))
    opener = FrameOpener(generation(chosen), live=False)
    opener.announce(begin, begin + size)
    (segment,) = FrameSealer(generation(chosen)).seal(b"x", tick)
    answer = opener.open(segment, reading(chosen, 0))
    assert isinstance(answer, OpenedSegment)
    assert answer.tick == tick


@pytest.mark.parametrize("span", [(5, 5), (6, 5), (-1, 5), (0, 2**15 + 1), (2**64 - 1, 2**64 + 1)])
def test_a_range_that_the_header_cannot_tell_apart_is_refused(span: tuple[int, int]) -> None:
    _, opener = pair(profile=1)
    with pytest.raises(LocalProtocolError):
        opener.announce(*span)
    opener.announce(0, 2**15)
