"""How a clock ran off before its sources were lost, and how sure that is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tickseal_edge.clock.holdover import DriftEstimator

SECOND = 10**9


def fed(
    ppm: float, seconds: int, *, into: DriftEstimator | None = None, start: int = 0
) -> DriftEstimator:
    estimator = into or DriftEstimator()
    for second in range(start, start + seconds):
        estimator.add(second * SECOND, int(second * ppm * 1000))
    return estimator


@pytest.mark.parametrize("seconds", [1, 100])
def test_nothing_is_known_in_the_first_minutes(seconds: int) -> None:
    assert fed(20, seconds).drift == (0.0, 50.0)


@given(st.floats(-200, 200))
def test_a_steady_drift_is_found(ppm: float) -> None:
    found, error = fed(ppm, 600).drift
    assert found == pytest.approx(ppm, abs=0.01)
    assert error == pytest.approx(0.1)


def test_a_drift_that_changes_is_not_believed_beyond_what_it_changed_by() -> None:
    estimator = fed(0, 300)
    for second in range(300, 600):
        estimator.add(second * SECOND, (second - 300) * 5000)
    found, error = estimator.drift
    assert 0 < found < 5
    assert error > 4


@pytest.mark.parametrize("step_ns", [5_000_000_000, -5_000_000_000, 20_000_000])
def test_a_source_that_was_set_is_no_drift(step_ns: int) -> None:
    """Taken for drift, a step of 5 s would be thousands of ppm, and holdover would run away."""
    estimator = fed(20, 600)
    for second in range(600, 900):
        estimator.add(second * SECOND, int(second * 20_000) + step_ns)
    found, error = estimator.drift
    assert found == pytest.approx(20, abs=0.01)
    assert error == pytest.approx(0.1)


def test_what_was_before_a_step_counts_no_more() -> None:
    estimator = fed(20, 600)
    estimator.add(600 * SECOND, 5 * SECOND)
    assert estimator.drift == (0.0, 50.0)
