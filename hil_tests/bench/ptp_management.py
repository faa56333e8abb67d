"""What a device's ptp4l says of itself."""

from hil_tests.bench.shell import DeviceError, Shell


class PTPManagement:
    """Asks one ptp4l.

    Args:
        shell: on the device.
        socket: its management socket.
    """

    def __init__(self, shell: Shell, socket: str) -> None:
        self._shell = shell
        self._socket = socket

    def port_state(self) -> str:
        """Return the state of its port, such as "SLAVE"."""
        return self._ask("PORT_DATA_SET", "portState")

    def master_offset_ns(self) -> int:
        """Return how far it finds itself ahead of the master."""
        return int(self._ask("TIME_STATUS_NP", "master_offset"))

    def _ask(self, what: str, key: str) -> str:
        command = ["pmc", "-u", "-b", "0", "-s", self._socket, f"GET {what}"]
        for line in self._shell.run(command).text.splitlines():
            words = line.split()
            if words[:1] == [key]:
                return words[1]
        raise DeviceError(f"the device's ptp4l did not answer {what}")
