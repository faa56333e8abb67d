"""Relay: boards on serial cables, passed on to their gateway without being read.

Each board gets a TCP connection of its own. What goes through is sealed by the board for the
gateway; the relay holds no key, and nothing of it on its disk.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Sequence
from typing import Annotated

import typer

from tickseal.core.errors import LinkError
from tickseal.host.boards import known_usb
from tickseal.host.logs import set_up_logging
from tickseal.invite import split_address
from tickseal.links.backoff import Backoff
from tickseal.links.serial_fleet import AUTO, SerialFleet
from tickseal.links.serial_link import SerialLink
from tickseal.links.serial_port import SerialSettings
from tickseal.links.tcp import TCPLink

_logger = logging.getLogger("tickseal.relay")

_CONNECT_S = 5.0
#: Waits between attempts to reach the gateway: a board asks again twice a second by itself.
_FIRST_NS, _MOST_NS = 100_000_000, 1_000_000_000


class Relay:
    """Passes the connections of boards on to a gateway.

    Args:
        addresses: of the gateway, tried in turn.
    Attributes:
        passed_on: connections that reached the gateway so far.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = [split_address(address) for address in addresses]
        self.passed_on = 0

    async def serve(self, board: SerialLink) -> None:
        """Pass one connection of a board on until either end is over."""
        gateway = await self._reach(board)
        if gateway is None:
            return
        self.passed_on += 1
        _logger.info("%s is connected to %s port %d", board.peer[0], *gateway.peer[:2])
        try:
            tasks = [
                asyncio.create_task(_carry(board, gateway)),
                asyncio.create_task(_carry(gateway, board)),
            ]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            gateway.abort()

    async def _reach(self, board: SerialLink) -> TCPLink | None:
        """Return a connection to the gateway; None once the board has given this one up."""
        backoff = Backoff(first_ns=_FIRST_NS, most_ns=_MOST_NS)
        told = False
        while board.is_open:
            for host, port in self._addresses:
                try:
                    return await TCPLink.connect(host, port, timeout_s=_CONNECT_S)
                except LinkError as error:
                    if not told:
                        _logger.warning("%s waits: %s", board.peer[0], error)
            told = True
            await asyncio.sleep(backoff.next_ns() / 1e9)
        return None


async def _carry(source: SerialLink | TCPLink, sink: SerialLink | TCPLink) -> None:
    with contextlib.suppress(LinkError):
        while data := await source.receive():
            sink.write(data)
            await sink.drain()
        # An orderly end: what is under way still arrives.
        await sink.close()


def relay(
    gateway: Annotated[
        list[str],
        typer.Option("--gateway", "-g", help="host:port; more than one are tried in turn."),
    ],
    port: Annotated[
        list[str] | None,
        typer.Option("--port", "-p", help="A serial port; by default every known board on USB."),
    ] = None,
    baudrate: Annotated[int, typer.Option(help="Bits a second, where it is not USB.")] = 115200,
    as_json: Annotated[bool, typer.Option("--json", help="Log as JSON lines.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> None:
    """Pass microcontrollers on cables on to their gateway, unread."""
    set_up_logging("debug" if verbose else "info", as_json=as_json)
    ports = [SerialSettings(port=one, baudrate=baudrate) for one in port or [AUTO]]
    asyncio.run(_run(Relay(gateway), ports))


async def _run(passing: Relay, ports: Sequence[SerialSettings]) -> None:
    loop = asyncio.get_running_loop()
    fleet = loop.create_task(SerialFleet(ports, passing.serve, known_usb()).run())
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, fleet.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await fleet
