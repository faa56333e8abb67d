"""What every clock source offers: a reading that never blocks, and what it says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tickseal.clock import ClockDiscipline


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """What a source said of itself when it was asked.

    Args:
        uncertainty_ns: half width of what read_ns() gives, when it was asked.
        growth_ppm: how fast that grows until it is asked again.
        discipline: what steers it.
        offset_ns: how far the clock that it steers is off, as measured; what read_ns() gives is
            corrected by it. None where it does not tell.
        details: for people: port state, grandmaster, reference, ...
        notes: what people should know, a sentence each.
    """

    uncertainty_ns: int
    growth_ppm: float
    discipline: ClockDiscipline
    offset_ns: int | None = None
    details: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class ClockSource(Protocol):
    """One way to know the time."""

    #: The word in the configuration.
    name: str
    #: Sources that read the same clock share it: they are no witnesses for each other.
    basis: str

    def poll(self) -> SourceState:
        """Ask the source about itself; may block for up to a second. Called about once a second.

        Raises:
            ClockError: it does not know the time now; the message says why and what to do.
        """

    def read_ns(self) -> int:
        """Return TAI now, ns, as of the last poll() that succeeded; it never blocks."""

    def close(self) -> None:
        """Give up what is open."""
