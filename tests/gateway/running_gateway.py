"""Gateways for tests: in this process on loopback, or as a process of its own."""

import asyncio
import contextlib
import io
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tickseal_gateway.config import Config, load
from tickseal_gateway.health.view import View
from tickseal_gateway.service import Gateway
from waiting import PATIENCE_S

from tickseal import cli
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


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def tickseal(*arguments: str) -> Done:
    """Run the command line in this process: a process each would take most of the tests' time."""
    out, err = io.StringIO(), io.StringIO()
    argv, sys.argv = sys.argv, ["tickseal", *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
    except SystemExit as end:
        return Done(int(end.code or 0), out.getvalue(), err.getvalue())
    finally:
        sys.argv = argv
    raise AssertionError("it always exits")


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

    def command(self, *arguments: str) -> Done:
        """Run `tickseal gateway ...` on this gateway's configuration, in this process."""
        return tickseal("gateway", *arguments, "--config", str(self.file))

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
        out, _ = self.popen.communicate(timeout=PATIENCE_S)
        return self.popen.returncode, json.loads(out.splitlines()[-1])

    def kill(self) -> None:
        """Kill it with SIGKILL, wherever it is."""
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.communicate(timeout=PATIENCE_S)
        self._log.close()


def run(coroutine: Any) -> Any:
    """Run a test's coroutine. What waits in it gives up, and says for what, long before this."""

    async def bounded() -> Any:
        async with asyncio.timeout(5 * PATIENCE_S):
            return await coroutine

    return asyncio.run(bounded())
