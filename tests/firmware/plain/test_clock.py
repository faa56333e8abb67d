"""The board's clock: what an exchange tells, what its crystal does, and a pulse each second."""

from device.clock import Clock

SECOND = 1_000_000_000
TAI = 1_800_000_000 * SECOND


def exchange(clock, at_ns, *, lead_ns=TAI, trip_ns=4_000_000, width_ns=0, rate_ppb=0):
    """A ping and its pong, answered in the middle."""
    middle = at_ns + trip_ns // 2
    tai = middle + lead_ns + middle * rate_ppb // SECOND
    clock.exchange(at_ns, at_ns + trip_ns, tai - width_ns, tai + width_ns)


def test_knows_nothing_before_the_first_exchange():
    assert Clock().now(5) == (0, (1 << 64) - 1, "none")


def test_an_exchange_bounds_the_time_by_its_round_trip_and_the_gateways_own_doubt():
    clock = Clock()
    exchange(clock, SECOND, trip_ns=4_000_000, width_ns=1_000_000)
    earliest, latest, discipline = clock.now(SECOND + 4_000_000)
    true = SECOND + 4_000_000 + TAI
    assert discipline == "gateway"
    assert earliest <= true <= latest
    assert latest - earliest <= 6_000_002


def test_bounds_hold_whatever_the_two_ways_took():
    for answered in (0, 1_000_000, 4_000_000):
        clock = Clock()
        tai = SECOND + answered + TAI
        clock.exchange(SECOND, SECOND + 4_000_000, tai, tai)
        earliest, latest, _ = clock.now(SECOND + 4_000_000)
        assert earliest <= SECOND + 4_000_000 + TAI <= latest


def test_the_doubt_grows_without_exchanges_and_the_clock_says_so():
    clock = Clock()
    exchange(clock, 0)
    early = clock.now(SECOND)
    late = clock.now(100 * SECOND)
    assert late[1] - late[0] > early[1] - early[0]
    assert (early[2], late[2]) == ("gateway", "holdover")


def test_learns_how_fast_its_crystal_runs():
    for rate in (-40_000, 0, 40_000):
        clock = Clock()
        for second in range(0, 120, 2):
            exchange(clock, second * SECOND, trip_ns=2_000_000, rate_ppb=rate)
        assert abs(clock.rate_ppb - rate) < 100
        # An hour without the gateway.
        at = 3720 * SECOND
        earliest, latest, _ = clock.now(at)
        true = at + TAI + at * rate // SECOND
        assert earliest <= true <= latest
        assert abs((earliest + latest) // 2 - true) < 10_000_000


def test_a_gateway_whose_clock_was_set_is_followed():
    clock = Clock()
    exchange(clock, 0)
    exchange(clock, 2 * SECOND, lead_ns=TAI + 5 * SECOND)
    earliest, latest, _ = clock.now(3 * SECOND)
    assert earliest <= 3 * SECOND + TAI + 5 * SECOND <= latest


def test_a_pulse_narrows_the_doubt_to_microseconds_and_is_forgotten():
    clock = Clock()
    exchange(clock, SECOND // 2, trip_ns=20_000_000)
    clock.pulse(SECOND)
    earliest, latest, discipline = clock.now(SECOND)
    assert discipline == "pps"
    assert earliest <= TAI + SECOND <= latest
    assert latest - earliest <= 200_000
    assert clock.now(5 * SECOND)[2] == "gateway"


def test_a_pulse_that_no_second_explains_is_not_believed():
    clock = Clock()
    clock.pulse(SECOND)
    assert clock.now(SECOND)[2] == "none"
    exchange(clock, SECOND // 2, trip_ns=20_000_000)
    clock.pulse(SECOND + 300_000_000)
    assert clock.now(SECOND + 300_000_000)[2] == "gateway"


def test_a_pulse_is_not_believed_while_it_could_be_that_of_the_second_before():
    clock = Clock()
    # Known to half a second either way.
    exchange(clock, SECOND // 2, trip_ns=900_000_000, width_ns=50_000_000)
    clock.pulse(2 * SECOND)
    assert clock.now(2 * SECOND)[2] == "gateway"
