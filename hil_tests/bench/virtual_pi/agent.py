"""Runs commands in the guest and moves files, through QEMU's guest agent on a virtio serial port.

The channel needs no network and no clock in the guest, so a test may step the one and break the
other. Source: QEMU's "Guest Agent Protocol Reference"; one JSON object a line, replies in order.
"""

import base64
import io
import json
import shlex
import socket
import tarfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hil_tests.bench.shell import PATIENCE_S, Completed, DeviceError, unpack

POLL_SECONDS = 0.02
CHUNK_BYTES = 1 << 20  # a reply or request is one JSON line; this keeps lines far below its limit
SENTINEL = b"\xff"  # makes either side forget a half-sent line


class GuestAgent:
    """A blocking client of one guest's agent.

    Args:
        path: the UNIX socket behind the guest's virtio serial port.
        is_alive: tells whether the machine still runs, so that a wait ends when it died.
    """

    def __init__(self, path: Path, is_alive: Callable[[], bool]) -> None:
        self._path = path
        self._is_alive = is_alive
        self._socket: socket.socket | None = None
        self._received = b""

    def connect(self, timeout_s: float) -> None:
        """Wait until the agent answers.

        Raises:
            DeviceError: the machine died, or nothing answered in time.
        """
        deadline = time.monotonic() + timeout_s
        number = 0
        while self._is_alive():
            if time.monotonic() > deadline:
                raise DeviceError(f"the guest's agent did not answer within {timeout_s} s")
            number += 1
            try:
                if self._socket is None:
                    self._socket = socket.socket(socket.AF_UNIX)
                    self._socket.connect(str(self._path))
                self._socket.settimeout(0.25)
                self._send("guest-sync-delimited", {"id": number}, prefix=SENTINEL)
                while self._receive() != {"return": number}:
                    pass
            except TimeoutError:
                continue
            except OSError:
                self.close()
                time.sleep(POLL_SECONDS)
                continue
            self._socket.settimeout(None)
            return
        raise DeviceError("the virtual machine ended before its agent answered")

    def close(self) -> None:
        """Let go of the channel; the guest goes on."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            self._received = b""

    def run(
        self,
        command: str | Sequence[str],
        *,
        stdin: bytes = b"",
        timeout_s: float = PATIENCE_S,
        check: bool = True,
    ) -> Completed:
        """Run a shell line, or a program with its arguments, as root, and wait for its end."""
        line = command if isinstance(command, str) else shlex.join(command)
        arguments: dict[str, Any] = {
            "path": "/usr/bin/setsid",  # so that a command that hangs ends with its children
            "arg": ["/bin/sh", "-c", line],
            "capture-output": True,
        }
        if stdin:
            arguments["input-data"] = base64.b64encode(stdin).decode()
        pid = self.ask("guest-exec", arguments)["pid"]
        deadline = time.monotonic() + timeout_s
        while not (status := self.ask("guest-exec-status", {"pid": pid}))["exited"]:
            if time.monotonic() > deadline:
                self.ask("guest-exec", {"path": "/bin/kill", "arg": ["-KILL", "--", f"-{pid}"]})
                raise DeviceError(f"in the guest, {line!r} was not done within {timeout_s} s")
            time.sleep(POLL_SECONDS)
        completed = Completed(
            command=line,
            returncode=status.get("exitcode", 128 + status.get("signal", 0)),
            stdout=base64.b64decode(status.get("out-data", "")),
            stderr=base64.b64decode(status.get("err-data", "")),
        )
        return completed.check() if check else completed

    def write(self, path: str, content: bytes) -> None:
        """Write one file in the guest, replacing what was there; not fsynced."""
        handle = self.ask("guest-file-open", {"path": path, "mode": "w"})
        for start in range(0, len(content), CHUNK_BYTES):
            part = base64.b64encode(content[start : start + CHUNK_BYTES]).decode()
            self.ask("guest-file-write", {"handle": handle, "buf-b64": part})
        self.ask("guest-file-close", {"handle": handle})

    def read(self, path: str) -> bytes:
        """Return the content of one file in the guest."""
        handle = self.ask("guest-file-open", {"path": path, "mode": "r"})
        parts: list[bytes] = []
        while True:
            reply = self.ask("guest-file-read", {"handle": handle, "count": CHUNK_BYTES})
            parts.append(base64.b64decode(reply["buf-b64"]))
            if reply["eof"]:
                break
        self.ask("guest-file-close", {"handle": handle})
        return b"".join(parts)

    def put_tree(self, source: Path, target: str) -> None:
        """Copy a file or folder of the host to `target` in the guest (the folder's content)."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(source, arcname="." if source.is_dir() else source.name)
        self.write("/run/put.tar", packed.getvalue())
        self.run(
            f"mkdir -p {shlex.quote(target)} && tar -C {shlex.quote(target)} -xf /run/put.tar"
            " --no-same-owner && rm /run/put.tar"
        )

    def get_tree(self, source: str, target: Path) -> None:
        """Copy the content of a folder of the guest into `target` on the host."""
        # 1: a file was written to meanwhile.
        self.run(f"tar -C {shlex.quote(source)} -cf /run/get.tar . || [ $? -eq 1 ]")
        unpack(self.read("/run/get.tar"), target)
        self.run("rm /run/get.tar")

    def now_ns(self) -> int:
        """Return the guest's CLOCK_REALTIME in nanoseconds."""
        now: int = self.ask("guest-get-time", {})
        return now

    def ask(self, execute: str, arguments: dict[str, Any]) -> Any:
        """Send one request to the agent and return what it answers.

        Raises:
            DeviceError: the agent refused, or the machine is gone.
        """
        try:
            self._send(execute, arguments)
            reply = self._receive()
        except OSError as error:
            raise DeviceError(f"the machine is gone ({error}), while asking {execute}") from error
        if "error" in reply:
            raise DeviceError(f"the guest's agent refused {execute}: {reply['error']['desc']}")
        return reply["return"]

    def _send(self, execute: str, arguments: dict[str, Any], prefix: bytes = b"") -> None:
        if self._socket is None:
            raise ConnectionError("not connected")
        request = {"execute": execute, "arguments": arguments}
        self._socket.sendall(prefix + json.dumps(request).encode() + b"\n")

    def _receive(self) -> dict[str, Any]:
        if self._socket is None:
            raise ConnectionError("not connected")
        while b"\n" not in self._received:
            part = self._socket.recv(1 << 16)
            if not part:
                raise ConnectionError("the channel was closed")
            self._received += part
        line, self._received = self._received.split(b"\n", 1)
        reply: dict[str, Any] = json.loads(line.rpartition(SENTINEL)[2])
        return reply
