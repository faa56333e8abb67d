"""A device's network, made bad by netem in both directions, and pulled out."""

from hil_tests.bench.shell import Shell

_DETOUR = "ifb0"


class ImpairedNetwork:
    """One network card of a device.

    Args:
        shell: on the device; not by this card.
        interface: the card.
    """

    def __init__(self, shell: Shell, interface: str) -> None:
        self._shell = shell
        self._card = interface
        self._is_plugged = True

    def move_cable(self, *, plugged: bool) -> None:
        """Pull the cable out, or put it in, as the bench does it."""
        raise NotImplementedError

    def set_plugged(self, *, plugged: bool) -> None:
        """Pull the cable out, or put it in."""
        self.move_cable(plugged=plugged)
        self._is_plugged = plugged

    def impair(self, rule: str) -> None:
        """Treat what leaves by a netem rule, and what arrives by the same on a detour."""
        for device in (self._card, _DETOUR):
            self._shell.run(f"tc qdisc replace dev {device} root netem {rule}")

    def prepare(self) -> None:
        """Lay the detour and a rule without effect: what is in a queue goes with the queue.

        One rule in place of another loses nothing.
        """
        card = self._card
        self._shell.run("modprobe ifb numifbs=1")
        self._shell.run(
            f"ip link set {_DETOUR} up && tc qdisc replace dev {card} handle ffff: ingress"
            f" && tc filter replace dev {card} parent ffff: matchall"
            f" action mirred egress redirect dev {_DETOUR}"
        )
        self.impair("delay 0ms")

    def restore(self) -> None:
        """Make the cable good and put it in."""
        if not self._is_plugged:
            self.set_plugged(plugged=True)
        card = self._card
        self._shell.run(
            f"tc qdisc delete dev {card} root; tc qdisc delete dev {card} ingress;"
            f" ip link set {_DETOUR} down",
            check=False,  # after a power cut, nothing of it is left
        )
