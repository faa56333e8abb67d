"""A device's PTP port: what its ptp4l says of itself, and its hardware clock."""

from hil_tests.bench.shell import DeviceError, Shell
from hil_tests.bench.wall_clock import step


class PTPPort:
    """Asks one ptp4l, and steps its clock.

    Args:
        shell: on the device.
        device: the hardware clock.
        management_socket: where ptp4l answers management messages.
    """

    def __init__(self, shell: Shell, device: str, management_socket: str) -> None:
        self._shell = shell
        self.device = device
        self.management_socket = management_socket

    def port_state(self) -> str:
        """Return the state of its port, such as "SLAVE"."""
        return self._ask("PORT_DATA_SET", "portState")

    def master_offset_ns(self) -> int:
        """Return how far it finds itself ahead of the master."""
        return int(self._ask("TIME_STATUS_NP", "master_offset"))

    def step_device_ns(self, delta_ns: int) -> None:
        """Step the hardware clock."""
        step(self._shell, self.device, delta_ns)

    def _ask(self, what: str, key: str) -> str:
        command = ["pmc", "-u", "-b", "0", "-s", self.management_socket, f"GET {what}"]
        for line in self._shell.run(command).text.splitlines():
            words = line.split()
            if words[:1] == [key]:
                return words[1]
        raise DeviceError(f"the device's ptp4l did not answer {what}")
