"""A clock for tests: time moves because the test moves it, and goes wrong as the test says."""

from tickseal.clock import ClockDiscipline, ClockInterval

_SECOND = 1_000_000_000
_MILLION = 1_000_000


class FakeClock:
    """True time, a monotonic clock, and a clock that can step, freeze and drift off the truth.

    Args:
        true_ns: the true time to begin with, ns TAI.
        uncertainty_ns: stated half width, ns.
        discipline: as stated.
        monotonic_ns: the monotonic clock to begin with, ns.
        drift_ppm: the clock's rate error.
        growth_ppm: how fast the stated uncertainty grows.
    Attributes:
        true_ns: the true time, ns TAI.
        error_ns: the clock's error: what it shows is the true time plus this.
        uncertainty_ns, discipline, drift_ppm, growth_ppm: as above, free to change.
        is_honest: raise the stated uncertainty wherever it would not cover the error.
    """

    def __init__(
        self,
        *,
        true_ns: int = 1_800_000_000 * _SECOND,
        uncertainty_ns: int = 1_000_000,
        discipline: ClockDiscipline = ClockDiscipline.NTP,
        monotonic_ns: int = 1000 * _SECOND,
        drift_ppm: float = 0,
        growth_ppm: float = 0,
        is_honest: bool = False,
    ) -> None:
        self.true_ns = true_ns
        self.error_ns = 0
        self.uncertainty_ns = uncertainty_ns
        self.discipline = discipline
        self.drift_ppm = drift_ppm
        self.growth_ppm = growth_ppm
        self.is_honest = is_honest
        self._monotonic_ns = monotonic_ns
        self._is_frozen = False

    def now(self) -> ClockInterval:
        """Return what the clock says."""
        uncertainty = self.uncertainty_ns
        if self.is_honest:
            uncertainty = max(uncertainty, abs(self.error_ns))
        return ClockInterval.around(self.true_ns + self.error_ns, uncertainty, self.discipline)

    def monotonic_ns(self) -> int:
        """Return the monotonic time, which no fault touches, ns."""
        return self._monotonic_ns

    def advance(self, elapsed_ns: int) -> None:
        """Let true time pass, ns, at least 0."""
        if elapsed_ns < 0:
            raise ValueError("time does not run backwards; step() the clock instead")
        self.true_ns += elapsed_ns
        self._monotonic_ns += elapsed_ns
        if self._is_frozen:
            self.error_ns -= elapsed_ns
        else:
            self.error_ns += int(elapsed_ns * self.drift_ppm / _MILLION)
        self.uncertainty_ns += int(elapsed_ns * self.growth_ppm / _MILLION)

    def step(self, by_ns: int) -> None:
        """Set the clock forward or back, ns."""
        self.error_ns += by_ns

    def freeze(self) -> None:
        """Let the clock stand still from now on."""
        self._is_frozen = True

    def thaw(self) -> None:
        """Let it run again, from where it stands."""
        self._is_frozen = False
