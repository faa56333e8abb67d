"""The gateway for programs: run one, or follow one that runs.

Example: async with connect() as gateway: async for frame in gateway.stream("garden/temperature")
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from tickseal.host.control_socket import ask, follow
from tickseal.host.state import StateDirectory
from tickseal_gateway.config import load
from tickseal_gateway.frames.frames import Frame
from tickseal_gateway.frames.readings import Reading
from tickseal_gateway.health.view import View
from tickseal_gateway.service import Gateway

__all__ = ["Frame", "Reading", "RunningGateway", "connect", "open_gateway"]


@contextlib.asynccontextmanager
async def open_gateway(config: Path | None = None) -> AsyncIterator[View]:
    """Run a gateway in this program while the block lasts.

    Args:
        config: its configuration; None for where `tickseal gateway run` looks for one.
    Raises:
        TicksealError: it cannot start; the message says why.
    """
    settings = load(config)
    with StateDirectory.open(settings.state_path) as state:
        async with Gateway(settings, state).running() as view:
            yield view


class RunningGateway:
    """A gateway that runs on this machine as another process; make it with connect().

    Args:
        state: its state directory.
    """

    def __init__(self, state: Path) -> None:
        self._state = state

    async def stream(self, *streams: str) -> AsyncIterator[Frame]:
        """Yield the frames of chosen streams from now on, until the gateway ends.

        Args:
            streams: shell patterns of stream ids; none: every stream.
        Raises:
            NotRunningError: it does not run.
            LinkError: it broke off.
        """
        request = {"do": "stream", "streams": list(streams)}
        async with aclosing(follow(self._state, request, service="gateway")) as answers:
            async for answer in answers:
                if answer is not None:  # sent so that the other end notices that we are gone
                    yield Frame.from_json(answer)

    async def ask(self, command: str, **arguments: object) -> Any:
        """Return what a command answers, such as "status" or "devices"; see gateway/README.md.

        Raises:
            TicksealError: it does not run, or says why it cannot.
        """
        return await asyncio.to_thread(
            ask, self._state, {"do": command, **arguments}, service="gateway"
        )


@contextlib.asynccontextmanager
async def connect(config: Path | None = None) -> AsyncIterator[RunningGateway]:
    """Reach the gateway that runs on this machine.

    Args:
        config: its configuration; None for where `tickseal gateway run` looks for one.
    Raises:
        NotRunningError: it does not run.
    """
    gateway = RunningGateway(load(config).state_path)
    await gateway.ask("devices")
    yield gateway
