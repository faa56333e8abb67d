"""Clock readings, ticks for sealing, policy, and time by the gateway."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickseal.clock import (
    JUMP_LIMIT_NS,
    BeforeStartError,
    ClockAction,
    ClockDiscipline,
    ClockInterval,
    ClockJumpError,
    ClockPolicy,
    ClockVerdict,
    GatewayTimeFilter,
    TickCounter,
    clocks_disagree,
)
from tickseal.core.errors import ClockError, LocalProtocolError
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


# --- Readings ---


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_an_interval_holds_its_midpoint_within_its_uncertainty(one: int, other: int) -> None:
    low, high = sorted((one, other))
    reading = ClockInterval(earliest_ns=low, latest_ns=high)
    assert low <= reading.midpoint_ns <= high
    assert reading.midpoint_ns - reading.uncertainty_ns <= low
    assert high <= reading.midpoint_ns + reading.uncertainty_ns
    if low < high:
        with pytest.raises(LocalProtocolError):
            ClockInterval(earliest_ns=high, latest_ns=low)


@given(st.integers(-(2**70), 2**70), st.integers(0, 2**70))
def test_a_reading_never_leaves_what_the_wire_carries(midpoint: int, uncertainty: int) -> None:
    reading = ClockInterval.around(midpoint, uncertainty, ClockDiscipline.NONE)
    assert 0 <= reading.earliest_ns <= reading.latest_ns < 2**64


def test_disciplines_are_the_words_on_the_wire() -> None:
    assert [one.value for one in ClockDiscipline] == (
        ["ptp", "pps", "ntp", "kernel", "gateway", "holdover", "none"]
    )
    steered = {one for one in ClockDiscipline if ClockInterval.around(0, 0, one).is_synchronised}
    assert steered == set(ClockDiscipline) - {ClockDiscipline.HOLDOVER, ClockDiscipline.NONE}


# --- Ticks for sealing ---


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


# --- Policy ---


@pytest.mark.parametrize("action", ClockAction)
@pytest.mark.parametrize(
    ("uncertainty", "discipline", "disagrees", "is_trusted"),
    [
        (MILLISECOND, ClockDiscipline.PTP, False, True),
        (501 * MILLISECOND, ClockDiscipline.PTP, False, False),
        (MILLISECOND, ClockDiscipline.PTP, True, False),
        (SECOND, ClockDiscipline.NONE, False, False),
    ],
)
def test_policy_decides_where_the_clock_cannot_be_trusted(
    action: ClockAction,
    uncertainty: int,
    discipline: ClockDiscipline,
    disagrees: bool,
    is_trusted: bool,
) -> None:
    reading = ClockInterval.around(T0, uncertainty, discipline)
    verdict = ClockPolicy(action=action).judge(reading, disagrees=disagrees)
    assert verdict == (ClockVerdict.SEAL if is_trusted else ClockVerdict(action.value))


@pytest.mark.parametrize("action", ClockAction)
def test_a_narrow_holdover_is_flagged_whatever_the_policy(action: ClockAction) -> None:
    reading = ClockInterval.around(T0, MILLISECOND, ClockDiscipline.HOLDOVER)
    assert ClockPolicy(action=action).judge(reading) == ClockVerdict.FLAG


# --- Clock check ---


def interval(low: int, high: int) -> ClockInterval:
    return ClockInterval(earliest_ns=T0 + low, latest_ns=T0 + high)


@pytest.mark.parametrize(
    ("peer", "disagrees"),
    [((0, 9), True), ((0, 10), False), ((12, 13), False), ((50, 60), False), ((51, 60), True)],
)
def test_clocks_disagree_where_no_pair_of_true_times_exists(
    peer: tuple[int, int], disagrees: bool
) -> None:
    sent, received = interval(10, 20), interval(40, 50)
    assert clocks_disagree(sent, received, T0 + peer[0], T0 + peer[1]) == disagrees


@given(
    st.integers(-SECOND, SECOND), st.integers(-SECOND, SECOND), st.integers(0, SECOND),
    st.integers(0, SECOND),
)  # fmt: skip
def test_honest_clocks_never_disagree(own: int, peer: int, there: int, back: int) -> None:
    clock = FakeClock(is_honest=True)
    clock.step(own)
    sent = clock.now()
    clock.advance(there)
    answer = ClockInterval.around(clock.true_ns + peer, abs(peer), ClockDiscipline.NTP)
    clock.advance(back)
    assert not clocks_disagree(sent, clock.now(), answer.earliest_ns, answer.latest_ns)


# --- Time by the gateway ---

EXCHANGES = st.lists(
    st.tuples(
        st.integers(0, 400 * MILLISECOND),  # there
        st.integers(0, 400 * MILLISECOND),  # back
        st.integers(0, 100 * MILLISECOND),  # the gateway's half width
        st.floats(-1, 1),  # its error as part of that
        st.integers(0, 60 * SECOND),  # until the next
    ),
    min_size=1,
    max_size=40,
)


@given(EXCHANGES, st.floats(-50, 50))
def test_the_gateways_time_holds_the_truth(exchanges: list[Any], crystal_ppm: float) -> None:
    true = T0
    monotonic = 5 * SECOND
    clock = GatewayTimeFilter()
    assert clock.now(monotonic) is None

    def let_pass(elapsed: int) -> None:
        nonlocal true, monotonic
        true += elapsed
        monotonic += elapsed + int(elapsed * crystal_ppm / 1_000_000)

    for there, back, width, error, until_next in exchanges:
        sent = monotonic
        let_pass(there)
        answer = ClockInterval.around(true + int(width * error), width, ClockDiscipline.NTP)
        let_pass(back)
        clock.add(
            sent_monotonic_ns=sent,
            received_monotonic_ns=monotonic,
            peer_earliest_ns=answer.earliest_ns,
            peer_latest_ns=answer.latest_ns,
        )
        let_pass(until_next)
        reading = clock.now(monotonic)
        assert reading is not None
        assert reading.discipline is ClockDiscipline.GATEWAY
        # The crystal's error during the exchange itself is far below what is asked for here.
        slack = (there + back) // 10_000 + 50
        assert reading.earliest_ns - slack <= true <= reading.latest_ns + slack
        assert reading.uncertainty_ns <= (there + back) // 2 + width + until_next // 20_000 + slack


def exchange(clock: GatewayTimeFilter, at: int, *, trip: int, offset: int, width: int = 0) -> None:
    clock.add(
        sent_monotonic_ns=at - trip,
        received_monotonic_ns=at,
        peer_earliest_ns=at - trip // 2 + offset - width,
        peer_latest_ns=at - trip // 2 + offset + width,
    )


def test_the_best_of_the_recent_exchanges_counts() -> None:
    clock = GatewayTimeFilter()
    exchange(clock, 10 * SECOND, trip=2 * MILLISECOND, offset=T0)
    for n in range(1, 10):
        exchange(clock, (10 + n) * SECOND, trip=80 * MILLISECOND, offset=T0 + 30 * MILLISECOND)
    reading = clock.now(19 * SECOND)
    assert reading is not None
    assert abs(reading.midpoint_ns - (T0 + 19 * SECOND)) <= 1
    # Half of 2 ms, and 50 ppm of 9 s.
    assert abs(reading.uncertainty_ns - (1_000_000 + 450_000)) <= 2


def test_a_gateway_whose_clock_was_set_is_followed_at_once() -> None:
    clock = GatewayTimeFilter()
    exchange(clock, 10 * SECOND, trip=2 * MILLISECOND, offset=T0)
    exchange(clock, 12 * SECOND, trip=80 * MILLISECOND, offset=T0 + 3 * SECOND)
    reading = clock.now(12 * SECOND)
    assert reading is not None
    assert abs(reading.midpoint_ns - (T0 + 15 * SECOND)) <= 1
    clock.clear()
    assert clock.now(12 * SECOND) is None


def test_refuses_an_exchange_that_cannot_be() -> None:
    clock = GatewayTimeFilter()
    with pytest.raises(LocalProtocolError):
        clock.add(
            sent_monotonic_ns=2, received_monotonic_ns=1, peer_earliest_ns=5, peer_latest_ns=5
        )
    with pytest.raises(LocalProtocolError):
        clock.add(
            sent_monotonic_ns=1, received_monotonic_ns=2, peer_earliest_ns=6, peer_latest_ns=5
        )
