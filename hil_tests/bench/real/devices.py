"""What is around a real device, as a test handles it."""

from hil_tests.bench.impaired_network import ImpairedNetwork
from hil_tests.bench.ptp_port import PTPPort
from hil_tests.bench.real.commands import Commands
from hil_tests.bench.real.remote_shell import RemoteShell
from hil_tests.bench.wall_clock import WallClock

_BOOT_S = "180"


class RealPower:
    """Commands that switch the device's supply: a relay, a hub's port, a socket."""

    def __init__(self, commands: Commands, shell: RemoteShell) -> None:
        self._commands = commands
        self._shell = shell
        self._is_on = True

    def cut(self) -> None:
        """Take the power away."""
        self._commands.run("cut")
        self._is_on = False
        self._shell.close()

    def give(self) -> None:
        """Switch on and wait until the device answers."""
        if not self._is_on:
            self._commands.run("give")
            self._is_on = True
        self._shell.wait(float(self._commands.text("boot_seconds", _BOOT_S)))

    def prepare(self) -> None:
        """Switch on."""
        self.give()

    def restore(self) -> None:
        """Switch on, for the tests that come after."""
        self.give()


class RealI2C:
    """A target on the bus that plays sensors, moved by commands."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self.bus = int(commands.text("bus", "1"))
        self._unplugged: set[int] = set()

    def set_registers(self, address: int, register: int, content: bytes) -> None:
        """Write consecutive registers."""
        words = " ".join(f"{byte:#04x}" for byte in content)
        self._commands.run(
            "set", address=address, register=register, words=words, written=len(content) + 1
        )

    def get_registers(self, address: int, register: int, length: int) -> bytes:
        """Read consecutive registers."""
        said = self._commands.run("get", address=address, register=register, length=length)
        return bytes(int(word, 16) for word in said.split())

    def unplug(self, address: int) -> None:
        """Take a sensor off the bus."""
        self._commands.run("unplug", address=address)
        self._unplugged.add(address)

    def plug(self, address: int) -> None:
        """Put it back."""
        self._commands.run("plug", address=address)
        self._unplugged.discard(address)

    def prepare(self) -> None:
        """Take it as it is."""

    def restore(self) -> None:
        """Plug in what was unplugged."""
        for address in sorted(self._unplugged):
            self.plug(address)


class RealClock(WallClock):
    """The wall clock of a device whose own daemons let go of it for the time of a test."""

    def __init__(self, commands: Commands, shell: RemoteShell) -> None:
        super().__init__(shell, shell.now_ns)
        self._remote = shell
        self._free = commands.text("free", "true")
        self._back = commands.text("back", "true")

    def prepare(self) -> None:
        """Stop what steers the clock."""
        self._remote.run(self._free)
        super().prepare()

    def restore(self) -> None:
        """Set the clock right, and let it be steered again."""
        super().restore()
        self._remote.run(self._back)


class RealPPS:
    """A source of pulses that commands move."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self.device = commands.text("device", "/dev/pps0")

    def set_offset_ns(self, offset_ns: int) -> None:
        """Move the edges."""
        self._commands.run("set_offset", offset_ns=offset_ns)

    def set_enabled(self, *, enabled: bool) -> None:
        """Stop or resume the edges."""
        self._commands.run("enable" if enabled else "disable")

    def prepare(self) -> None:
        """Take it as it is."""

    def restore(self) -> None:
        """Put it back."""
        self._commands.run("restore")


class RealPTP(PTPPort):
    """A master that commands start, and a ptp4l that runs on the device."""

    def __init__(self, commands: Commands, shell: RemoteShell) -> None:
        super().__init__(
            shell,
            commands.text("device", "/dev/ptp0"),
            commands.text("management_socket", "/run/ptp4l"),
        )
        self._commands = commands

    def start_master(self, *, lie_ns: int = 0) -> None:
        """Start it, or start it anew with another lie."""
        self._commands.run("start_master", lie_ns=lie_ns)

    def stop_master(self) -> None:
        """Stop it."""
        self._commands.run("stop_master")

    def prepare(self) -> None:
        """Begin without a master."""
        self.stop_master()

    def restore(self) -> None:
        """Silence the master."""
        self.stop_master()


class RealCamera:
    """The device's cameras."""

    def __init__(self, commands: Commands) -> None:
        self.device = commands.text("device", "/dev/video0")
        self.number = int(commands.text("number", "0"))

    def prepare(self) -> None:
        """Take them as they are."""

    def restore(self) -> None:
        """Leave them as they are: a test sets what it needs."""


class RealCable:
    """A serial cable whose both ends are on the device."""

    def __init__(self, commands: Commands) -> None:
        self.host_end = commands.text("host_end")
        self.board_end = commands.text("board_end")

    def prepare(self) -> None:
        """Take it as it is."""

    def restore(self) -> None:
        """Leave it as it is."""


class RealNetwork(ImpairedNetwork):
    """The network card that leads to the bench; not the way of the shell."""

    def __init__(self, commands: Commands, shell: RemoteShell) -> None:
        super().__init__(shell, commands.text("interface", "eth0"))
        self._commands = commands
        self.gateway_address = commands.text("gateway_address")
        self.listen_host = commands.text("listen_host", self.gateway_address)

    def move_cable(self, *, plugged: bool) -> None:
        """Pull the cable out, or put it in."""
        self._commands.run("plug" if plugged else "unplug")
