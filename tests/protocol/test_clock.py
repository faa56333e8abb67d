"""Clock readings, policy, and time by the gateway."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickseal.clock import (
    ClockAction,
    ClockDiscipline,
    ClockInterval,
    ClockPolicy,
    ClockVerdict,
    GatewayTimeFilter,
    clocks_disagree,
)
from tickseal.core.errors import LocalProtocolError
from tickseal.host.clock_fake import FakeClock

MILLISECOND = 1_000_000
SECOND = 1_000_000_000
T0 = 1_800_000_000 * SECOND


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
