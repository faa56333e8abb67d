"""Gateways for tests: in this process on loopback, or as a process of its own."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from tickseal_gateway.config import Config, load
from tickseal_gateway.service import Gateway
from tickseal_gateway.view import View

from tickseal.host.state import StateDirectory

TICKSEAL = Path(sys.executable).with_name("tickseal")
BASE = """
[gateway]
name = "test gateway"
state = "{state}"
host = "127.0.0.1"
port = 0
[page]
enabled = false
"""


class GatewayFactory:
    """Makes gateways on one state directory, one after another."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.file = folder / "gateway.toml"
        self.configure("")

    def configure(self, more: str) -> Config:
        """Write the configuration file: the base and more tables."""
        self.file.write_text(BASE.format(state=self.state) + more)
        return load(self.file)

    @contextlib.asynccontextmanager
    async def inside(self, more: str = "") -> AsyncIterator[View]:
        """Run a gateway in this process."""
        config = self.configure(more)
        with StateDirectory.open(config.state_path) as state:
            async with Gateway(config, state).running() as view:
                yield view

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `tickseal gateway ...` on this gateway's configuration."""
        return subprocess.run(
            [TICKSEAL, "gateway", *arguments, "--config", self.file],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    @contextlib.contextmanager
    def process(self) -> Iterator["GatewayProcess"]:
        """Run a gateway as a process of its own."""
        process = GatewayProcess(self)
        try:
            yield process
        finally:
            process.kill()


class GatewayProcess:
    """A `tickseal gateway run` under test."""

    def __init__(self, factory: GatewayFactory) -> None:
        self._log = (factory.file.parent / "log").open("ab")
        self.popen = subprocess.Popen(
            [TICKSEAL, "gateway", "run", "--json", "--config", factory.file],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        assert line, (factory.file.parent / "log").read_text()
        self.ready: dict[str, Any] = json.loads(line)

    def stop(self) -> tuple[int, dict[str, Any]]:
        """Stop it with SIGTERM; return its exit code and last line."""
        self.popen.send_signal(signal.SIGTERM)
        out, _ = self.popen.communicate(timeout=5)
        return self.popen.returncode, json.loads(out.splitlines()[-1])

    def kill(self) -> None:
        """Kill it with SIGKILL, wherever it is."""
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.communicate(timeout=5)
        self._log.close()


def run(coroutine: Any) -> Any:
    """Run a test's coroutine within a bounded time."""

    async def bounded() -> Any:
        async with asyncio.timeout(30):
            return await coroutine

    return asyncio.run(bounded())
