"""Starts the guest, cuts its power, pulls its network cable, and starts it again.

The disk is a qcow2 file over the image, in QEMU's cache mode "writeback": what the guest has not
flushed may be in the guest's memory or in QEMU's, and is lost with them. A power cut is SIGKILL.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from hil_tests.bench.shell import DeviceError
from hil_tests.bench.virtual_pi import host, monitor
from hil_tests.bench.virtual_pi.agent import GuestAgent
from hil_tests.bench.virtual_pi.image import Image
from tests.ports import free_port

BOOT_TIMEOUT_SECONDS = 300  # some ten seconds on an idle machine; only a fault takes so long
KERNEL_OPTIONS = (
    *("console=ttyS0", "quiet", "panic=-1", "mitigations=off"),
    *("net.ifnames=0", "edd=off", "lsm=landlock"),
    "no_timer_check",  # the kernel panics where a busy host holds its first ticks up
)
#: Where the guest finds whatever listens on the host's 127.0.0.1.
HOST_ADDRESS = "10.0.2.2"


class Machine:
    """One guest with its own disk; the disk outlives power cuts, and ends with close().

    Attributes:
        agent: a shell that needs no network.
        monitor: QEMU's own socket.
        ssh_port: of 127.0.0.1, that leads to the guest's port 22 by a network card of its own.
    """

    def __init__(self, image: Image, *, memory_mb: int = 768, accelerator: str = "tcg") -> None:
        self._image = image
        self._memory_mb = memory_mb
        self._accelerator = accelerator
        self._process: subprocess.Popen[bytes] | None = None
        # Short, because the path of a UNIX socket may have 107 characters at most.
        self.folder = Path(tempfile.mkdtemp(prefix="virtual-pi-"))
        self.monitor = self.folder / "monitor"
        self.ssh_port = free_port()
        self.agent = GuestAgent(self.folder / "agent", lambda: self.is_running)
        _check(
            *("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw"),
            *("-b", str(image.disk), str(self.folder / "disk")),
        )

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Cut the power and forget the disk."""
        self.close()

    @property
    def is_running(self) -> bool:
        """Whether the guest has power."""
        return self._process is not None and self._process.poll() is None

    @property
    def console(self) -> str:
        """What the guest's kernel printed since the last start."""
        return (self.folder / "console").read_text(errors="replace")

    def start(self, *, timeout_s: float = BOOT_TIMEOUT_SECONDS) -> None:
        """Switch on and wait until the guest answers.

        Raises:
            DeviceError: it did not come up; the message has the end of its console.
        """
        for name in ("agent", "monitor"):
            (self.folder / name).unlink(missing_ok=True)
        # setpriv: the guest must not outlive the tests, however they end.
        command = ["setpriv", "--pdeathsig", "KILL", *self._command()]
        with (self.folder / "qemu.log").open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder
            )
        try:
            self.agent.connect(timeout_s)
        except DeviceError as error:
            self.cut_power()
            said = (self.folder / "qemu.log").read_text(errors="replace") + self.console[-2000:]
            raise DeviceError(f"{error}\n{said}") from error

    def cut_power(self) -> None:
        """Stop at once, in the middle of whatever is being done."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self.agent.close()

    def close(self) -> None:
        """Cut the power and remove the disk."""
        self.cut_power()
        shutil.rmtree(self.folder, ignore_errors=True)

    def set_cable(self, *, plugged: bool) -> None:
        """Pull the network cable out of the guest's card, or put it in."""
        monitor.ask(self.monitor, "set_link", name="network", up=plugged)

    def _command(self) -> list[str]:
        program = host.find("qemu-system-x86_64")
        if program is None:
            raise RuntimeError(host.what_is_missing())
        forward = f"tcp:127.0.0.1:{self.ssh_port}-10.0.3.15:22"
        return [
            *(program, "-accel", self._accelerator, "-machine", "q35", "-cpu", "max"),
            *("-m", str(self._memory_mb), "-smp", "1", "-nodefaults", "-no-user-config"),
            *("-display", "none", "-no-reboot", "-rtc", "base=utc,clock=host"),
            *("-kernel", str(self._image.kernel), "-initrd", str(self._image.initrd)),
            *("-append", " ".join(KERNEL_OPTIONS)),
            *("-serial", "file:console"),
            *("-drive", "file=disk,format=qcow2,if=virtio,cache=writeback"),
            *("-netdev", "user,id=network", "-device", "virtio-net-pci,netdev=network,romfile="),
            *("-netdev", f"user,id=service,net=10.0.3.0/24,restrict=on,hostfwd={forward}"),
            *("-device", "virtio-net-pci,netdev=service,romfile="),
            *("-device", "virtio-rng-pci", "-device", "virtio-serial-pci"),
            *("-chardev", "socket,id=agent,path=agent,server=on,wait=off"),
            *("-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"),
            *("-qmp", "unix:monitor,server=on,wait=off"),
        ]


def _check(program: str, *arguments: str) -> None:
    subprocess.run([host.find(program) or program, *arguments], check=True)
