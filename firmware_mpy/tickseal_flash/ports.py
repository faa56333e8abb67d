"""Boards that are plugged in, and mpremote to work on them, in plain words."""

import contextlib
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tickseal.core.errors import ConfigError, LinkError
from tickseal.host.boards import Microcontroller, microcontrollers
from tickseal.links.serial_port import (
    FoundPort,
    SerialSettings,
    find_ports,
    open_port,
    why_not,
)

AUTO = "auto"
_MPREMOTE_S = 120.0
#: Ctrl-C, Ctrl-B out of a raw REPL, and an empty line; how often, and for how long altogether.
_INTERRUPT = b"\r\x03\x03\x02\r"
_PROMPT = b">>> "
_ASK_S = 1.0
_PROMPT_S = 15.0
#: Where the kernel shows what is on USB; a board in its boot loader has no serial port.
_USB_DEVICES = Path("/sys/bus/usb/devices")


class BoardError(LinkError):
    """A board does not do what it should; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugged:
    """A port with what is known of the board behind it.

    Attributes:
        found: the port.
        boards: the kinds that it may be, by USB's numbers.
        is_bootloader: it waits for a firmware: there is no MicroPython on it yet.
    """

    found: FoundPort
    boards: tuple[Microcontroller, ...]
    is_bootloader: bool = False


def plugged_in() -> list[Plugged]:
    """Return the USB serial ports that are there, known boards first."""
    kinds = microcontrollers().values()
    ports = []
    for found in find_ports():
        running = tuple(board for board in kinds if found.usb in board.usb)
        waiting = tuple(board for board in kinds if found.usb in board.bootloader)
        ports.append(Plugged(found=found, boards=running or waiting, is_bootloader=bool(waiting)))
    return sorted(ports, key=lambda one: (not one.boards, one.found.port))


def awaiting_firmware() -> list[Microcontroller]:
    """Return the kinds of boards that are plugged in, in their boot loader: without a port."""
    there = set()
    for device in _USB_DEVICES.glob("*/idVendor"):
        try:
            product = (device.parent / "idProduct").read_text("ascii")
            there.add((int(device.read_text("ascii"), 16), int(product, 16)))
        except (OSError, ValueError):  # it was just pulled out
            continue
    return [board for board in microcontrollers().values() if there & set(board.bootloader)]


def kind_of(name: str) -> Microcontroller:
    """Return the kind of a board.

    Raises:
        ConfigError: there is no such kind.
    """
    kinds = microcontrollers()
    if name not in kinds:
        raise ConfigError(f"no board {name!r}; known are: {', '.join(kinds)}")
    return kinds[name]


def choose_port(port: str, board: Microcontroller) -> str:
    """Return the port to use.

    Args:
        port: a path, or "auto" for the only one with such a board.
    Raises:
        BoardError: there is none, or more than one.
    """
    if port != AUTO:
        return port
    ports = [one for one in plugged_in() if board in one.boards]
    waiting = [one for one in ports if one.is_bootloader]
    if waiting:
        raise BoardError(no_micropython(board, waiting[0].found.port))
    if not ports and board in awaiting_firmware():
        raise BoardError(
            f"a {board.name} is there, but without MicroPython yet; {_put_micropython(board)}"
        )
    if not ports:
        raise BoardError(
            f"no {board.name} was found; plug it in with a cable that carries data, name its port "
            f"with --port, or see `tickseal mcu list`. If it is new: {_put_micropython(board)}"
        )
    if len(ports) > 1:
        names = ", ".join(one.found.port for one in ports)
        raise BoardError(f"more than one {board.name} is there: {names}; choose one with --port")
    return ports[0].found.port


def no_micropython(board: Microcontroller, port: str) -> str:
    """Return what to do with a board on which no MicroPython answers."""
    return f"no MicroPython answers at {port}; {_put_micropython(board)}"


def _put_micropython(board: Microcontroller) -> str:
    return f"get MicroPython 1.22 or newer from {board.firmware} and {board.firmware_how}"


def await_prompt(port: str, within_s: float = _PROMPT_S) -> bool:
    """Interrupt what a board does; return whether MicroPython's prompt answers.

    mpremote would wait for two minutes where nothing does.

    Raises:
        LinkError: the port cannot be opened; the message says why.
    """
    heard = b""
    until = time.monotonic() + within_s
    with open_port(SerialSettings(port=port)) as file:
        while time.monotonic() < until:
            with contextlib.suppress(BlockingIOError):
                os.write(file, _INTERRUPT)
            quiet_at = time.monotonic() + _ASK_S
            while (left := quiet_at - time.monotonic()) > 0:
                if select.select([file], [], [], left)[0]:
                    heard = heard[-len(_PROMPT) :] + _read(file, port)
                if _PROMPT in heard:
                    return True
    return False


def _read(file: int, port: str) -> bytes:
    try:
        data = os.read(file, 4096)
    except OSError:
        data = b""
    if not data:
        raise LinkError(f"{port} went away; plug the board in again")
    return data


class Mpremote:
    """Runs mpremote on one port.

    Raises:
        BoardError: mpremote is not installed, or the board does not answer.
    """

    def __init__(self, port: str, board: Microcontroller) -> None:
        self.port = port
        self._board = board
        if not await_prompt(port):
            raise BoardError(no_micropython(board, port))

    def run(self, *arguments: str | Path, timeout_s: float = _MPREMOTE_S) -> str:
        """Return what a command of mpremote printed."""
        command = [sys.executable, "-m", "mpremote", "connect", self.port, *map(str, arguments)]
        try:
            done = subprocess.run(  # noqa: S603 - our own program
                command, capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            raise BoardError(no_micropython(self._board, self.port)) from None
        said = (done.stdout + done.stderr).strip()
        if done.returncode == 0:
            return done.stdout
        if "No module named mpremote" in said:
            raise BoardError("mpremote is not installed: pip install 'tickseal[mcu]'")
        if "could not enter raw repl" in said or "failed to access" in said:
            if "failed to access" in said:
                raise BoardError(why_not(self.port, OSError(said)))
            raise BoardError(no_micropython(self._board, self.port))
        raise BoardError(f"{self.port}: {said.splitlines()[-1] if said else 'mpremote failed'}")
