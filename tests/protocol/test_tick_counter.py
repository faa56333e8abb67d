"""Ticks for sealing: never back, and no further ahead than a clock may be followed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickseal.clock import JUMP_LIMIT_NS, BeforeStartError, ClockJumpError, TickCounter
from tickseal.core.errors import ClockError
from tickseal.core.ticks import tick_start
from tickseal.host.clock_fake import FakeClock

MILLISECOND = 1_000_000
SECOND = 1_000_000_000
T0 = 1_800_000_000 * SECOND
INTERVAL = 100 * MILLISECOND


def make(clock: FakeClock) -> TickCounter:
    counter = TickCounter(t0_ns=T0, interval_ns=INTERVAL)
    counter.next(clock.now(), clock.monotonic_ns())
    return counter


def take(counter: TickCounter, clock: FakeClock) -> int:
    return counter.next(clock.now(), clock.monotonic_ns())


def test_follows_a_clock_that_runs() -> None:
    clock = FakeClock(true_ns=T0)
    counter = make(clock)
    ticks = []
    for _ in range(30):
        clock.advance(50 * MILLISECOND)
        ticks.append(take(counter, clock))
    assert ticks == [n // 2 for n in range(1, 31)]
    assert counter.coasted == 0


def test_coasts_through_a_step_back_and_goes_on_where_time_catches_up() -> None:
    clock = FakeClock(true_ns=T0 + 10 * SECOND)
    counter = make(clock)
    clock.step(-SECOND)
    for _ in range(9):
        clock.advance(INTERVAL)
        assert take(counter, clock) == 100
    assert counter.coasted == 9
    clock.advance(2 * INTERVAL)
    assert take(counter, clock) == 101


def test_coasts_on_a_clock_that_fell_behind_t0() -> None:
    clock = FakeClock(true_ns=T0 + SECOND)
    counter = make(clock)
    clock.step(-1_000_000 * SECOND)
    assert take(counter, clock) == 10


def test_gives_one_tick_while_the_clock_stands_still() -> None:
    clock = FakeClock(true_ns=T0 + SECOND)
    counter = make(clock)
    clock.freeze()
    for _ in range(5):
        clock.advance(SECOND)
        assert take(counter, clock) == 10
    clock.thaw()
    clock.advance(SECOND)
    assert take(counter, clock) == 20


def test_says_how_long_until_the_first_tick() -> None:
    clock = FakeClock(true_ns=T0 - 300 * MILLISECOND)
    counter = TickCounter(t0_ns=T0, interval_ns=INTERVAL)
    with pytest.raises(BeforeStartError) as caught:
        take(counter, clock)
    assert caught.value.wait_ns == 300 * MILLISECOND
    clock.advance(caught.value.wait_ns)
    assert take(counter, clock) == 0


def test_does_not_follow_a_jump_of_more_than_a_minute() -> None:
    clock = FakeClock(true_ns=T0)
    counter = make(clock)
    clock.step(JUMP_LIMIT_NS + 1)
    with pytest.raises(ClockJumpError, match="opened again") as caught:
        take(counter, clock)
    assert caught.value.jump_ns == JUMP_LIMIT_NS + 1
    assert isinstance(caught.value, ClockError)
    assert counter.last == 0
    # It is not talked round by asking again,
    with pytest.raises(ClockJumpError):
        take(counter, clock)
    # but goes on once the clock is right again.
    clock.step(-JUMP_LIMIT_NS - 1)
    clock.advance(INTERVAL)
    assert take(counter, clock) == 1


def test_a_new_generation_starts_from_the_clock_as_it_is() -> None:
    clock = FakeClock(true_ns=T0)
    make(clock)
    clock.step(86_400 * SECOND)
    fresh = TickCounter(t0_ns=T0 + 86_400 * SECOND, interval_ns=INTERVAL)
    assert take(fresh, clock) == 0


def test_follows_a_jump_of_a_minute_and_a_long_sleep() -> None:
    clock = FakeClock(true_ns=T0)
    counter = make(clock)
    clock.step(JUMP_LIMIT_NS)
    assert take(counter, clock) == 600
    other = make(clock)
    clock.advance(30 * 86_400 * SECOND)
    assert take(other, clock) > 0


def test_a_step_back_is_no_licence_to_jump() -> None:
    clock = FakeClock(true_ns=T0 + 100 * SECOND)
    counter = make(clock)
    clock.step(-30 * SECOND)
    take(counter, clock)
    clock.step(JUMP_LIMIT_NS + 1)
    with pytest.raises(ClockJumpError):
        take(counter, clock)


def test_many_small_jumps_are_one_large_one() -> None:
    clock = FakeClock(true_ns=T0)
    counter = make(clock)
    with pytest.raises(ClockJumpError):
        for _ in range(10):
            clock.step(10 * SECOND)
            clock.advance(SECOND)
            take(counter, clock)
    assert counter.last * INTERVAL < JUMP_LIMIT_NS + 10 * SECOND


def test_years_of_drift_are_no_jump() -> None:
    clock = FakeClock(true_ns=T0, drift_ppm=400)
    counter = make(clock)
    for _ in range(2000):
        clock.advance(86_400 * SECOND)
        take(counter, clock)
    assert clock.error_ns > 1000 * JUMP_LIMIT_NS / 60


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["advance", "step", "freeze", "thaw", "drift"]),
        st.integers(-(200 * SECOND), 200 * SECOND),
    ),
    max_size=40,
)


def disturb(clock: FakeClock, fault: str, amount: int) -> None:
    if fault == "step":
        clock.step(amount)
    elif fault == "drift":
        clock.drift_ppm = amount / SECOND  # up to 200 ppm
    elif fault != "advance":
        getattr(clock, fault)()
    clock.advance(abs(amount) // 7)


@given(STEPS)
def test_no_tick_is_earlier_than_the_last_whatever_the_clock_does(
    steps: list[tuple[str, int]],
) -> None:
    clock = FakeClock(true_ns=T0)
    counter = make(clock)
    last = counter.last
    for fault, amount in steps:
        disturb(clock, fault, amount)
        try:
            tick = take(counter, clock)
        except ClockJumpError:
            tick = counter.last
        assert tick >= last
        last = tick


@given(STEPS)
def test_an_honest_clock_seals_no_tick_ahead_of_the_truth_by_more_than_its_uncertainty(
    steps: list[tuple[str, int]],
) -> None:
    clock = FakeClock(true_ns=T0, is_honest=True)
    counter = make(clock)
    widest = clock.now().uncertainty_ns
    for fault, amount in steps:
        disturb(clock, fault, amount)
        widest = max(widest, clock.now().uncertainty_ns)
        try:
            tick = take(counter, clock)
        except ClockJumpError:
            continue
        assert tick_start(tick, T0, INTERVAL) <= clock.true_ns + widest


@given(STEPS)
def test_a_lying_clock_gets_no_further_ahead_than_the_limit(steps: list[tuple[str, int]]) -> None:
    clock = FakeClock(true_ns=T0, uncertainty_ns=0)
    counter = make(clock)
    begun = clock.true_ns
    for fault, amount in steps:
        disturb(clock, fault, amount)
        try:
            tick = take(counter, clock)
        except ClockJumpError:
            continue
        followed = (clock.true_ns - begun) // 1000  # the drift that is allowed for
        assert tick_start(tick, T0, INTERVAL) <= clock.true_ns + JUMP_LIMIT_NS + followed
