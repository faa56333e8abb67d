"""Boots a card's image in an emulated 64-bit ARM machine, from kernel and command line on the card.

QEMU's machine "virt" has no firmware of a Raspberry Pi's, and other devices: what is tried is the
image's system from its kernel on, with its disk, network and clock.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

from tickseal_edge.image.fat import Fat
from tickseal_edge.image.partitions import read_layout

#: Where the guest finds whatever listens on the host's 127.0.0.1.
HOST_ADDRESS = "10.0.2.2"
PROGRAM = "qemu-system-aarch64"


class Card:
    """One image, written to by the machine that it is in."""

    def __init__(self, image: Path, *, memory_mb: int = 1024, processors: int = 2) -> None:
        self.image = image
        self._size = ["-m", str(memory_mb), "-smp", str(processors)]
        self._folder = Path(tempfile.mkdtemp(prefix="card-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Switch on."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Cut the power."""
        self.cut_power()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def is_running(self) -> bool:
        """Whether there is power."""
        return self._process is not None and self._process.poll() is None

    @property
    def console(self) -> str:
        """What was printed since the last start."""
        return (self._folder / "console").read_text(errors="replace")

    def start(self) -> None:
        """Switch on, with what the card's firmware partition says."""
        boot = Fat(self.image, read_layout(self.image).boot)
        config = dict(
            line.replace("initramfs ", "initramfs=").partition("=")[::2]
            for line in (boot.read("config.txt") or "").splitlines()
        )
        for name in ("kernel", "initramfs"):
            (self._folder / name).write_bytes(boot.read_bytes(config[name]) or b"")
        line = f"{(boot.read('cmdline.txt') or '').strip()} console=ttyAMA0"
        (self._folder / "monitor").unlink(missing_ok=True)
        with (self._folder / "qemu.log").open("wb") as log:
            self._process = subprocess.Popen(
                # setpriv: the guest must not outlive the tests, however they end.
                [*("setpriv", "--pdeathsig", "KILL", PROGRAM), *self._size, *self._machine(line)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env={**os.environ, "QEMU_AUDIO_DRV": "none"},
            )

    def shut_down(self, *, patience_s: float) -> None:
        """Press the power button and wait until the system has stopped."""
        self._monitor("system_powerdown")
        if self._process is not None:
            self._process.wait(patience_s)

    def cut_power(self) -> None:
        """Stop at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _machine(self, line: str) -> list[str]:
        return [
            *("-accel", "tcg,thread=multi", "-machine", "virt", "-cpu", "cortex-a72"),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-kernel", "kernel", "-initrd", "initramfs", "-append", line),
            *("-serial", "file:console", "-qmp", "unix:monitor,server=on,wait=off"),
            *("-drive", f"file={self.image.absolute()},format=raw,if=virtio,cache=writeback"),
            *("-netdev", "user,id=network", "-device", "virtio-net-pci,netdev=network,romfile="),
            *("-device", "virtio-rng-pci"),
        ]

    def _monitor(self, execute: str) -> None:
        """Ask QEMU itself. Source: QEMU's "QMP Reference Manual"."""
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as channel:
            channel.settimeout(10)
            channel.connect(str(self._folder / "monitor"))
            lines = channel.makefile("r")
            lines.readline()  # QEMU's greeting
            for request in ("qmp_capabilities", execute):
                channel.sendall(json.dumps({"execute": request}).encode() + b"\n")
                answer: dict[str, Any] = json.loads(lines.readline())
                if "error" in answer:
                    raise RuntimeError(f"QEMU refused {request}: {answer['error']['desc']}")
