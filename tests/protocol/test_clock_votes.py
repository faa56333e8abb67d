"""Who is at odds, and who is to blame as far as that can be known."""

from hypothesis import given
from hypothesis import strategies as st

from tickseal.clock import ClockDiscipline, ClockInterval
from tickseal.clock_votes import Vote, describe, judge


def vote(name: str, middle: int, half: int, basis: str = "") -> Vote:
    interval = ClockInterval.around(10**6 + middle, half, ClockDiscipline.NTP)
    return Vote(name, basis or name, interval)


def test_all_that_overlap_agree() -> None:
    assert judge([vote("a", 0, 10), vote("b", 15, 10), vote("c", -15, 10)][:2]) == (set(), [])
    assert describe(set(), []) == ""


def test_of_two_none_is_blamed() -> None:
    liars, apart = judge([vote("a", 0, 10), vote("b", 100, 10)])
    assert liars == set()
    assert [(pair.one, pair.other, pair.gap_ns) for pair in apart] == [("a", "b", 80)]


def test_two_outvote_a_third() -> None:
    liars, _ = judge([vote("a", 0, 10), vote("b", 5, 10), vote("c", 100, 10)])
    assert liars == {"c"}


def test_two_readings_of_one_clock_are_one_vote() -> None:
    votes = [vote("chrony", 0, 10, "kernel"), vote("kernel", 1, 10, "kernel"), vote("ptp", 99, 10)]
    assert judge(votes)[0] == set()


def test_two_against_two_is_a_tie() -> None:
    votes = [vote("a", 0, 5), vote("b", 1, 5), vote("c", 100, 5), vote("d", 101, 5)]
    liars, apart = judge(votes)
    assert liars == set()
    assert len(apart) == 4


@given(
    st.lists(st.tuples(st.integers(-1000, 1000), st.integers(0, 500)), max_size=6),
)
def test_whoever_is_honest_among_the_honest_is_never_blamed(rows: list[tuple[int, int]]) -> None:
    """Where all contain the truth, nobody is apart; one liar among three honest ones is found."""
    honest = [vote(f"h{n}", middle, abs(middle) + half) for n, (middle, half) in enumerate(rows)]
    assert judge(honest) == (set(), [])
    if len(honest) >= 2:
        liars, _ = judge([*honest, vote("liar", 10**5, 10)])
        assert liars == {"liar"}
