"""A root shell on a real device, through a command such as `ssh pi@raspberrypi.local sudo`."""

import contextlib
import io
import shlex
import subprocess
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path

from hil_tests.bench.shell import PATIENCE_S, Completed, DeviceError, unpack

_POLL_S = 0.5

_TELL_TIME = "import sys, time\nfor _ in sys.stdin: print(time.time_ns(), flush=True)"


class RemoteShell:
    """Runs each command line by a command of the bench's computer.

    Args:
        command: what a command line for the device is appended to, as one word.
    """

    def __init__(self, command: str) -> None:
        self._command = shlex.split(command)
        self._clock: subprocess.Popen[bytes] | None = None

    def run(
        self,
        command: str | Sequence[str],
        *,
        stdin: bytes = b"",
        timeout_s: float = PATIENCE_S,
        check: bool = True,
    ) -> Completed:
        """Run a shell line, or a program with its arguments, and wait for its end."""
        line = command if isinstance(command, str) else shlex.join(command)
        try:
            done = subprocess.run(
                self._words(line), input=stdin, capture_output=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            raise DeviceError(
                f"on the device, {line!r} was not done within {timeout_s} s"
            ) from None
        completed = Completed(
            command=line, returncode=done.returncode, stdout=done.stdout, stderr=done.stderr
        )
        return completed.check() if check else completed

    def wait(self, timeout_s: float) -> None:
        """Wait until the device answers."""
        deadline = time.monotonic() + timeout_s
        while True:
            with contextlib.suppress(DeviceError):
                self.run("true", timeout_s=10)
                return
            if time.monotonic() > deadline:
                raise DeviceError(f"the device did not answer within {timeout_s} s")
            time.sleep(_POLL_S)

    def write(self, path: str, content: bytes) -> None:
        """Write one file, replacing what was there; not fsynced."""
        self.run(f"cat > {shlex.quote(path)}", stdin=content)

    def read(self, path: str) -> bytes:
        """Return the content of one file."""
        return self.run(["cat", path]).stdout

    def put_tree(self, source: Path, target: str) -> None:
        """Copy a file into the folder `target`, or a folder's content."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(source, arcname="." if source.is_dir() else source.name)
        folder = shlex.quote(target)
        line = f"mkdir -p {folder} && tar -C {folder} -xf - --no-same-owner"
        self.run(line, stdin=packed.getvalue())

    def get_tree(self, source: str, target: Path) -> None:
        """Copy the content of a folder of the device into `target` here."""
        # 1: a file was written to meanwhile.
        packed = self.run(f"tar -C {shlex.quote(source)} -cf - . || [ $? -eq 1 ]").stdout
        unpack(packed, target)

    def now_ns(self) -> int:
        """Return the device's CLOCK_REALTIME, by a program there that waits to be asked."""
        if self._clock is None or self._clock.poll() is not None:
            self._clock = subprocess.Popen(
                self._words(shlex.join(["python3", "-c", _TELL_TIME])),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        if self._clock.stdin is None or self._clock.stdout is None:
            raise DeviceError("the device's clock cannot be read")
        try:
            self._clock.stdin.write(b"\n")
            self._clock.stdin.flush()
            return int(self._clock.stdout.readline())
        except (OSError, ValueError):
            self.close()
            raise DeviceError("the device's clock cannot be read") from None

    def close(self) -> None:
        """End what still runs."""
        if self._clock is not None:
            self._clock.kill()
            self._clock.communicate()
            self._clock = None

    def _words(self, line: str) -> list[str]:
        return [*self._command, shlex.join(["sh", "-c", line])]
