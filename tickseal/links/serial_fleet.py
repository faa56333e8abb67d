"""Many serial ports at once: those that are named, and those of known boards as they come."""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from tickseal.core.errors import LinkError
from tickseal.links.serial import Handler, SerialServer
from tickseal.links.serial_port import SerialSettings, find_ports

_logger = logging.getLogger(__name__)

#: The port that stands for every port with a known board.
AUTO = "auto"
#: How often new boards are looked for, s.
_LOOK_S = 1.0


class SerialFleet:
    """Serves serial ports for as long as it runs.

    Args:
        ports: by name; "auto" for every port with a board of `known`.
        known: (vendor, product) of USB devices that are boards.
        on_text: is given what boards say to people: port and line.
    Attributes:
        servers: by port, those that are served now.
    """

    def __init__(
        self,
        ports: Sequence[SerialSettings],
        handler: Handler,
        known: Collection[tuple[int, int]] = (),
        on_text: Callable[[str, str], None] | None = None,
    ) -> None:
        self._ports = ports
        self._handler = handler
        self._known = known
        self._on_text = on_text
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._told: set[str] = set()
        self.servers: dict[str, SerialServer] = {}

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            for settings in self._ports:
                if settings.port != AUTO:
                    self._serve(settings, once=False)
            auto = next((one for one in self._ports if one.port == AUTO), None)
            while True:
                if auto is not None:
                    # It reads files of the kernel: not for long, but not on this thread.
                    found = await asyncio.to_thread(find_ports, self._known)
                    for one in found:
                        if one.port not in self._tasks:
                            self._serve(replace(auto, port=one.port), once=True)
                await asyncio.sleep(_LOOK_S)
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _serve(self, settings: SerialSettings, *, once: bool) -> None:
        server = SerialServer(settings, self._handler, self._on_text)
        self.servers[settings.port] = server
        task = asyncio.get_running_loop().create_task(self._run(server, once=once))
        self._tasks[settings.port] = task

    async def _run(self, server: SerialServer, *, once: bool) -> None:
        port = server.port
        try:
            await server.run(once=once)
            self._told.discard(port)
        except LinkError as error:
            # A port that is busy is tried again; it is told once.
            if port not in self._told:
                _logger.warning("%s", error)
                self._told.add(port)
            await asyncio.sleep(_LOOK_S)
        finally:
            self._tasks.pop(port, None)
            self.servers.pop(port, None)
