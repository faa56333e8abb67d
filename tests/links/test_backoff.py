"""Waits between attempts."""

from hypothesis import given
from hypothesis import strategies as st

from tickseal.links.backoff import Backoff

SECOND = 1_000_000_000


def test_doubles_up_to_the_longest_wait() -> None:
    backoff = Backoff(first_ns=SECOND, most_ns=60 * SECOND, random_unit=lambda: 0.0)
    waits = [backoff.next_ns() * 2 // SECOND for _ in range(9)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    backoff.reset()
    assert backoff.next_ns() * 2 == SECOND


@given(st.integers(0, 5000), st.floats(0, 1, exclude_max=True), st.integers(1, 10**12), st.data())
def test_jitter_stays_between_half_and_whole(
    attempts: int, unit: float, most: int, data: st.DataObject
) -> None:
    first = data.draw(st.integers(1, most))
    backoff = Backoff(first_ns=first, most_ns=most, random_unit=lambda: unit)
    backoff.attempts = attempts
    longest = min(most, first * 2**attempts)
    assert longest // 2 <= backoff.next_ns() <= longest


def test_two_of_a_fleet_do_not_knock_together() -> None:
    one, other = Backoff(), Backoff()
    assert [one.next_ns() for _ in range(8)] != [other.next_ns() for _ in range(8)]
