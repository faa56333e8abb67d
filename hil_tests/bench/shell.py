"""A root shell on the device under test, and services that run there."""

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

#: What a command may take: far beyond what any takes on an emulated device on a busy host.
PATIENCE_S = 300.0


class DeviceError(Exception):
    """The device under test did not do what the test asked of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """What a command on the device left behind."""

    command: str
    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text, without the white space around it."""
        return self.stdout.decode(errors="replace").strip()

    def check(self) -> "Completed":
        """Return self, or raise DeviceError with what the command printed."""
        if self.returncode != 0:
            said = (self.stderr + self.stdout)[-2000:].decode(errors="replace").strip()
            raise DeviceError(f"on the device, {self.command!r} exited {self.returncode}: {said}")
        return self


def unpack(packed: bytes, target: Path) -> None:
    """Unpack a tar archive of the device into a folder of this machine."""
    subprocess.run(["tar", "-C", target, "-x", "--no-same-owner"], input=packed, check=True)


class Shell(Protocol):
    """Runs commands as root and moves files; needs neither the network under test nor a clock."""

    def run(
        self,
        command: str | Sequence[str],
        *,
        stdin: bytes = b"",
        timeout_s: float = PATIENCE_S,
        check: bool = True,
    ) -> Completed:
        """Run a shell line, or a program with its arguments, and wait for its end."""
        ...

    def write(self, path: str, content: bytes) -> None:
        """Write one file, replacing what was there; not fsynced."""
        ...

    def read(self, path: str) -> bytes:
        """Return the content of one file."""
        ...

    def put_tree(self, source: Path, target: str) -> None:
        """Copy a file into the folder `target`, or a folder's content."""
        ...

    def get_tree(self, source: str, target: Path) -> None:
        """Copy the content of a folder of the device into `target` here."""
        ...


class Service:
    """A program that runs on the device until it is stopped, under its systemd."""

    def __init__(self, shell: Shell, name: str) -> None:
        self._shell = shell
        self.name = name

    def start(self, command: Sequence[str], *properties: str) -> None:
        """Start, with systemd properties such as "Environment=A=b"."""
        settings = [f"--property={one}" for one in properties]
        self._shell.run(["systemctl", "reset-failed", self.name], check=False)
        self._shell.run(["systemd-run", "--quiet", f"--unit={self.name}", *settings, *command])

    def stop(self) -> None:
        """Ask it to end, and wait; does nothing where it does not run."""
        self._shell.run(["systemctl", "stop", self.name], check=False)

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        state = self._shell.run(["systemctl", "is-active", self.name], check=False)
        return state.text in {"active", "activating"}

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return self._shell.run(
            f"journalctl --quiet --no-pager --output=cat --unit={shlex.quote(self.name)}"
        ).text
