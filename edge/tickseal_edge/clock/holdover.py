"""Holdover: what the clock does when all sources are lost, by how it ran off in the past."""

from collections import deque

#: Readings are kept this far apart, and so many: half an hour.
_APART_NS = 8_000_000_000
_READINGS = 225
#: Before so much was seen nothing is known of the crystal.
_LEAST_NS = 120_000_000_000
#: What a crystal is off while nothing is known of it, and what its drift changes by at least, ppm.
_UNKNOWN_PPM = 50.0
_LEAST_PPM = 0.1
#: A lead that changes by more than a steered clock can run apart, and by so much, was set.
_STEERED_PPM = 1000
_SET_NS = 1_000_000


class DriftEstimator:
    """How the monotonic clock runs against a good source, and how sure that is.

    What is kept are leads: TAI minus the monotonic clock.
    """

    def __init__(self) -> None:
        self._readings: deque[tuple[int, int]] = deque(maxlen=_READINGS)

    def add(self, monotonic_ns: int, lead_ns: int) -> None:
        """Take in a reading of a good source; where it was set, what was before counts no more."""
        if self._readings:
            at_ns, lead_before_ns = self._readings[-1]
            apart_ns = (monotonic_ns - at_ns) * _STEERED_PPM // 1_000_000 + _SET_NS
            if abs(lead_ns - lead_before_ns) > apart_ns:
                self._readings.clear()
        if not self._readings or monotonic_ns - self._readings[-1][0] >= _APART_NS:
            self._readings.append((monotonic_ns, lead_ns))

    def clear(self) -> None:
        """Forget everything: the source is another, or it was set."""
        self._readings.clear()

    @property
    def drift(self) -> tuple[float, float]:
        """Drift of the lead and the bound of its error, ppm."""
        readings = list(self._readings)
        if len(readings) < 4 or readings[-1][0] - readings[0][0] < _LEAST_NS:
            return 0.0, _UNKNOWN_PPM
        half = len(readings) // 2
        whole = _slope_ppm(readings)
        # What it did in the two halves tells how much it changes, by temperature for the most part.
        change = abs(_slope_ppm(readings[:half]) - _slope_ppm(readings[half:]))
        return whole, min(_UNKNOWN_PPM, max(_LEAST_PPM, change))


def _slope_ppm(readings: list[tuple[int, int]]) -> float:
    """Return the slope of the line through the readings by least squares, ppm."""
    start_ns, start_lead = readings[0]
    points = [(at - start_ns, lead - start_lead) for at, lead in readings]
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if not spread:
        return 0.0
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread * 1e6
