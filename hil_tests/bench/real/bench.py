"""The bench whose device is real; each of its wires is a table of the bench's file."""

import tempfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from hil_tests.bench.real.commands import Commands
from hil_tests.bench.real.devices import (
    RealCable,
    RealCamera,
    RealClock,
    RealI2C,
    RealNetwork,
    RealPower,
    RealPPS,
    RealPTP,
)
from hil_tests.bench.real.remote_shell import RemoteShell
from hil_tests.bench.virtual_pi import wheelhouse

_INSTALL_S = 900.0


class RealBench:
    """A device that is there.

    Args:
        file: what the bench's file says, without [device].
        shell: the command of the bench's computer that runs a command line on the device as root.
        install: a command line for the device that installs the wheel {wheel}; by default with pip
            in an environment that is made where there is none.
        command: path of `tickseal` there after that.
    """

    def __init__(
        self,
        file: Mapping[str, Any],
        *,
        shell: str,
        install: str = "",
        command: str = "/opt/tickseal/bin/tickseal",
    ) -> None:
        self._file = file
        self.shell = RemoteShell(shell)
        self._command = command
        environment = Path(command).parents[1]
        pip = f"{environment}/bin/pip install --quiet"
        self._install = install or (
            f"{{{{ [ -x {environment}/bin/python ]"
            f" || python3 -m venv --system-site-packages {environment}; }}}}"
            f" && {pip} '{{wheel}}[edge,sensors,v4l2]'"
            f" && {pip} --force-reinstall --no-deps {{wheel}}"
        )
        self._is_installed = False

    @cached_property
    def power(self) -> RealPower:
        """[power]: cut, give, boot_seconds."""
        return RealPower(self._commands("power"), self.shell)

    @cached_property
    def i2c(self) -> RealI2C:
        """[i2c]: bus, set, get, unplug, plug."""
        return RealI2C(self._commands("i2c"))

    @cached_property
    def clock(self) -> RealClock:
        """[clock]: free, back."""
        return RealClock(self._commands("clock"), self.shell)

    @cached_property
    def pps(self) -> RealPPS:
        """[pps]: device, set_offset, enable, disable, restore."""
        return RealPPS(self._commands("pps"))

    @cached_property
    def ptp(self) -> RealPTP:
        """[ptp]: device, management_socket, start_master, stop_master."""
        return RealPTP(self._commands("ptp"), self.shell)

    @cached_property
    def camera(self) -> RealCamera:
        """[camera]: device, number."""
        return RealCamera(self._commands("camera"))

    @cached_property
    def cable(self) -> RealCable:
        """[cable]: host_end, board_end."""
        return RealCable(self._commands("cable"))

    @cached_property
    def network(self) -> RealNetwork:
        """[network]: gateway_address, listen_host, interface, unplug, plug."""
        return RealNetwork(self._commands("network"), self.shell)

    def install(self) -> str:
        """Copy this checkout's wheel to the device and install it, once."""
        if not self._is_installed:
            with tempfile.TemporaryDirectory() as folder:
                wheel = wheelhouse.build_project(Path(folder))
                self.shell.put_tree(wheel, "/root")
            line = self._install.format(wheel=f"/root/{wheel.name}")
            self.shell.run(f"{line} && sync", timeout_s=_INSTALL_S)
            self._is_installed = True
        return self._command

    def close(self) -> None:
        """Let go of the device; it stays on."""
        self.shell.close()

    def _commands(self, name: str) -> Commands:
        return Commands(name, self._file.get(name))
