"""The virtual Pi's network: a cable to be pulled or made bad, and a PTP master on another."""

from hil_tests.bench.impaired_network import ImpairedNetwork
from hil_tests.bench.ptp_port import PTPPort
from hil_tests.bench.shell import Service, Shell
from hil_tests.bench.virtual_pi.devices import load
from hil_tests.bench.virtual_pi.machine import HOST_ADDRESS, Machine

LARGEST_LIE_NS = 2**31 - 1


class VirtualNetwork(ImpairedNetwork):
    """eth0 of the guest, which reaches the host's 127.0.0.1 by QEMU's user networking."""

    listen_host = "127.0.0.1"
    gateway_address = HOST_ADDRESS

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine.agent, "eth0")
        self._machine = machine

    def move_cable(self, *, plugged: bool) -> None:
        """Pull the cable out of the card, or put it in."""
        self._machine.set_cable(plugged=plugged)


class VirtualPTP(PTPPort):
    """Two ptp4l with a cable between their network namespaces, and the clock of bench_ptp.

    Both ends stamp with the same system clock, so the ptp4l of the device must not steer it: it may
    not step it, and slew it by one part in a thousand million at most.
    """

    namespace = "ptp-master"

    def __init__(self, shell: Shell) -> None:
        super().__init__(shell, "/dev/ptp0", "/run/ptp4l")
        self._master = Service(shell, "bench-ptp-master")
        self._slave = Service(shell, "bench-ptp-slave")

    def prepare(self) -> None:
        """Load the hardware clock, lay the cable, and start the device's own ptp4l."""
        load(self._shell, "bench_ptp")
        if self._slave.is_running:
            return
        self._shell.run(
            f"ip netns add {self.namespace} && ip link add ptp0 type veth peer name ptp1"
            f" && ip link set ptp1 netns {self.namespace}"
            " && ip address add 192.0.2.1/24 dev ptp0 && ip link set ptp0 up"
            f" && ip -n {self.namespace} address add 192.0.2.2/24 dev ptp1"
            f" && ip -n {self.namespace} link set ptp1 up"
        )
        self._slave.start(self._ptp4l("ptp0", self.management_socket, "--clientOnly=1"))

    def start_master(self, *, lie_ns: int = 0) -> None:
        """Start a ptp4l master; it lies by corrections of the delays that it claims to have."""
        if abs(lie_ns) > LARGEST_LIE_NS:
            raise ValueError(f"ptp4l can lie by {LARGEST_LIE_NS} ns at most, not {lie_ns}")
        self.prepare()
        lie = [f"--egressLatency={lie_ns}", f"--ingressLatency={-lie_ns}"]
        command = self._ptp4l("ptp1", "/run/ptp4l-master", "--priority1=1", *lie)
        self._master.start(["ip", "netns", "exec", self.namespace, *command])

    def stop_master(self) -> None:
        """Stop it."""
        self._master.stop()

    def restore(self) -> None:
        """Stop both, and take cable and clock away."""
        self._master.stop()
        self._slave.stop()
        self._shell.run(f"ip netns delete {self.namespace}; modprobe -r bench_ptp", check=False)

    @staticmethod
    def _ptp4l(interface: str, socket: str, *more: str) -> list[str]:
        # A second's worth of messages in a quarter: a test need not wait long.
        pace = ["--logAnnounceInterval=-2", "--logSyncInterval=-2", "--logMinDelayReqInterval=-2"]
        # By default, the device's are /run/ptp4l for root, and /run/ptp4lro for all.
        own = [f"--uds_address={socket}", f"--uds_ro_address={socket}ro"]
        still = ["--first_step_threshold=0", "--max_frequency=1"]
        # By default, a servo of software stamps looks on for 16 s before it says that it is locked.
        quick = ["--pi_proportional_const=0.7", "--pi_integral_const=0.3"]
        return ["ptp4l", "-mqS4", "-i", interface, *own, *pace, *still, *quick, *more]
