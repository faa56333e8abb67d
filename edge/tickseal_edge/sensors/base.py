"""What every sensor offers."""

from collections.abc import Sequence
from typing import Protocol

from tickseal.samples import Sample


class Sensor(Protocol):
    """Anything that can be read."""

    def read(self, time_ns: int) -> Sequence[Sample]:
        """Return what is measured now.

        A value that cannot be had is given as None: it is marked, never invented. May block for as
        long as the device needs; it is called in a thread of its own.

        Args:
            time_ns: now, ns since 1970 UTC, for the samples' time.
        """

    def close(self) -> None:
        """Give the device back."""
