"""The replay window against a model that remembers everything."""

from hypothesis import given
from hypothesis import strategies as st

from tickseal.core import errors
from tickseal.streams.windows import ReplayWindow

WINDOW = 1024


@given(
    st.integers(-1, 3000),
    st.lists(st.tuples(st.integers(-1100, 1500), st.integers(0, 3)), max_size=80),
)
def test_each_segment_passes_once_and_only_within_the_window(
    first: int, moves: list[tuple[int, int]]
) -> None:
    window = ReplayWindow(first)
    highest, opened = first, set()
    for ahead, index in moves:
        number = max(0, highest + ahead)
        answer = window.check(number, index)
        if number <= max(first, highest - WINDOW):
            assert answer == errors.STALE
        elif (number, index) in opened:
            assert answer == errors.REPLAYED
        else:
            assert answer is None
            window.commit(number, index)
            opened.add((number, index))
            highest = max(highest, number)
        assert window.highest == highest


def test_a_jump_over_many_rounds_of_the_ring_leaves_nothing_behind() -> None:
    window = ReplayWindow()
    for number in range(WINDOW):
        window.commit(number, 5)
    window.commit(2**40, 0)
    for number in range(2**40 - WINDOW + 1, 2**40):
        assert window.check(number, 5) is None
    assert window.check(2**40 - WINDOW, 5) == errors.STALE
    assert window.check(2**40, 0) == errors.REPLAYED
    assert window.check(2**40, 65535) is None


def test_a_frame_remembers_all_of_its_segments() -> None:
    window = ReplayWindow()
    for index in (3, 0, 65535):
        assert window.check(5, index) is None
        window.commit(5, index)
    assert {window.check(5, index) for index in (3, 0, 65535)} == {errors.REPLAYED}
    assert window.check(5, 1) is None


def test_checking_changes_nothing() -> None:
    window = ReplayWindow()
    for number in (0, 5, 5, 2**50):
        assert window.check(number, 0) is None
    assert window.highest == -1
