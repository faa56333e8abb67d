"""The programs that people run, started and asked as people do, and what they take."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

_TICKSEAL = [sys.executable, "-m", "tickseal.cli"]
_END_S = 30.0


def ask(*arguments: str) -> Any:
    """Run `tickseal ARGUMENTS --json` to its end, and return what it says."""
    return json.loads(command(*arguments, "--json"))


def command(*arguments: str) -> str:
    """Run `tickseal ARGUMENTS` to its end, and return its output."""
    return subprocess.run(
        [*_TICKSEAL, *arguments], check=True, capture_output=True, text=True
    ).stdout


class Running:
    """`tickseal ARGUMENTS`, until the block ends."""

    def __init__(
        self,
        *arguments: str,
        stdout: int | BinaryIO = subprocess.DEVNULL,
        stderr: int | BinaryIO = subprocess.DEVNULL,
    ) -> None:
        self.process = subprocess.Popen([*_TICKSEAL, *arguments], stdout=stdout, stderr=stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it; again is fine."""
        self.process.send_signal(how)
        self.process.wait(_END_S)

    @property
    def cpu_s(self) -> float:
        """Processor time so far, s."""
        fields = self._file("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def resident_bytes(self) -> int:
        """Memory in use."""
        return int(self._file("statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")

    @property
    def resident_most_bytes(self) -> int:
        """Memory in use, the most so far."""
        lines = self._file("status").splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))

    def _file(self, name: str) -> str:
        return Path(f"/proc/{self.process.pid}/{name}").read_text()


class Gateway(Running):
    """`tickseal gateway run`, from when it listens until the block ends.

    Args:
        folder: where its state is, or will be.
        port: where it listens; 0 for any free port.
    Attributes:
        state: its state directory.
        port: where it listens.
    """

    def __init__(self, folder: str, port: int = 0) -> None:
        self.state = f"{folder}/gateway"
        arguments = ("run", "--state", self.state, "--port", str(port), "--json")
        super().__init__("gateway", *arguments, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.port = int(json.loads(self.process.stdout.readline())["gateway"]["tcp_port"])
        # It goes on telling how it is; a full pipe would stop it.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def status(self) -> Any:
        """Return what it says of itself."""
        return ask("gateway", "status", "--state", self.state)

    def invite(self) -> str:
        """Return the token of a new invite."""
        return str(ask("gateway", "invite", "--state", self.state)["token"])
