"""The bench whose device is the virtual Pi."""

import contextlib
import tempfile
from functools import cached_property
from pathlib import Path

from hil_tests.bench.capabilities import LackingError
from hil_tests.bench.virtual_pi import host, wheelhouse
from hil_tests.bench.virtual_pi.agent import GuestAgent
from hil_tests.bench.virtual_pi.devices import (
    VirtualCable,
    VirtualCamera,
    VirtualI2C,
    VirtualPPS,
)
from hil_tests.bench.virtual_pi.image import image
from hil_tests.bench.virtual_pi.machine import Machine
from hil_tests.bench.virtual_pi.network import VirtualNetwork, VirtualPTP
from hil_tests.bench.wall_clock import WallClock

COMMAND = "/opt/tickseal/bin/tickseal"
PACKAGES = "/opt/tickseal/lib/python3.13/site-packages"
INSTALL_SECONDS = 600


class VirtualBench:
    """One virtual Pi, booted at the first use of any of its capabilities."""

    def __init__(self, *, memory_mb: int = 768, accelerator: str = "tcg") -> None:
        self._memory_mb = memory_mb
        self._accelerator = accelerator
        self._closing = contextlib.ExitStack()
        self._is_installed = False

    @cached_property
    def machine(self) -> Machine:
        """The guest, running.

        Raises:
            LackingError: this host cannot run it.
        """
        if missing := host.what_is_missing():
            raise LackingError(missing)
        machine = Machine(image(), memory_mb=self._memory_mb, accelerator=self._accelerator)
        self._closing.enter_context(machine)
        return machine

    @property
    def shell(self) -> GuestAgent:
        """A shell that needs no network."""
        return self.machine.agent

    @cached_property
    def power(self) -> "VirtualPower":
        """SIGKILL, and a boot from the same disk."""
        return VirtualPower(self.machine)

    @cached_property
    def i2c(self) -> VirtualI2C:
        """Five sensors."""
        return VirtualI2C(self.shell)

    @cached_property
    def clock(self) -> WallClock:
        """The guest's wall clock."""
        return WallClock(self.shell, self.shell.now_ns)

    @cached_property
    def pps(self) -> VirtualPPS:
        """A pulse on the wall clock's seconds."""
        return VirtualPPS(self.shell)

    @cached_property
    def ptp(self) -> VirtualPTP:
        """A master in a namespace of its own, silent until told otherwise."""
        return VirtualPTP(self.shell)

    @cached_property
    def camera(self) -> VirtualCamera:
        """The kernel's test camera."""
        return VirtualCamera(self.shell)

    @cached_property
    def cable(self) -> VirtualCable:
        """A cable from the guest to itself."""
        return VirtualCable(self.shell)

    @cached_property
    def network(self) -> VirtualNetwork:
        """User networking."""
        return VirtualNetwork(self.machine)

    def install(self) -> str:
        """Install the project's wheel beside the packages that the image has."""
        if not self._is_installed:
            with tempfile.TemporaryDirectory() as folder:
                wheel = wheelhouse.build_project(Path(folder))
                self.shell.put_tree(wheel, "/root")
            pip = "/opt/tickseal/bin/pip install --quiet --no-index --no-deps --no-compile"
            # What the service's user may not write is compiled now, what runs elsewhere never.
            used = " ".join(f"{PACKAGES}/{name}" for name in ("tickseal", "tickseal_edge"))
            compile_used = f"/opt/tickseal/bin/python -m compileall -q {used}"
            self.shell.run(
                f"{pip} /root/{wheel.name} && {compile_used} && sync", timeout_s=INSTALL_SECONDS
            )
            self._is_installed = True
        return COMMAND

    def close(self) -> None:
        """Switch off."""
        self._closing.close()


class VirtualPower:
    """The power of one machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def cut(self) -> None:
        """Kill."""
        self._machine.cut_power()

    def give(self) -> None:
        """Boot."""
        if not self._machine.is_running:
            self._machine.start()

    def prepare(self) -> None:
        """Switch on."""
        self.give()

    def restore(self) -> None:
        """Switch on, for the tests that come after."""
        self.give()
