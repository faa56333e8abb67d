"""The kernel's clock as a source: whatever steers it, with the error that it told the kernel."""

from tickseal.core.errors import ClockError
from tickseal.host.kernel_clock import KernelClock
from tickseal_edge.clock.base import SourceState

#: By how much the kernel itself lets its bound grow.
_GROWTH_PPM = 500.0


class KernelSource:
    """CLOCK_TAI, corrected where the kernel does not know TAI - UTC; steered by whom we do not see.

    Args:
        kernel: the clock; shared with the other sources that steer it.
    """

    name = "kernel"
    basis = "kernel"

    def __init__(self, kernel: KernelClock) -> None:
        self._kernel = kernel

    def poll(self) -> SourceState:
        """Return the kernel's own bound."""
        status = self._kernel.status()
        if not status.now.is_synchronised:
            raise ClockError(status.notes[0] if status.notes else "the kernel's clock is not set")
        return SourceState(
            uncertainty_ns=status.now.uncertainty_ns,
            growth_ppm=_GROWTH_PPM,
            discipline=status.now.discipline,
            details={
                "tai_offset_s": status.tai_offset_s,
                "tai_offset_origin": status.tai_offset_origin,
            },
            notes=status.notes,
        )

    def read_ns(self) -> int:
        """Return CLOCK_TAI, ns."""
        return self._kernel.now().midpoint_ns

    def close(self) -> None:
        """Nothing is held."""
