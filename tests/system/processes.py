"""A gateway and a device as real processes, each with its own state."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from waiting import PATIENCE_S, eventually

from tickseal.core.errors import LinkError
from tickseal.host.control_socket import ask


def tickseal(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "tickseal.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


class Process:
    """One half of the system."""

    def __init__(self, part: str, folder: Path, config: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.part = part
        self.state = folder / "state"
        self.config = folder / f"{part}.toml"
        self.log = folder / f"{part}.log"
        self.config.write_text(config.format(state=json.dumps(str(self.state))), "utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> None:
        """Start it; what it logs is appended."""
        with self.log.open("ab") as log:
            options = ["--config", str(self.config), *arguments]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tickseal.cli", self.part, "run", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    def kill(self) -> None:
        """End it without warning."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> int:
        """End it as a person does, and return its exit code."""
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(PATIENCE_S)
        self._process = None
        return code

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def logged(self, text: str) -> bool:
        """Tell whether the log holds a text."""
        return text in self.log.read_text("utf-8", "replace")


class Gateway(Process):
    """The gateway; its port stays the same over restarts.

    Args:
        more: further lines of its configuration.
    """

    def __init__(self, folder: Path, port: int, *, host: str = "127.0.0.1", more: str = "") -> None:
        config = (
            f'[gateway]\nname = "test gateway"\nstate = {{state}}\nhost = "{host}"\n'
            f"port = {port}\n[page]\nenabled = false\n{more}"
        )
        super().__init__("gateway", folder, config)

    def start(self, *arguments: str) -> None:
        """Start it and wait until it answers."""
        super().start(*arguments)
        eventually(self.status, what=f"the gateway answers; see {self.log}")

    def status(self) -> dict[str, Any]:
        """Return the status; empty while it does not run."""
        with contextlib.suppress(LinkError, OSError):
            answer: dict[str, Any] = ask(self.state, {"do": "status"}, service="gateway")
            return answer
        return {}

    def stream(self, stream_id: str) -> dict[str, Any]:
        """Return the status of one stream; empty while there is none."""
        for stream in self.status().get("streams", []):
            if stream["id"] == stream_id:
                found: dict[str, Any] = stream
                return found
        return {}

    def invite(self, address: str) -> str:
        """Return a token that leads to an address."""
        answer = ask(self.state, {"do": "invite", "addresses": [address]}, service="gateway")
        return str(answer["token"])

    def more_frames(self, stream_id: str, more: int = 10) -> None:
        """Wait until so many more frames of a stream were opened."""
        before = self.stream(stream_id).get("frames", 0)
        eventually(
            lambda: self.stream(stream_id).get("frames", 0) >= before + more,
            what=f"{more} more frames of {stream_id}",
        )


class Device(Process):
    """A device with host telemetry (kept while offline) and a small camera (not kept)."""

    TELEMETRY, CAMERA = "test/telemetry", "test/camera"

    def __init__(self, folder: Path) -> None:
        config = (
            'name = "test device"\nstate = {state}\n'
            f'[[streams]]\nid = "{self.TELEMETRY}"\nkind = "host"\nrate_hz = 20\n'
            f'[[streams]]\nid = "{self.CAMERA}"\nkind = "pattern"\nrate_hz = 5\nwidth = 160\n'
            "height = 120\n"
        )
        super().__init__("edge", folder, config)

    def enrol(self, token: str) -> "subprocess.CompletedProcess[str]":
        """Enrol by a token."""
        return tickseal("edge", "enrol", token, "--config", str(self.config))
