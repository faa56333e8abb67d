"""Boards on serial cables of this machine: the gateway serves them without a relay."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from tickseal.configuration.configuration import Between, Length
from tickseal.host.boards import known_usb
from tickseal.links.serial import Handler
from tickseal.links.serial_fleet import SerialFleet
from tickseal.links.serial_port import SerialSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialConfig:
    """[[serial]]: a port with a board; see docs/protocol.md section 6.6.

    Args:
        port: its path, best one of /dev/serial/by-id; "auto" for every known board on USB.
        baudrate: bits a second, where the cable is not USB.
        dtr, rts: the control lines; leave both on, or both off for a board that resets.
    """

    port: Annotated[str, Length(1, 255)] = "auto"
    baudrate: Annotated[int, Between(1200, 4_000_000)] = 115200
    dtr: bool = True
    rts: bool = True

    def settings(self) -> SerialSettings:
        """Return them as the link takes them."""
        return SerialSettings(port=self.port, baudrate=self.baudrate, dtr=self.dtr, rts=self.rts)


def serve_boards(ports: Sequence[SerialConfig], handler: Handler) -> list[asyncio.Task[None]]:
    """Return the task that serves the ports, if there are any."""
    if not ports:
        return []
    fleet = SerialFleet([one.settings() for one in ports], handler, known_usb())
    return [asyncio.get_running_loop().create_task(fleet.run())]
