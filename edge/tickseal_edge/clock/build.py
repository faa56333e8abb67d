"""From the configuration to the clock."""

from collections.abc import Callable

from tickseal.clock import ClockInterval
from tickseal.host.kernel_clock import KernelClock
from tickseal.invite import split_address
from tickseal_edge.clock.base import ClockSource
from tickseal_edge.clock.chrony import ChronySource
from tickseal_edge.clock.ensemble import ClockEnsemble
from tickseal_edge.clock.gpsd import GPSD
from tickseal_edge.clock.kernel import KernelSource
from tickseal_edge.clock.pps import PPSDevice, PPSSource
from tickseal_edge.clock.ptp import PTPSource
from tickseal_edge.clock.ptp_management import PTPManagement
from tickseal_edge.config import ClockConfig

#: A message of the receiver comes up to so long after its second.
_MESSAGE_NS, _PULSE_NS = 300_000_000, 1_000_000


def build_clock(
    config: ClockConfig, witness: Callable[[], ClockInterval | None] = lambda: None
) -> ClockEnsemble:
    """Return the clock that a configuration names; what is not there is tried again later.

    Args:
        witness: returns what the gateway says the time is.
    """
    kernel = KernelClock()
    makers: dict[str, Callable[[], ClockSource]] = {
        "ptp": lambda: PTPSource(
            PTPManagement(config.ptp_socket, config.ptp_domain),
            kernel,
            device=config.ptp_device,
            takes_untraceable=config.ptp_untraceable,
        ),
        "pps": lambda: _pps(config, kernel),
        "chrony": lambda: ChronySource(kernel, split_address(config.chrony)),
        "kernel": lambda: KernelSource(kernel),
    }
    names = makers if config.source == "auto" else (config.source,)
    return ClockEnsemble([makers[name]() for name in names], kernel, witness=witness)


def _pps(config: ClockConfig, kernel: KernelClock) -> PPSSource:
    device = PPSDevice(config.pps_device)
    if not config.gpsd:

        def by_kernel() -> tuple[int, int]:
            # The kernel's clock is right by what it knows, within what it knows.
            return 0, kernel.now().uncertainty_ns

        return PPSSource(device, kernel, by_kernel)
    gpsd = GPSD(*split_address(config.gpsd))

    def by_gps() -> tuple[int, int]:
        told = gpsd.time()
        return told.clock_ahead_ns, _PULSE_NS if told.is_pulse else _MESSAGE_NS

    return PPSSource(device, kernel, by_gps, basis="gps")
