"""What a bench offers to tests, by capability; each bench has its own way to provide them.

A test names the capabilities it needs as fixtures, and never asks which bench it runs on.
"""

from typing import Protocol

from hil_tests.bench.shell import Shell


class LackingError(Exception):
    """The bench, or this machine, lacks a capability; the message says why and the way out."""


class Capability(Protocol):
    """Something of the bench that a test may change."""

    def prepare(self) -> None:
        """Make it ready; called before each test that uses it, and by tests after a power cut."""
        ...

    def restore(self) -> None:
        """Undo what the test changed; called after each test that used it."""
        ...


class Power(Capability, Protocol):
    """The device's power supply."""

    def cut(self) -> None:
        """Take the power away at once; what the device had not flushed to its disk is lost."""
        ...

    def give(self) -> None:
        """Switch on and wait until the device answers."""
        ...


class I2C(Capability, Protocol):
    """Sensors on an I2C bus of the device, as files of registers that the test writes."""

    bus: int

    def set_registers(self, address: int, register: int, content: bytes) -> None:
        """Write consecutive registers of one sensor; a reader sees all of them or none."""
        ...

    def get_registers(self, address: int, register: int, length: int) -> bytes:
        """Read registers, such as those that a driver has written."""
        ...

    def unplug(self, address: int) -> None:
        """Take a sensor off the bus."""
        ...

    def plug(self, address: int) -> None:
        """Put a sensor back on the bus, with its registers as they were."""
        ...


class Clock(Capability, Protocol):
    """The device's wall clock against the bench's."""

    def offset_ns(self) -> int:
        """Return how far the device's wall clock is ahead of the bench's; good to some ms."""
        ...

    def step_ns(self, delta_ns: int) -> None:
        """Step the wall clock by exactly this much; the kernel then knows of no error bound."""
        ...

    def vouch(self, delta_ns: int = 0, *, error_ns: int) -> None:
        """Step it, and in the same moment tell the kernel a bound of its error, as a daemon does.

        What the device then says of its clock may be a lie.
        """
        ...


class PPS(Capability, Protocol):
    """A receiver's pulse each second, which goes its own way when the wall clock is stepped."""

    device: str

    def set_offset_ns(self, offset_ns: int) -> None:
        """Move the edges to this long after the true second."""
        ...

    def set_enabled(self, *, enabled: bool) -> None:
        """Stop or resume the edges."""
        ...


class PTP(Capability, Protocol):
    """A PTP master in the device's network, and the device's hardware clock."""

    device: str
    #: Where the device's ptp4l answers management messages.
    management_socket: str

    def start_master(self, *, lie_ns: int = 0) -> None:
        """Let a master announce itself; lie_ns is how far ahead of the truth it claims to be."""
        ...

    def stop_master(self) -> None:
        """Silence the master."""
        ...

    def port_state(self) -> str:
        """Return the state of the device's own PTP port, such as "SLAVE"."""
        ...

    def master_offset_ns(self) -> int:
        """Return how far the device's ptp4l finds the device's clock ahead of the master."""
        ...

    def step_device_ns(self, delta_ns: int) -> None:
        """Step the device's hardware clock."""
        ...


class Camera(Capability, Protocol):
    """Cameras of the device."""

    #: By V4L2.
    device: str
    #: By picamera2, as `rpicam-hello --list-cameras` counts.
    number: int


class Cable(Capability, Protocol):
    """A USB serial cable whose two ends are both on the device, for boards that are programs."""

    host_end: str
    board_end: str


class Network(Capability, Protocol):
    """The device's way to the bench."""

    #: Where the bench listens for the device, and where the device finds that.
    listen_host: str
    gateway_address: str

    def impair(self, rule: str) -> None:
        """Treat both directions by a netem rule, such as "delay 50ms 10ms loss 5%"."""
        ...

    def set_plugged(self, *, plugged: bool) -> None:
        """Pull the cable out, or put it in."""
        ...


class Bench(Protocol):
    """One device under test and all around it; a property raises LackingError where it lacks."""

    @property
    def shell(self) -> Shell: ...
    @property
    def power(self) -> Power: ...
    @property
    def i2c(self) -> I2C: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def pps(self) -> PPS: ...
    @property
    def ptp(self) -> PTP: ...
    @property
    def camera(self) -> Camera: ...
    @property
    def cable(self) -> Cable: ...
    @property
    def network(self) -> Network: ...

    def install(self) -> str:
        """Install this checkout on the device, once; return the path of its command there."""
        ...

    def close(self) -> None:
        """Let go of the device."""
        ...
