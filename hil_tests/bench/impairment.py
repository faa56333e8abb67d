"""Makes a device's network bad by netem, in both directions."""

from hil_tests.bench.shell import Shell

_DETOUR = "ifb0"


class Impairment:
    """What is done to the traffic of one network card.

    Args:
        shell: on the device.
        interface: the card.
    """

    def __init__(self, shell: Shell, interface: str) -> None:
        self._shell = shell
        self._interface = interface
        self._is_there = False

    def impose(self, rule: str) -> None:
        """Treat what leaves by a netem rule, and what arrives by the same on a detour."""
        card = self._interface
        if not self._is_there:
            self._shell.run("modprobe ifb numifbs=1")
            self._shell.run(
                f"ip link set {_DETOUR} up && tc qdisc replace dev {card} handle ffff: ingress"
                f" && tc filter replace dev {card} parent ffff: matchall"
                f" action mirred egress redirect dev {_DETOUR}"
            )
        self._is_there = True
        for device in (card, _DETOUR):
            self._shell.run(f"tc qdisc replace dev {device} root netem {rule}")

    def clear(self) -> None:
        """Treat nothing."""
        if self._is_there:
            card = self._interface
            self._shell.run(
                f"tc qdisc delete dev {card} root; tc qdisc delete dev {card} ingress;"
                f" ip link set {_DETOUR} down",
                check=False,  # after a power cut, nothing of it is left
            )
            self._is_there = False
