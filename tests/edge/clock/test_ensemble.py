"""The best source is followed; where it is lost the next is, then nothing but the past."""

import pytest
from tickseal_edge.clock.base import SourceState
from tickseal_edge.clock.ensemble import ClockEnsemble

from tickseal.clock import ClockDiscipline, ClockInterval
from tickseal.core.errors import ClockError
from tickseal.host.clock_fake import FakeClock

SECOND = 10**9
MS = 10**6


class FakeSource:
    """A source that is well, lost, or lies, as the test says."""

    def __init__(
        self, name: str, world: FakeClock, uncertainty_ns: int, *, basis: str = ""
    ) -> None:
        self.name = name
        self.basis = basis or name
        self.world = world
        self.uncertainty_ns = uncertainty_ns
        self.error_ns = 0
        self.problem = ""
        self.polls = 0

    def poll(self) -> SourceState:
        self.polls += 1
        if self.problem:
            raise ClockError(self.problem)
        return SourceState(
            uncertainty_ns=self.uncertainty_ns, growth_ppm=10.0, discipline=ClockDiscipline.PTP
        )

    def read_ns(self) -> int:
        return self.world.true_ns + self.error_ns

    def close(self) -> None:
        pass


class World:
    """True time, sources, and the ensemble of them."""

    def __init__(self, *, witness: bool = False) -> None:
        self.clock = FakeClock(discipline=ClockDiscipline.NONE, uncertainty_ns=SECOND)
        self.ptp = FakeSource("ptp", self.clock, 1000)
        self.chrony = FakeSource("chrony", self.clock, 5 * MS)
        self.gateway: ClockInterval | None = None
        self.ensemble = ClockEnsemble(
            [self.ptp, self.chrony],
            self.clock,
            witness=lambda: self.gateway,
            monotonic_ns=self.clock.monotonic_ns,
        )

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(SECOND)
            self.ensemble.poll()

    @property
    def now(self) -> ClockInterval:
        return self.ensemble.now()

    def holds(self) -> bool:
        """Whether the truth lies within the reading."""
        return self.now.earliest_ns <= self.clock.true_ns <= self.now.latest_ns

    @property
    def source(self) -> object:
        return self.ensemble.status()["source"]


def test_the_first_of_the_sources_that_are_well_is_followed() -> None:
    world = World()
    world.run(1)
    assert world.source == "ptp"
    assert world.now.uncertainty_ns < 2000
    assert world.holds()


def test_it_falls_back_at_once_and_returns_only_after_ten_good_seconds() -> None:
    world = World()
    world.run(3)
    world.ptp.problem = "no master"
    world.run(1)
    assert world.source == "chrony"
    assert world.holds()
    world.run(20)
    world.ptp.problem = ""
    # A lost source is asked every 5 s, then has to be well for 10.
    world.run(9)
    assert world.source == "chrony"
    world.run(7)
    assert world.source == "ptp"


def test_a_source_that_is_lost_is_not_asked_every_second() -> None:
    world = World()
    world.ptp.problem = "no master"
    world.run(20)
    assert world.ptp.polls == 4


def test_holdover_widens_as_a_plain_crystal_while_nothing_is_known_of_it() -> None:
    world = World()
    world.run(10)
    world.ptp.problem = world.chrony.problem = "gone"
    world.run(100)
    assert world.now.discipline is ClockDiscipline.HOLDOVER
    assert world.now.uncertainty_ns == pytest.approx(1000 + 100 * 50_000, rel=0.02)
    assert not world.now.is_synchronised
    assert world.holds()


def test_holdover_goes_on_as_the_clock_ran_off_before() -> None:
    """The monotonic clock is 20 ppm slow: a day later the time is still right, and known to be."""
    world = World()
    drift_ppm = 20

    def run(seconds: int) -> None:
        for _ in range(seconds):
            world.clock.advance(SECOND)
            world.clock.true_ns += SECOND * drift_ppm // 10**6
            world.ensemble.poll()

    run(600)
    world.ptp.problem = world.chrony.problem = "gone"
    run(3600)
    assert world.now.discipline is ClockDiscipline.HOLDOVER
    assert abs(world.now.midpoint_ns - world.clock.true_ns) < 50_000
    assert world.now.uncertainty_ns < 1 * MS
    assert world.holds()
    assert world.ensemble.status()["drift_ppm"] == pytest.approx(20, abs=0.01)


def test_holdover_ends_where_it_is_no_better_than_a_guess() -> None:
    world = World()
    world.run(2)
    world.ptp.problem = world.chrony.problem = "gone"
    world.clock.advance(30_000 * SECOND)
    assert world.now.discipline is ClockDiscipline.NONE


def test_before_any_source_was_well_it_is_the_kernels_guess() -> None:
    world = World()
    world.ptp.problem = world.chrony.problem = "gone"
    world.run(3)
    assert world.now.discipline is ClockDiscipline.NONE
    assert world.ensemble.status()["state"] == "free"


def test_a_source_whose_poll_hangs_is_lost_by_its_age() -> None:
    world = World()
    world.run(2)
    world.clock.advance(6 * SECOND)
    assert world.now.discipline is ClockDiscipline.HOLDOVER


def test_a_source_that_cannot_be_read_any_more_is_held_over_not_raised() -> None:
    world = World()
    world.run(2)

    def gone() -> int:
        raise ClockError("the card is gone")

    world.ptp.read_ns = gone  # type: ignore[method-assign]
    assert world.now.discipline is ClockDiscipline.HOLDOVER
    world.run(1)
    assert world.source == "chrony"


def test_between_two_polls_the_uncertainty_grows() -> None:
    world = World()
    world.run(1)
    before = world.now.uncertainty_ns
    world.clock.advance(SECOND)
    assert world.now.uncertainty_ns == before + 10_000


def test_two_that_disagree_are_an_alarm_and_nobody_is_blamed() -> None:
    world = World()
    world.run(2)
    world.ptp.error_ns = SECOND
    world.run(1)
    assert "ptp and chrony disagree by 0.99" in world.ensemble.disagreement
    assert "cannot be told" in world.ensemble.disagreement
    assert world.source == "ptp"


def test_a_source_that_the_others_outvote_is_named_and_not_followed() -> None:
    world = World()
    world.run(2)
    world.gateway = ClockInterval.around(
        world.clock.true_ns + SECOND, 20 * MS, ClockDiscipline.GATEWAY
    )
    world.ptp.error_ns = 10 * SECOND
    world.run(1)
    assert "agree against ptp" in world.ensemble.disagreement
    assert world.source == "chrony"
    assert world.holds()
    world.ptp.error_ns = 0
    world.gateway = None
    world.run(12)
    assert world.ensemble.disagreement == ""
    assert world.source == "ptp"


def test_history_notes_every_change_and_now_and_then_the_rest() -> None:
    world = World()
    world.run(25)
    world.ptp.problem = world.chrony.problem = "gone"
    world.run(1)
    rows = world.ensemble.status()["history"]
    assert isinstance(rows, list)
    assert [row["discipline"] for row in rows] == ["ptp", "ptp", "ptp", "holdover"]
