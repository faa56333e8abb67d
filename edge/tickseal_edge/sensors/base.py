"""What every sensor offers."""

from collections.abc import Sequence
from typing import Protocol

from tickseal.core.errors import TicksealError
from tickseal.payloads.samples import Sample


class DeviceError(TicksealError):
    """A sensor or camera cannot be opened or read: what, and what to do. It is tried again."""


class Sensor(Protocol):
    """Anything that can be read."""

    def read(self, time_ns: int) -> Sequence[Sample]:
        """Return what is measured now.

        A value that cannot be had is given as None: it is marked, never invented. May block for as
        long as the device needs; it is called in the thread of its bus.

        Args:
            time_ns: now, ns since 1970 UTC, for the samples' time.
        Raises:
            DeviceError: the device is gone; it is opened again later.
        """

    def close(self) -> None:
        """Give the device back."""
